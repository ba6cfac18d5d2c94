"""A toy suite, and an executor that makes its records up."""

from typing import ClassVar

from stampbench.running.executors.local import Local
from tests.fixtures import factories
from tests.fixtures.toy_suite import toy_suite

SUITE = (
    toy_suite('["dense", "magnitude"]')
    + """
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
)
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
