"""The scope of a section or claim in words: which jobs, under which conditions, from which images and devices."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from stampbench.job import Job


@dataclass(frozen=True)
class Scope:
    """The scope of one section. All of its jobs share one protocol, except for the numbers of epochs, in `epochs`.

    `origin` says in words which training images and devices the numbers come from. `device` is above 1 where other
    devices have more records of the same seeds, under budgets of time.
    """

    suite: str
    preset: str
    job: Job
    epochs: tuple[int, ...]
    origin: str
    device: int = 1

    @classmethod
    def of(cls, suite: str, preset: str, jobs: Sequence[Job], frame: pd.DataFrame, device: int = 1) -> Scope:
        """Return the scope of these jobs, whose `job_frame` is `frame`."""
        return cls(suite, preset, jobs[0], tuple(sorted({job.protocol.epochs for job in jobs})), _origin(frame), device)

    @property
    def setting(self) -> str:
        """The conditions, the number of training images of each target, and the devices, in words."""
        return f"{self.conditions}; {self.origin}"

    def name(self, *parts: str) -> str:
        """Return a name for a table or figure, made of small letters, digits, dots and hyphens."""
        again = () if self.device == 1 else (f"device-{self.device}",)
        words = [self.suite, self.preset, *parts, self.job.protocol.precision, *again]
        return re.sub(r"[^a-z0-9.]+", "-", "-".join(words).lower())

    @property
    def conditions(self) -> str:
        """The epochs, the precision and the protocol version, in words."""
        protocol = self.job.protocol
        epochs = "1 epoch" if self.epochs == (1,) else f"{' to '.join(map(str, self._ends))} epochs"
        return f"{epochs}, {protocol.precision}, protocol version {self.job.protocol_version}"

    @property
    def _ends(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys((self.epochs[0], self.epochs[-1])))


def devices(jobs: pd.DataFrame) -> str:
    """Return in words on which devices the numbers were computed, and whether devices or numerics differ."""
    found, numerics = jobs["device"].dropna().unique(), jobs["fingerprint"].nunique()
    where = distinct(found) or "no device yet"
    mixed = "mixed devices: " if len(found) > 1 else ""
    fingerprints = f" ({numerics} numeric fingerprints: bits may differ)" if numerics > 1 else ""
    elsewhere = distinct(d for d in jobs["speed_device"].dropna().unique() if d not in found)
    return f"{mixed}{where}{fingerprints}" + (f", speed-ups on {elsewhere}" if elsewhere else "")


def distinct(values: Iterable[Any]) -> str:
    """Return the different values in sorted order: "A / B"."""
    return " / ".join(sorted({str(value) for value in values}))


def _origin(jobs: pd.DataFrame) -> str:
    used = jobs.dropna(subset="train").drop_duplicates(["display_name", "train"])
    images = [f"{name} {count:,.0f}" for name, count in zip(used["display_name"], used["train"], strict=True)]
    return f"training images: {', '.join(images) or 'unknown'}; {devices(jobs)}"
