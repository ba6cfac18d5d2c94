"""The time that people wait before a number appears, against starting Python: `nox -s benchmarks`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stampbench import suite
from stampbench.store import Store
from tests.benchmarks.interleaved import compare
from tests.fixtures import factories

SUITE = """
title = "500 jobs"

[presets.quick.protocol]
train_images = 1000
validation_images = 100
epochs = 2
precision = "fp32"
threads = 1
learning_rate = {{ random = 0.1, reference = 0.05, target = 0.05 }}
reference = {{ dataset = "tinyimagenet", epochs = 1 }}

[[presets.quick.grid]]
targets = ["cifar10", "cifar100"]
networks = ["vgg19"]
width = 0.25
methods = ["random", "magnitude", "snip", "grasp", "synflow"]
budgets = [0.5, 0.25, 0.125, 0.0625, 0.03125]
seeds = {seeds}
"""


def python(*arguments: str) -> Callable[[], None]:
    """A function that starts Python with these arguments and waits for it."""

    def wait() -> None:
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)

    return wait


def pool(folder: Path, seeds: int) -> tuple[str, str]:
    """A suite of 50 jobs a seed with all their records: its file, and the folder of the records."""
    path, results = folder / "many.toml", folder / "results"
    path.write_text(SUITE.format(seeds=seeds))
    for job in suite.load(path).jobs("quick", "fp32"):
        Store(results).put(factories.record(job))
    return str(path), str(results)


@pytest.mark.benchmark
def test_help(rounds: int, benchmark: Any) -> None:
    """The goal is half a second."""
    names = {"what": "stampbench --help", "reference": "starting Python"}
    compare(benchmark, python("-m", "stampbench", "--help"), python("-c", ""), rounds, **names)


@pytest.mark.benchmark
def test_plan_of_500_jobs(tmp_path: Path, rounds: int, benchmark: Any) -> None:
    """The goal is a second."""
    path, results = pool(tmp_path, seeds=10)
    command = python("-m", "stampbench", "plan", path, "--results", results)
    compare(benchmark, command, python("-c", ""), rounds, what="plan, 500 jobs", reference="starting Python")


@pytest.mark.benchmark
def test_report_on_2000_records(tmp_path: Path, rounds: int, benchmark: Any) -> None:
    """The goal is five seconds."""
    path, results = pool(tmp_path, seeds=40)
    command = python("-m", "stampbench", "report", path, "--results", results, "--out", str(tmp_path / "out"))
    compare(benchmark, command, python("-c", ""), rounds, what="report, 2,000 records", reference="starting Python")
