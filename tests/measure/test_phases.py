"""The clock adds up."""

import subprocess
import sys
import time

import pytest
import torch

from stampbench.measure.memory import peak_mib
from stampbench.measure.phases import PhaseClock

CPU = torch.device("cpu")


class Ticks:
    """A clock that moves only when told."""

    def __init__(self, monkeypatch):
        self.now = 100.0
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def pass_(self, seconds):
        self.now += seconds


def test_inner_phases_pause_outer_ones_and_the_rest_is_outside(monkeypatch):
    ticks = Ticks(monkeypatch)
    clock = PhaseClock(CPU)
    ticks.pass_(1)
    with clock.phase("prune"):
        ticks.pass_(2)
        with clock.phase("prune/search"):
            ticks.pass_(4)
        ticks.pass_(8)
    ticks.pass_(16)
    with clock.phase("train"):
        ticks.pass_(32)
    with clock.phase("prune"):
        ticks.pass_(64)
    assert clock.seconds == {"prune": 74, "prune/search": 4, "train": 32}
    assert clock.outside() == 17


def test_a_phase_that_raises_is_charged(monkeypatch):
    ticks = Ticks(monkeypatch)
    clock = PhaseClock(CPU)
    with pytest.raises(KeyError), clock.phase("train"):
        ticks.pass_(3)
        raise KeyError
    ticks.pass_(5)
    assert clock.seconds == {"train": 3}
    assert clock.outside() == 5


def test_peak_memory_sees_a_large_tensor_and_is_reset():
    """In a process of its own: one that has freed much would give its memory again, and grow by nothing."""
    if peak_mib(CPU) is None:
        pytest.skip("this system does not tell a process its peak memory")
    code = """
import torch
from stampbench.measure.memory import peak_mib, reset_peak
cpu = torch.device("cpu")
reset_peak(cpu)
print(peak_mib(cpu))
block = torch.ones(512 * 2**18)
print(peak_mib(cpu))
del block
reset_peak(cpu)
print(peak_mib(cpu))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, during, after = map(float, done.stdout.split())
    # Some kernels take cold pages back meanwhile, so not all of the 512 MiB need show.
    assert during >= before + 256
    assert after < before + 128
