"""What the conformance suite runs every registered method on."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import torch

from stampbench import seeding
from stampbench.contract import Split, Task


@dataclass
class ToyContext:
    """A context with streams of its own, as the runner's has, and a clock that counts nothing."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    precision: str = "fp32"
    round_to: int = 1
    floor: float = 0.05
    seed: int = 0

    def generator(self, purpose: str) -> torch.Generator:
        return seeding.generator(purpose, "toy", self.seed)

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


@pytest.fixture
def context():
    return ToyContext()


@pytest.fixture
def task():
    return toy_task()
