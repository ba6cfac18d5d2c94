"""The workplace: all that jobs run on, whichever executor runs them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch

from stampbench.data.catalogue import CustomDataset
from stampbench.record import Speed
from stampbench.running.artefacts import Artefacts
from stampbench.running.progress import Observer, Pace, Unfailing


class Speeds(Protocol):
    """The speed measurements so far: those of the pool, or those that a worker knows."""

    def has_speed(self, key: str) -> bool:
        """Say whether the speed of that key was measured."""
        ...

    def put_speed(self, speed: Speed) -> None:
        """Keep a measurement."""
        ...


class NewSpeeds:
    """The speeds that are measured here, kept until they are taken; `known` says which others were measured."""

    def __init__(self, known: Callable[[str], bool]) -> None:
        """Begin without any."""
        self._known, self._new = known, dict[str, Speed]()

    def has_speed(self, key: str) -> bool:
        """Say whether the speed of that key was measured, here or elsewhere."""
        return key in self._new or self._known(key)

    def put_speed(self, speed: Speed) -> None:
        """Keep a measurement."""
        self._new[speed.key] = speed

    def take(self) -> list[Speed]:
        """Return what was kept since the last time."""
        taken, self._new = list(self._new.values()), {}
        return taken


@dataclass(frozen=True)
class Workplace:
    """The surroundings of jobs: known speeds, artefacts, the user's own datasets, a device and an observer.

    `executor` is the name of what runs them; `exclusive` says whether a job has the machine to itself. What the
    observer raises reaches no job; see `Unfailing`.
    """

    speeds: Speeds
    artefacts: Artefacts
    custom: Mapping[str, CustomDataset]
    device: torch.device
    observer: Observer
    executor: str
    exclusive: bool = True

    def __post_init__(self) -> None:
        """Keep the observer's errors from the jobs."""
        if not isinstance(self.observer, Unfailing):
            object.__setattr__(self, "observer", Unfailing(self.observer))

    def reporter(self, label: str, epochs: int) -> Callable[[int, float, float], None]:
        """Return a function that reports an epoch, its loss and its accuracy on validation under that label."""
        return lambda epoch, loss, top1: self.observer.epoch(label, epoch, epochs, loss, top1)

    def pace(self, label: str) -> Pace:
        """Return a function that reports how many steps of an artefact's making are done, and the time left."""
        return Pace(lambda done, total, left: self.observer.steps(label, done, total, left))
