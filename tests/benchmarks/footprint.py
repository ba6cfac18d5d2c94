"""A dataset's memory in a job, in one fresh process per size: `python -m tests.benchmarks.footprint`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from tabulate import tabulate

from stampbench import seeding
from stampbench.contract import Split
from stampbench.data import catalogue, packed
from stampbench.data.loader import training_batches
from stampbench.data.split import make_task, test_split
from stampbench.files import write_atomically
from stampbench.measure import memory
from stampbench.measure.hardware import cpu_model

SIZES = (10_000, 50_000, 200_000)
DATASET = catalogue.DATASETS["cifar10"]
STAGES = ("before", "loaded", "task drawn", "an epoch")


def main() -> None:
    """Writes `results/benchmarks/memory.md`."""
    rows = [(f"{size:,}", f"{size * 3 * 32 * 32 / 2**20:.0f}", *map(round, measured(size))) for size in SIZES]
    table = tabulate(rows, headers=["training images", "packed MiB", *STAGES], tablefmt="pipe", disable_numparse=True)
    write_atomically(
        Path("results/benchmarks/memory.md"),
        f"# Memory against the size of a dataset\n\n{cpu_model()}. Peak resident MiB of a process that loads generated "
        "images of 32×32 from the packed cache (a fifth as many test images come with them), draws a task of all of "
        f"them, and goes through an epoch of batches, each stage on its own.\n\n{table}\n",
    )


def measured(size: int) -> list[float]:
    """Peak MiB at each stage."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {"STAMPBENCH_CACHE": cache}
        for step in ("make", "measure"):
            command = [sys.executable, "-m", "tests.benchmarks.footprint", step, str(size)]
            done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    peaks: list[float] = json.loads(done.stdout)
    return peaks


def make(size: int) -> None:
    """Packs so many generated images under the dataset's name."""
    stream = seeding.generator("benchmark", "images", 0)
    train, test = (
        Split(torch.randint(256, (n, 3, 32, 32), dtype=torch.uint8, generator=stream), torch.arange(n) % 10)
        for n in (size, size // 5)
    )
    mean, std = packed.channel_statistics(test.images)
    manifest = packed.Manifest(
        name=DATASET.name,
        display_name=f"generated-{size}",
        source="generated",
        train=size,
        test=len(test),
        classes=10,
        size=32,
        mean=mean,
        std=std,
        digest=seeding.digest_of(train.images, train.labels, test.images, test.labels),
    )
    whole = packed.PackedDataset(manifest, train, test)
    packed.write(whole, packed.folder_of(DATASET))


def measure() -> None:
    """Prints the peaks."""
    peaks = [peak()]
    images = packed.load(DATASET.name)
    peaks.append(peak())
    task, _ = make_task(images, DATASET, None, 1000, 0, "cpu")
    test = test_split(images, "cpu")
    peaks.append(peak())
    loader = training_batches(task, DATASET, 128, lambda part: seeding.generator(part, "benchmark", 0))
    assert sum(1 for _ in loader.epoch()) == len(task.train) // 128 and len(test)
    print(json.dumps([*peaks, peak()]))


def peak() -> float:
    """Since the last call."""
    found = memory.peak_mib(torch.device("cpu"))
    assert found is not None
    memory.reset_peak(torch.device("cpu"))
    return found


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", size]:
            make(int(size))
        case ["measure", _]:
            measure()
        case _:
            main()
