"""The context that the harness lends a method while the method works on one job."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn

from stampbench import registry, seeding
from stampbench.contract import Artefact, Budget, Plan, SaliencyMethod, Task
from stampbench.data.catalogue import Dataset
from stampbench.data.loader import EpochLoader, training_batches
from stampbench.job import WEIGHTS, Job
from stampbench.measure.phases import PhaseClock, synchronize
from stampbench.pruning.planner import plan_by_scores
from stampbench.pruning.resources.base import Resource
from stampbench.running.checkpoint import Checkpoint
from stampbench.running.workplace import Workplace


def unseen(done: int, total: int) -> None:
    """Show no steps."""


@dataclass(frozen=True)
class JobContext:
    """The `Context` of one job: streams keyed by its target and seed, and its clock."""

    device: torch.device
    precision: str
    round_to: int
    floor: float
    dataset: Dataset
    seed: int
    resource: Resource
    clock: PhaseClock
    checkpoint: Checkpoint
    show: Callable[[int, int], None] = unseen

    def generator(self, purpose: str) -> torch.Generator:
        """Return a stream for methods alone: none of its purposes can meet one of the harness."""
        return seeding.generator(f"method/{purpose}", self.dataset.name, self.seed)

    def loader(self, task: Task, batch_size: int, purpose: str) -> EpochLoader:
        """Return training batches whose order and draws come from streams for methods alone."""
        return training_batches(task, self.dataset, batch_size, lambda part: self.generator(f"{purpose}/{part}"))

    def plan_by_scores(self, method: SaliencyMethod, network: nn.Module, task: Task, budget: Budget) -> Plan:
        """Keep what the method scores highest and the budget holds."""
        return plan_by_scores(method, network, task, budget, self)

    def progress(self, done: int, total: int) -> None:
        """Show how many steps of a long preparation are done."""
        self.show(done, total)

    def now(self) -> float:
        """Return the seconds on the clock, read once the device has done all that was asked of it."""
        synchronize(self.device)
        return time.perf_counter()

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Charge the seconds spent inside to that phase of the job's clock."""
        return self.clock.phase(name)


def context_of(
    job: Job, dataset: Dataset, seed: int, clock: PhaseClock, workplace: Workplace, name: str, table: Artefact | None
) -> JobContext:
    """Return the context of a job, or of an artefact: its streams are those of (dataset, seed).

    `table` is the artefact that a budget of time is predicted from.
    """
    protocol, checkpoint = job.protocol, checkpoint_of(workplace, name)
    shape = (protocol.precision, protocol.round_to, protocol.floor)
    return JobContext(workplace.device, *shape, dataset, seed, resource_of(job, table), clock, checkpoint)


def checkpoint_of(workplace: Workplace, name: str) -> Checkpoint:
    """Return the checkpoint of that name in the cache."""
    return Checkpoint(workplace.artefacts.cache / "checkpoints" / f"{name}.safetensors")


def resource_of(job: Job, table: Artefact | None) -> Resource:
    """Return the resource that the job's budget is a share of; where single weights are counted, MACs."""
    name = job.budget.resource
    resource = registry.RESOURCES.load("macs" if name == WEIGHTS else name)
    if resource.timing is not None and table is None:
        raise ValueError(f"a budget of {name} needs a table of layers, and the job names none")
    made: Resource = resource() if table is None or resource.timing is None else resource(table.tensors)
    return made
