"""The data from which all tables and figures of one section are made."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from stampbench.job import Job
from stampbench.record import Record
from stampbench.report import published
from stampbench.report.claims import JudgedClaim, judged_claims, rows_of
from stampbench.report.frames import PLACE, ROW, cell_frame, job_frame
from stampbench.report.published import Source
from stampbench.report.words import row_in_words, share_in_words
from stampbench.store import Store
from stampbench.suite import Suite


@dataclass(frozen=True)
class Scope:
    """The scope of one section. All of its jobs share one protocol, except for the numbers of epochs, in `epochs`.

    `origin` says in words which training images and devices the numbers come from.
    """

    suite: str
    preset: str
    job: Job
    epochs: tuple[int, ...]
    origin: str

    @classmethod
    def of(cls, suite: str, preset: str, jobs: Sequence[Job], frame: pd.DataFrame) -> Scope:
        """Return the scope of these jobs, whose `job_frame` is `frame`."""
        return cls(suite, preset, jobs[0], tuple(sorted({job.protocol.epochs for job in jobs})), _origin(frame))

    @property
    def setting(self) -> str:
        """The conditions, the number of training images of each target, and the devices, in words."""
        return f"{self.conditions}; {self.origin}"

    def name(self, *parts: str) -> str:
        """Return a name for a table or figure, made of small letters, digits, dots and hyphens."""
        words = [self.suite, self.preset, *parts, self.job.protocol.precision]
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


@dataclass(frozen=True)
class Goal:
    """The accuracy to reach: that of one row (the values of `ROW`) at the share `keep`, after `epochs` epochs."""

    row: tuple[str, ...]
    keep: float
    epochs: int

    @classmethod
    def of(cls, suite: Suite, jobs: Sequence[Job], frame: pd.DataFrame, epochs: int) -> Goal | None:
        """Return the goal that the suite sets, or None if it sets none or no job belongs to the goal's row."""
        point = suite.comparison
        if point is None or point.accuracy_of is None:
            return None
        found = rows_of(suite.row_of(point.accuracy_of), jobs, frame)
        return None if found.empty else cls(tuple(found[ROW].iloc[0]), point.keep, epochs)

    def accuracy(self, cells: pd.DataFrame) -> float | None:
        """Return the accuracy to reach, in [0, 1], or None if these cells of one place and resource lack it."""
        found = cells[(cells[[*ROW, "keep", "epochs"]] == [*self.row, self.keep, self.epochs]).all(axis=1)]
        return float(found["top1"].iloc[0]) if len(found) else None

    def in_words(self, resource: str) -> str:
        """Return the row and its share: "magnitude pretrained on the target at 1/4 of the MACs"."""
        row = dict(zip(ROW, self.row, strict=True))
        return f"{row_in_words(row['variant'], row['start'])} at {share_in_words(self.keep, resource)}"


@dataclass(frozen=True)
class Data:
    """The data that a section is made from: its jobs and cells as frames, their records, and its claims as judged.

    `own_epochs` is the suite's own schedule; where there are several schedules, methods are compared at this one.
    `compared_keep` is the share at which schedules and work on the reference side are compared, and `goal` is the
    accuracy to reach; both are None where the suite names none. `subject` holds the values of `ROW` of the row that the
    first claim is about, or is None without claims.
    """

    scope: Scope
    own_epochs: int
    records: Mapping[str, Record]
    frame: pd.DataFrame
    cells: pd.DataFrame
    claims: tuple[JudgedClaim, ...] = ()
    compared_keep: float | None = None
    goal: Goal | None = None
    subject: tuple[str, ...] | None = None
    published: tuple[Source, ...] = ()

    @classmethod
    def of(cls, suite: Suite, preset: str, jobs: Sequence[Job], store: Store) -> Data:
        """Return the data of a preset's jobs, with the records of them that the store has."""
        frame, epochs = job_frame(jobs, store), suite.preset(preset).protocol.epochs
        return cls(
            scope=Scope.of(suite.name, preset, jobs, frame),
            own_epochs=epochs,
            records={key: record for key in frame["key"] if (record := store.get(key))},
            frame=frame,
            # From the largest share kept to the smallest, whatever the order of the suite's grids.
            cells=cell_frame(frame).sort_values("keep", ascending=False, kind="stable", ignore_index=True),
            claims=tuple(judged_claims(suite, jobs, frame)),
            compared_keep=suite.comparison.keep if suite.comparison else None,
            goal=Goal.of(suite, jobs, frame, epochs),
            subject=_subject(suite, jobs, frame),
            published=published.load(),
        )

    @property
    def channel_cells(self) -> pd.DataFrame:
        """The cells with an accuracy whose methods remove whole channels."""
        return self.cells[(self.cells["granularity"] == "channel") & self.cells["top1"].notna()]

    @property
    def compared_cells(self) -> pd.DataFrame:
        """The channel cells that enter comparisons: those at the suite's share and those that keep everything."""
        shares = [] if self.compared_keep is None else [self.compared_keep, 1.0]
        return self.channel_cells[self.channel_cells["keep"].isin(shares)]


def _subject(suite: Suite, jobs: Sequence[Job], frame: pd.DataFrame) -> tuple[str, ...] | None:
    found = rows_of(suite.row_of(suite.claims[0].subject), jobs, frame) if suite.claims else frame[:0]
    return None if found.empty else tuple(found[ROW].iloc[0])


def by_resource(rows: pd.DataFrame) -> Iterator[tuple[str, tuple[str, ...], pd.DataFrame]]:
    """Yield every resource that the rows keep a share of, a suffix for the names of its tables, and its rows.

    No table or figure may compare shares of two resources. Rows that keep everything belong to every resource. The
    suffix is a tuple that holds the resource's name, or nothing if there is only one resource.
    """
    pruned = rows[rows["keep"] < 1]
    resources = list(dict.fromkeys((rows if pruned.empty else pruned)["resource"]))
    for resource in resources:
        name = (resource,) if len(resources) > 1 else ()
        yield resource, name, rows[(rows["resource"] == resource) | (rows["keep"] == 1)]


def at_place(frame: pd.DataFrame, place: Sequence[Any]) -> pd.DataFrame:
    """Return the rows of one target, network and width."""
    return frame[(frame[PLACE] == list(place)).all(axis=1)]


def devices(jobs: pd.DataFrame) -> str:
    """Return in words on which devices the numbers were computed, and whether devices or numerics differ."""
    found, numerics = jobs["device"].dropna().unique(), jobs["fingerprint"].nunique()
    where = distinct(found) or "no device yet"
    mixed = "mixed devices: " if len(found) > 1 else ""
    fingerprints = f" ({numerics} numeric fingerprints: bits may differ)" if numerics > 1 else ""
    elsewhere = distinct(d for d in jobs["speed_device"].dropna().unique() if d not in found)
    return f"{mixed}{where}{fingerprints}" + (f", speed-ups on {elsewhere}" if elsewhere else "")


def display_name(jobs: pd.DataFrame, target: str) -> str:
    """Return what readers call the target of these jobs, or its registered name if none of them has a record."""
    return distinct(jobs["display_name"].dropna()) or f"{target} (no data used yet)"


def distinct(values: Iterable[Any]) -> str:
    """Return the different values in sorted order: "A / B"."""
    return " / ".join(sorted({str(value) for value in values}))


def _origin(jobs: pd.DataFrame) -> str:
    used = jobs.dropna(subset="train").drop_duplicates(["display_name", "train"])
    images = [f"{name} {count:,.0f}" for name, count in zip(used["display_name"], used["train"], strict=True)]
    return f"training images: {', '.join(images) or 'unknown'}; {devices(jobs)}"
