"""The devices and processor of this machine, found out without importing torch."""

from __future__ import annotations

import ctypes
import os
import platform
from functools import cache
from pathlib import Path

from stampbench.errors import UserError
from stampbench.job import Precision
from stampbench.suite import Suite

MOST_THREADS_PER_CORE = 4
_CPU_INFO = Path("/proc/cpuinfo")


@cache
def cuda_device_count() -> int:
    """Return the number of CUDA devices that the driver shows to this process; 0 without a driver."""
    for library in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(library)
        except OSError:
            continue
        count = ctypes.c_int(0)
        if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0:
            return count.value
    return 0


def device_name() -> str:
    """Return the name of the first GPU or, where there is none, the model of the CPU."""
    if not cuda_device_count():
        return cpu_model()
    import torch

    return str(torch.cuda.get_device_name(0))


def refuse_more_threads(threads: int) -> None:
    """Raise `UserError` if a suite asks for an absurd number of threads: more than four per core of this machine."""
    most = MOST_THREADS_PER_CORE * (cores := os.cpu_count() or 1)
    if threads > most:
        raise UserError(
            f"the suite asks for {threads} threads, and this machine has {cores} cores; lower `threads` in the "
            f"protocol to {cores}, at most to {most}, or run on a machine with more cores"
        )


def cpu_model() -> str:
    """Return the processor's name as the kernel gives it, else as Python's `platform` does."""
    return _cpu_field("model name") or platform.processor() or platform.machine()


def cpu_generation() -> str:
    """Return family, model and stepping by the Linux kernel's numbers, which a name may hide; "" on other systems."""
    numbers = [_cpu_field(f"{name}\t") for name in ("cpu family", "model", "stepping")]
    return "-".join(numbers) if all(numbers) else ""


def cpu_flags() -> frozenset[str]:
    """Return the processor's features by the Linux kernel's names; empty on other systems."""
    return frozenset(_cpu_field("flags").split())


def preferred_precision(cuda: bool) -> Precision:
    """Return "bf16" where the device gains from it: on CUDA, and on CPUs that are faster at it; else "fp32".

    AMX is faster, and AVX-512's bf16 instructions are on AMD's processors. On Intel's a step of VGG-19 took longer.
    """
    flags, vendor = cpu_flags(), _cpu_field("vendor_id")
    gains = "amx_bf16" in flags or ("avx512_bf16" in flags and vendor != "GenuineIntel")
    return "bf16" if cuda or gains else "fp32"


def default_preset(suite: Suite, cuda: bool) -> str:
    """Return the default preset: `paper` on CUDA, else `quick`; the suite's first one if it lacks that."""
    wanted = "paper" if cuda else "quick"
    return wanted if wanted in suite.presets else next(iter(suite.presets))


def _cpu_field(name: str) -> str:
    try:
        lines = _CPU_INFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")
