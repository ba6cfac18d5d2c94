"""NVML is read through its own names; what it cannot tell is absent, never made up."""

import sys
from types import SimpleNamespace

import pytest
import torch

from stampbench.measure.gpu import REASONS, gpu_state
from stampbench.record import Gpu

CUDA = torch.device("cuda")


class NVMLError(Exception):
    pass


@pytest.fixture
def nvml(monkeypatch):
    """A card held back by its power cap and by heat."""
    clocks = {"sm": 1410, "mem": 2619}
    fake = SimpleNamespace(
        NVMLError=NVMLError,
        NVML_CLOCK_SM="sm",
        NVML_CLOCK_MEM="mem",
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID={"GPU-1234": "the card"}.__getitem__,
        nvmlDeviceGetCurrentClocksThrottleReasons=lambda handle: 0x24,
        nvmlSystemGetDriverVersion=lambda: "580.65.06",
        nvmlDeviceGetClockInfo=lambda handle, kind: clocks[kind],
    )
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(uuid="1234"))
    return fake


def test_driver_clocks_and_reasons(nvml):
    assert gpu_state(CUDA) == Gpu(
        driver="580.65.06",
        sm_clock_mhz=1410,
        memory_clock_mhz=2619,
        throttle_reasons=["power-cap", "software-thermal"],
    )


def test_a_cpu_has_none(nvml):
    assert gpu_state(torch.device("cpu")) is None


def test_without_nvml_there_is_none(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpu_state(CUDA) is None


def test_a_card_that_nvml_does_not_know_has_none(nvml):
    def unknown(uuid):
        raise NVMLError

    nvml.nvmlDeviceGetHandleByUUID = unknown
    assert gpu_state(CUDA) is None


def test_reasons_are_single_bits():
    assert all(bit.bit_count() == 1 for bit in REASONS)
