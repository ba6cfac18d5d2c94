"""A toy suite, and an executor that makes its records up."""

from pathlib import Path
from typing import ClassVar

from stampbench.job import Job
from stampbench.measure import hardware
from stampbench.running.executors.local import Local
from stampbench.store import Store
from tests.fixtures import factories

SUITE = """
title = "A toy"

[presets.quick.protocol]
train_images = 1000
validation_images = 100
epochs = 2
threads = 1
learning_rate = { random = 0.1, reference = 0.05, target = 0.05 }
reference = { dataset = "tinyimagenet", epochs = 1 }

[[presets.quick.grid]]
targets = ["cifar10", "svhn"]
networks = ["vgg19"]
width = 0.25
methods = ["dense", "magnitude"]
budgets = [0.25, 0.5]
seeds = 2

[presets.paper.protocol]
validation_images = 5000
epochs = 160
threads = 1
learning_rate = { random = 0.1, reference = 0.05, target = 0.05 }
reference = { dataset = "tinyimagenet", epochs = 100 }

[[presets.paper.grid]]
targets = ["cifar10"]
networks = ["vgg19"]
width = 1.0
methods = ["dense"]
budgets = [0.25]
seeds = 1
"""
QUICK_JOBS = 2 * 2 * (1 + 2)


class Runs:
    """The orders for the executor `FakeExecutor`, and what it was asked."""

    def __init__(self) -> None:
        self.jobs, self.retry, self.queue, self.failing, self.error = [], None, None, (), None

    def run(self, queue, jobs, store, observer, retry):
        self.jobs, self.retry, self.queue = list(jobs), retry, queue
        if self.error is not None:
            raise self.error
        observer.suite_started(len(jobs), 0, None)
        for job in jobs:
            observer.job_started(job)
            record = factories.failed(job) if job.seed in self.failing else factories.record(job)
            store.put(record)
            observer.job_finished(record)
        return []


class FakeExecutor(Local):
    """Fabricates records in the place of the executor that is the default."""

    runs: ClassVar[Runs]
    queue: str = "short"

    def run(self, jobs, suite, store, observer, retry=False, seconds_left=None):
        return self.runs.run(self.queue, jobs, store, observer, retry)


def fill(folder: Path, **changes) -> list[Job]:
    """Store a record of every job of the suite in the folder, and return the jobs."""
    from stampbench import suite

    jobs = suite.load(folder / "suites" / "toy.toml").jobs("quick", hardware.preferred_precision(cuda=False))
    for job in jobs:
        Store(folder / "results").put(factories.record(job, **changes))
    return jobs
