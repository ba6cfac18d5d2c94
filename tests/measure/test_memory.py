"""A process keeps freed memory, as the page faults that the kernel counts tell, and a job's peak leaves it out."""

import json
import os
import platform
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be told to keep freed memory")

# Every line that is printed holds the page faults of ten times 48 MiB, more than glibc ever keeps by itself.
FAULTS = """
import json, resource, torch
from stampbench.measure import memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(12 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(json.dumps([faults(), memory.freed_is_kept()]))
memory.keep_freed()
faults()
print(json.dumps([faults(), memory.freed_is_kept()]))
"""
PEAKS = """
import json, torch
from stampbench.measure import memory

memory.keep_freed()
def peak(mib):
    memory.reset_peak(torch.device("cpu"))
    torch.ones(mib * 2**18)
    return memory.peak_mib(torch.device("cpu"))

print(json.dumps([peak(mib) for mib in (1, 300, 1, 300)]))
"""


def printed(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_memory_that_is_kept_is_not_asked_for_again():
    (before, kept_before), (after, kept_after) = printed(FAULTS)
    assert (kept_before, kept_after) == (False, True)
    assert after * 100 < before


@pytest.mark.skipif(not os.access("/proc/self/clear_refs", os.W_OK), reason="this system cannot reset the peak")
def test_the_peak_of_a_job_leaves_out_what_was_kept_from_an_earlier_one():
    (peaks,) = printed(PEAKS)
    first, second = peaks[1] - peaks[0], peaks[3] - peaks[2]
    assert first == pytest.approx(300, rel=0.1) and second == pytest.approx(300, rel=0.1)
