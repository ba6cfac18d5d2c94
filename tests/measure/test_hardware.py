import ctypes
import platform
import subprocess
import sys

import pytest

from stampbench.errors import UserError
from stampbench.measure import hardware


@pytest.fixture
def cpu_info(tmp_path, monkeypatch):
    path = tmp_path / "cpuinfo"
    monkeypatch.setattr(hardware, "_CPU_INFO", path)
    return path


def test_cpu_as_the_kernel_tells(cpu_info):
    cpu_info.write_text("processor : 0\nmodel name\t: Toy 9000 @ 1 GHz\nflags\t\t: fpu avx512_bf16\n\nprocessor : 1\n")
    assert hardware.cpu_model() == "Toy 9000 @ 1 GHz"
    assert hardware.cpu_flags() == {"fpu", "avx512_bf16"}
    assert hardware.cpu_generation() == ""


def test_the_generation_is_the_kernels_numbers(cpu_info):
    cpu_info.write_text("cpu family\t: 25\nmodel\t\t: 17\nmodel name\t: Toy\nstepping\t: 1\n")
    assert hardware.cpu_generation() == "25-17-1"


@pytest.mark.parametrize(("processor", "model"), [("Toy 9000", "Toy 9000"), ("", "toy64")])
def test_without_a_kernel_file_python_names_the_processor(cpu_info, monkeypatch, processor, model):
    monkeypatch.setattr(platform, "processor", lambda: processor)
    monkeypatch.setattr(platform, "machine", lambda: "toy64")
    assert hardware.cpu_flags() == frozenset()
    assert hardware.cpu_model() == model


@pytest.mark.parametrize(
    ("devices", "vendor", "flags", "precision"),
    [
        (0, "AuthenticAMD", "fpu avx2", "fp32"),
        (0, "AuthenticAMD", "fpu avx512_bf16", "bf16"),
        (0, "GenuineIntel", "fpu avx512_bf16", "fp32"),
        (0, "GenuineIntel", "avx512_bf16 amx_bf16", "bf16"),
        (1, "GenuineIntel", "fpu", "bf16"),
    ],
)
def test_precision(cpu_info, devices, vendor, flags, precision):
    cpu_info.write_text(f"vendor_id\t: {vendor}\nflags : {flags}\n")
    assert hardware.preferred_precision(cuda=devices > 0) == precision


@pytest.mark.parametrize(
    ("devices", "presets", "chosen"),
    [
        (0, ["paper", "quick"], "quick"),
        (1, ["quick", "paper"], "paper"),
        (0, ["demo"], "demo"),
        (1, ["demo"], "demo"),
    ],
)
def test_preset_by_device(devices, presets, chosen):
    class Suite:
        pass

    Suite.presets = dict.fromkeys(presets)
    assert hardware.default_preset(Suite, cuda=devices > 0) == chosen


def test_no_driver_is_no_device(monkeypatch):
    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert hardware.cuda_device_count.__wrapped__() == 0


def test_needs_no_torch_and_agrees_with_it():
    code = """
import sys
from stampbench.measure import hardware
count = hardware.cuda_device_count()
assert "torch" not in sys.modules
import torch
print(count == torch.cuda.device_count() or torch.version.cuda is None)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def test_absurdly_many_threads_are_refused_and_more_than_cores_are_not(monkeypatch):
    monkeypatch.setattr(hardware.os, "cpu_count", lambda: 2)
    hardware.refuse_more_threads(8)
    with pytest.raises(UserError, match=r"asks for 9 threads, and this machine has 2 cores; .* to 2, at most to 8"):
        hardware.refuse_more_threads(9)
