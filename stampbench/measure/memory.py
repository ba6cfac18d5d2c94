"""Memory: what the process does with memory that was freed, and the peak of a job.

The peak is of the device's memory if it has its own, else of the process's resident memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import platform
import re
from pathlib import Path

import torch

_CLEAR, _STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")
# Parameters of glibc's mallopt (malloc.h): how many blocks may be mapped, and how much free memory is kept.
_MMAP_MAX, _TRIM_THRESHOLD, _NEVER = -4, -1, -1
# Whether this process keeps freed memory; the C library cannot be asked.
_keeps = False


def keep_freed() -> None:
    """Let the process keep freed memory for what comes next, until it ends, if its C library is glibc.

    By default glibc gives some of it back to the system after a training step, and the next step waits while the system
    clears it again. How much that is depends on what the process did before, so steps of one network differ by it.
    """
    global _keeps
    if (library := _glibc()) is not None:
        _keeps = bool(library.mallopt(_MMAP_MAX, 0) and library.mallopt(_TRIM_THRESHOLD, _NEVER))


def freed_is_kept() -> bool:
    """Return whether `keep_freed` had its effect in this process."""
    return _keeps


def reset_peak(device: torch.device) -> None:
    """Start a new measurement, without what was freed before; without /proc there is nothing to reset."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        if (library := _glibc()) is not None:
            library.malloc_trim(0)
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")


def peak_mib(device: torch.device) -> float | None:
    """Return the peak in MiB since `reset_peak`, or None where the system does not report it."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    except OSError:
        return None
    return int(found[1]) / 2**10 if found else None


def _glibc() -> ctypes.CDLL | None:
    return ctypes.CDLL(None) if platform.libc_ver()[0] == "glibc" else None
