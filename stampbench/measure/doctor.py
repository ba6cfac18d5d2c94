"""The check of this machine and environment before a campaign: versions, devices, data."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stampbench import __version__
from stampbench.measure import hardware

CONSTRAINTS = Path(__file__).resolve().parents[2] / "constraints.txt"


def examination() -> Iterator[tuple[str, str]]:
    """Yield the name of each thing that is checked, and what was found."""
    yield "stampbench", f"{__version__}, from {Path(__file__).parents[1]}"
    yield "python", platform.python_version()
    yield from _torch()
    yield "processor", hardware.cpu_model()
    yield "precision", f"{hardware.preferred_precision(hardware.cuda_device_count() > 0)} where a suite leaves it open"
    yield "constraints", _constraints(CONSTRAINTS)
    yield from _data()


def differences(constraints: str) -> list[str]:
    """Return how the installed packages differ from the lines `name==version ; marker`; absent ones are ignored."""
    found = []
    for line in constraints.splitlines():
        name, pinned, wanted = line.partition("#")[0].partition(";")[0].partition("==")
        live = _installed(name.strip()) if pinned else None
        if live is not None and live != wanted.strip():
            found.append(f"{name.strip()} {live}, pinned {wanted.strip()}")
    return found


def _torch() -> Iterator[tuple[str, str]]:
    versions = f"torch {_installed('torch')}, torchvision {_installed('torchvision')}"
    try:
        import torch
        import torchvision  # noqa: F401 (a torchvision of another torch fails here, when it registers its operators)
    except (ImportError, RuntimeError, OSError) as error:
        yield "torch", f"{versions}: they do not fit together ({error}); install with -c constraints.txt"
        return
    yield "torch", f"{versions}: they fit together"
    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    seen = hardware.cuda_device_count()
    if names:
        yield "devices", ", ".join(names)
    elif seen:
        yield (
            "devices",
            f"the driver shows {seen} CUDA device(s), but this torch cannot use them; reinstall torch",
        )
    else:
        yield "devices", "no CUDA device; jobs run on the CPU"


def _constraints(path: Path) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError:
        return "there is no constraints.txt beside this installation, so results may differ in the last bits"
    found = differences(text)
    return "as pinned" if not found else "not as pinned: " + "; ".join(found)


def _data() -> Iterator[tuple[str, str]]:
    from stampbench.data import packed, sources

    root = sources.data_root()
    if root is not None and not root.is_dir():
        yield "STAMPBENCH_DATA", f"there is no folder {root.absolute()}; correct the variable, or unset it"
    for status in packed.status():
        if status.found is None:
            found = f"missing; run `python -m stampbench data fetch {status.name}` or set STAMPBENCH_DATA"
        else:
            found = f"{status.found} at {status.path}" if status.path else status.found
        yield f"data {status.name}", found


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
