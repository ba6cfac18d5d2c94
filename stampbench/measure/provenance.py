"""The provenance of a number: versions, device and code, but no host name and no user name."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from stampbench.measure import hardware, memory
from stampbench.record import Provenance
from stampbench.seeding import digest_of_json

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("stampbench", "methods", "suites")
PACKAGES = ("torch", "torchvision", "numpy", "pandas", "pydantic", "torch-pruning", "safetensors", "scipy")
# How torch's threads wait for each other: they spin or sleep, which decides the speed beside other busy processes.
OPENMP = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
# The hooks of another repository set these variables, which would make git look there.
_GIT_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")


def provenance(device: torch.device, precision: str, executor: str, exclusive: bool) -> Provenance:
    """Return the provenance of what this process computes on the device now; `exclusive` is as in `Executor`."""
    code, threads = _code(), torch.get_num_threads()
    capability = _capability(device)
    name = device_name(device)
    numerics = [torch.__version__, torch.version.cuda, name if device.type == "cuda" else "cpu", capability]
    return Provenance(
        versions=_versions(),
        device=name,
        cpu=hardware.cpu_model(),
        capability=capability,
        threads=threads,
        executor=executor,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        fingerprint=digest_of_json([*numerics, threads, precision]),
        git_commit=code.commit,
        dirty=code.dirty,
        source_digest=code.source_digest,
        constraints_digest=code.constraints_digest,
        deterministic=torch.are_deterministic_algorithms_enabled(),
        cpu_generation=hardware.cpu_generation(),
        exclusive=exclusive,
        keeps_memory=memory.freed_is_kept(),
        openmp={name: os.environ[name] for name in OPENMP if name in os.environ},
    )


def device_name(device: torch.device) -> str:
    """Return the name of the GPU or the model of the CPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else hardware.cpu_model()


def _capability(device: torch.device) -> str:
    if device.type == "cuda":
        return "sm_{}{}".format(*torch.cuda.get_device_capability(device))
    # The instruction sets beyond torch's own level decide which bf16 kernels run.
    extensions = sorted({"avx512_bf16", "amx_bf16"} & hardware.cpu_flags())
    return " ".join([torch.backends.cpu.get_cpu_capability(), *extensions])


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "none"
    if torch.cuda.is_available():
        found |= {"cuda": str(torch.version.cuda), "cudnn": str(torch.backends.cudnn.version())}
    return found


@dataclass(frozen=True)
class Code:
    """The sources under a root: their digest and, if the root is a clone of this project, its commit."""

    commit: str | None
    dirty: bool | None
    source_digest: str
    constraints_digest: str | None


@lru_cache(maxsize=1)
def _code() -> Code:
    """Return the running code, read once per process: later changes on disk do not affect what runs."""
    return code_under(ROOT)


@lru_cache(maxsize=1)
def source_digest() -> str:
    """Return the digest of the sources that are running; see `digest_under`."""
    return digest_under(ROOT)


def code_under(root: Path) -> Code:
    """Describe the sources under a root that holds the package `stampbench`: a source tree, or site-packages.

    The commit, and whether the sources differ from it, are given if the root is the top of this project's repository.
    """
    status = _git(root, "status", "--porcelain", "--", *SOURCES) if _is_own_repository(root) else None
    tree = not (root / "stampbench" / "methods").is_dir()
    constraints = root / "constraints.txt"
    return Code(
        commit=None if status is None else _git(root, "rev-parse", "HEAD"),
        dirty=None if status is None else bool(status),
        source_digest=digest_under(root),
        constraints_digest=_file_digest(constraints) if tree and constraints.exists() else None,
    )


def digest_under(root: Path) -> str:
    """Return the digest of the package's and the methods' sources, which is equal in a source tree and installed."""
    return digest_of_json([[name, _file_digest(path)] for name, path in sorted(_sources(root))])


def _sources(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the source files, each with its name in a source tree, where methods/ lies beside the package."""
    package = root / "stampbench"
    inside = [package / name for name in SOURCES[1:]]
    methods = inside[0] if inside[0].is_dir() else root / "methods"
    for folder, left_out in ((package, inside), (methods, [])):
        for path in folder.rglob("*.py"):
            if not any(path.is_relative_to(other) for other in left_out):
                yield f"{folder.name}/{path.relative_to(folder).as_posix()}", path


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _is_own_repository(root: Path) -> bool:
    """Return whether the root is the top of a repository that holds this project and tracks the package."""
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top).resolve() != root.resolve():
        return False
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):
        return False
    return project.get("name") == "stampbench" and bool(_git(root, "ls-files", "--", "stampbench/__init__.py"))


def _git(root: Path, *arguments: str) -> str | None:
    environment = {name: value for name, value in os.environ.items() if name not in _GIT_VARIABLES}
    command = ["git", "-C", str(root), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True, env=environment)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
