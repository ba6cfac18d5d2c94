"""A training step under several ways of waiting for OpenMP's threads, alone and beside others.

`python -m tests.benchmarks.waiting`, on an idle machine of two cores; it takes eleven minutes.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tabulate import tabulate

from stampbench.files import write_atomically
from stampbench.measure import hardware

SETTINGS = {
    "default": {},
    "GOMP_SPINCOUNT=10000": {"GOMP_SPINCOUNT": "10000"},
    "GOMP_SPINCOUNT=3000": {"GOMP_SPINCOUNT": "3000"},
    "OMP_WAIT_POLICY=PASSIVE": {"OMP_WAIT_POLICY": "PASSIVE"},
}
OTHERS = {"idle": None, "beside a busy loop": "while True: pass", "beside the same training": "train(9999)"}
SECONDS, ROUNDS = 4, {"idle": 5, "beside a busy loop": 3, "beside the same training": 3}
STEP = """
import time
from statistics import median
import torch
from torch.nn.functional import cross_entropy
from stampbench.measure.hardware import preferred_precision
from stampbench.networks.initial import build

def train(seconds):
    torch.set_num_threads(2)
    network = build("vgg19", 10, 0.25)
    optimiser = torch.optim.SGD(network.parameters(), 0.01)
    bf16 = preferred_precision(cuda=False) == "bf16"
    images, labels = torch.zeros(128, 3, 32, 32), torch.zeros(128, dtype=torch.long)
    taken, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 4:
        start = time.perf_counter()
        optimiser.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            cross_entropy(network(images), labels).backward()
        optimiser.step()
        taken.append(time.perf_counter() - start)
    print(median(taken[3:]))

"""


def main(written: Path) -> None:
    """Write the table of all medians, in ms, in the order in which they were taken."""
    found: dict[tuple[str, str], list[float]] = {(other, setting): [] for other in OTHERS for setting in SETTINGS}
    for other in OTHERS:
        for _ in range(ROUNDS[other]):
            for setting in SETTINGS:
                with beside(other, setting):
                    found[other, setting].append(1000 * float(trained(setting).communicate()[0]))
    rows = [
        [other, setting, round(statistics.median(ms)), ", ".join(f"{value:.0f}" for value in ms)]
        for (other, setting), ms in found.items()
    ]
    table = tabulate(rows, headers=["", "setting", "median, ms", "each run, ms"], tablefmt="pipe")
    where = f"VGG-19 × 0.25, batch of 128, {hardware.preferred_precision(cuda=False)}, {hardware.cpu_model()}."
    write_atomically(written, f"# How threads wait\n\n{__doc__}\n{where}\n\n{table}\n")


@contextmanager
def beside(other: str, setting: str) -> Iterator[None]:
    """Keep the machine busy with the other work, if there is any."""
    code = OTHERS[other]
    process = trained(setting, code) if code else None
    if process:
        time.sleep(6)
    try:
        yield
    finally:
        if process:
            process.kill()
            process.communicate()


def trained(setting: str, code: str = f"train({SECONDS})") -> subprocess.Popen[str]:
    """Start a process with that setting, which trains unless it is told otherwise."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    command = [sys.executable, "-c", STEP + code]
    return subprocess.Popen(command, env=environment | SETTINGS[setting], stdout=subprocess.PIPE, text=True)


if __name__ == "__main__":
    main(Path("results/benchmarks/waiting.md"))
