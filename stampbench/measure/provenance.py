"""Where a number comes from: versions, device, code, data. No host name, no user name."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from stampbench import hardware
from stampbench.record import Provenance
from stampbench.seeding import digest_of_json

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("stampbench", "methods", "suites")
PACKAGES = ("torch", "torchvision", "numpy", "pandas", "pydantic", "torch-pruning", "fvcore", "safetensors", "scipy")


def provenance(device: torch.device, precision: str, executor: str, exclusive: bool) -> Provenance:
    """Return the provenance of what this process computes now on this device; for `exclusive` see `Executor`."""
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
    )


def device_name(device: torch.device) -> str:
    """The GPU's name, or the CPU's model."""
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
class _Code:
    commit: str | None
    dirty: bool | None
    source_digest: str
    constraints_digest: str | None


@lru_cache(maxsize=1)
def _code() -> _Code:
    """Read once a process: the code that is running is the code that was there when it started."""
    status = _git("status", "--porcelain", "--", *SOURCES)
    constraints = ROOT / "constraints.txt"
    return _Code(
        commit=_git("rev-parse", "HEAD"),
        dirty=None if status is None else bool(status),
        source_digest=source_digest(),
        constraints_digest=_file_digest(constraints) if constraints.exists() else None,
    )


@lru_cache(maxsize=1)
def source_digest() -> str:
    """The digest of the sources of this package and of the methods, as they lie there."""
    files = sorted(path for folder in SOURCES[:2] for path in (ROOT / folder).rglob("*.py"))
    return digest_of_json([[path.relative_to(ROOT).as_posix(), _file_digest(path)] for path in files])


def _file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=20, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
