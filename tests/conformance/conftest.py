"""The context, tasks and options with which the conformance suite runs every registered method."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from stampbench import registry, seeding
from stampbench.contract import Artefact, Budget, Method, Plan, SaliencyMethod, Split, Start, Task
from stampbench.data.catalogue import resolve
from stampbench.data.loader import EpochLoader
from stampbench.pruning.planner import plan_by_scores
from stampbench.pruning.resources.base import Resource
from stampbench.pruning.resources.macs import Macs
from stampbench.running import pretraining
from stampbench.running.checkpoint import Checkpoint
from tests.fixtures import factories
from tests.fixtures.strategies import lively


@dataclass
class ToyContext:
    """A context with streams of its own, as the runner's has, and a clock that counts nothing."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "fp32"
    round_to: int = 1
    floor: float = 0.05
    seed: int = 0
    resource: Resource = field(default_factory=Macs)
    checkpoint: Checkpoint = field(default_factory=lambda: Checkpoint(Path("no-such-folder") / "checkpoint"))

    def generator(self, purpose: str) -> torch.Generator:
        return seeding.generator(purpose, "toy", self.seed)

    def loader(self, task: Task, batch_size: int, purpose: str) -> EpochLoader:
        order, draws = (self.generator(f"{purpose}/{part}") for part in ("batch-order", "augmentation"))
        return EpochLoader(task.train, resolve("digits"), task.mean, task.std, batch_size, order, draws)

    def plan_by_scores(self, method: SaliencyMethod, network: nn.Module, task: Task, budget: Budget) -> Plan:
        return plan_by_scores(method, network, task, budget, self)

    def progress(self, done: int, total: int) -> None:
        """Show no steps."""

    def now(self) -> float:
        return time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        yield


def toy_task(classes: int = 4, count: int = 64, size: int = 16) -> Task:
    stream = torch.Generator().manual_seed(0)

    def split(n: int) -> Split:
        return Split(
            torch.randint(256, (n, 3, size, size), dtype=torch.uint8, generator=stream), torch.arange(n) % classes
        )

    return Task(split(count), split(16), classes, size, (0.5,) * 3, (0.25,) * 3)


# Methods whose own defaults are the size of a paper.
QUICK_OPTIONS = {
    "synflow": {"rounds": 5},
    "stamp": {"meta_steps": 1, "adaptation_steps": 1, "sets": 1},
    "transplant": {"mask": "snip", "meta_steps": 1, "adaptation_steps": 1},
    "metapruning": {"epochs": 1, "population": 4, "iterations": 2, "parents": 2, "mutations": 1, "crossovers": 1},
}
WIDTH = 0.125


def method_of(name: str) -> Method:
    """The method, small enough for a test."""
    found = registry.METHODS.load(name)
    return found(found.Options.model_validate(QUICK_OPTIONS.get(name, {})))


def planned(name: str, network: str, task: Task, budget: Budget, **changes: Any) -> Plan:
    """The method's plan for a lively network, its artefacts made first. `changes`: `dense`, `context`."""
    method, context = method_of(name), changes.get("context") or ToyContext()
    dense = changes.get("dense")
    job = factories.job(name, network=network, width=WIDTH, protocol=factories.protocol(batch_size=32))
    pretrained = {n: t[: task.classes] if n.startswith("head.") else t for n, t in lively(network).state_dict().items()}
    artefacts = {pretraining.KIND: Artefact(pretrained, 0.0)} if job.start is Start.REFERENCE else {}
    for spec in method.artefacts(job):
        artefacts[spec.kind] = method.prepare(spec, task, artefacts, context)
    return method.plan(lively(network) if dense is None else dense, task, budget, artefacts, context)


@pytest.fixture
def context():
    return ToyContext()


@pytest.fixture
def task():
    return toy_task()
