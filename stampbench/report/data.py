"""The data from which all tables and figures of one section are made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from stampbench.job import Job
from stampbench.record import Record
from stampbench.report import published
from stampbench.report.claims import Evidence, JudgedClaim, judged_claims, rows_of
from stampbench.report.frames import PLACE, ROW, cell_frame, job_frame
from stampbench.report.published import Source
from stampbench.report.scope import Scope, distinct
from stampbench.report.words import row_in_words, share_in_words
from stampbench.store import Store
from stampbench.suite import Claim, Suite


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
    def of(cls, suite: Suite, preset: str, jobs: Sequence[Job], store: Store, device: int = 1) -> Data:
        """Return the data of a preset's jobs, with the records of them that the store has.

        `device` is the number of the device that they were run on, among those with records of the same seeds.
        """
        frame, epochs = job_frame(jobs, store), suite.preset(preset).protocol.epochs
        scope = Scope.of(suite.name, preset, jobs, frame, device)
        own: Evidence = (scope, jobs, frame)
        evidence = [_evidence(suite, claim, own, store) for claim in suite.claims]
        judged = {job.key: job for _, judging, _ in (own, *evidence) for job in judging}
        return cls(
            scope=scope,
            own_epochs=epochs,
            records=store.of(judged.values()),
            frame=frame,
            # From the largest share kept to the smallest, whatever the order of the suite's grids.
            cells=cell_frame(frame).sort_values("keep", ascending=False, kind="stable", ignore_index=True),
            claims=tuple(judged_claims(suite, evidence)),
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


def _evidence(suite: Suite, claim: Claim, own: Evidence, store: Store) -> Evidence:
    """Return what a claim is judged by: the section's own jobs and, where it names other suites, theirs as well."""
    scope, jobs, _ = own
    others = suite.jobs_of_claim(claim, scope.preset, scope.job.protocol.precision)
    if not others:
        return own
    together = list({job.key: job for job in (*jobs, *others)}.values())
    frame = job_frame(together, store)
    return Scope.of(scope.suite, scope.preset, together, frame, scope.device), together, frame


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


def display_name(jobs: pd.DataFrame, target: str) -> str:
    """Return what readers call the target of these jobs, or its registered name if none of them has a record."""
    return distinct(jobs["display_name"].dropna()) or f"{target} (no data used yet)"
