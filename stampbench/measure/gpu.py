"""The state of a GPU under load, as NVML reports it: driver, clocks, and the reasons that throttle them."""

from __future__ import annotations

import torch

from stampbench.record import Gpu

# From nvmlClocksEventReasons in nvml.h; "gpu-idle" throttles nothing, but shows that the GPU was not under load.
REASONS = {
    0x001: "gpu-idle",
    0x002: "application-clocks",
    0x004: "power-cap",
    0x008: "hardware-slowdown",
    0x010: "sync-boost",
    0x020: "software-thermal",
    0x040: "hardware-thermal",
    0x080: "power-brake",
    0x100: "display-clocks",
}


def gpu_state(device: torch.device) -> Gpu | None:
    """Return the GPU's present state, to be read right after the timed work.

    The result is None on a CPU and where nvidia-ml-py cannot read it.
    """
    if device.type != "cuda":
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{torch.cuda.get_device_properties(device).uuid}")
        reasons = pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle)
        return Gpu(
            driver=str(pynvml.nvmlSystemGetDriverVersion()),
            sm_clock_mhz=pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
            memory_clock_mhz=pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM),
            throttle_reasons=[name for bit, name in REASONS.items() if reasons & bit],
        )
    except pynvml.NVMLError:
        return None
