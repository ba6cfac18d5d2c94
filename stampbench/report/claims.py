"""Tests of a suite's claims: one row is compared with others, paired by seed, with p values Holm-corrected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from stampbench.grid import Row
from stampbench.job import Job
from stampbench.report.frames import accuracies_by_seed, groups
from stampbench.report.scope import Scope
from stampbench.report.words import resource_label
from stampbench.statistics import Comparison, compare, holm
from stampbench.suite import Suite

# What a claim is judged by: the scope of some jobs, the jobs, and their `job_frame`.
Evidence = tuple[Scope, Sequence[Job], pd.DataFrame]
SIGNIFICANT = 0.05
BETTER, SAME, WORSE, FEW = VERDICTS = ("better", "no difference shown", "worse", "too few seeds")


class Match(NamedTuple):
    """The properties that two rows must share to be compared; the fields are columns of a `job_frame`."""

    target: str
    network: str
    width: float
    epochs: int
    resource: str
    keep: float


@dataclass(frozen=True)
class Line:
    """The comparison of a claim's subject with one other row; `match` is what both have in common."""

    match: Match
    other: str
    comparison: Comparison
    keys: tuple[str, ...]


@dataclass(frozen=True)
class JudgedClaim:
    """The outcome of a claim under one resource: its comparisons and their Holm-corrected p values.

    A p value is None where there are too few seeds. `name` is that of its table; the title names the resource; `scope`
    is about all jobs that the claim was judged by.
    """

    scope: Scope
    name: str
    title: str
    subject: str
    lines: tuple[Line, ...]
    adjusted: tuple[float | None, ...]

    @property
    def verdicts(self) -> list[str]:
        """The verdict on every line."""
        return [verdict(line.comparison, p) for line, p in zip(self.lines, self.adjusted, strict=True)]

    @property
    def tally(self) -> str:
        """The number of comparisons with each verdict: "9 better, 1 no difference shown"."""
        counts = Counter(self.verdicts)
        return ", ".join(f"{counts[word]} {word}" for word in VERDICTS if counts[word])


def judged_claims(suite: Suite, evidence: Sequence[Evidence]) -> list[JudgedClaim]:
    """Test every claim of the suite that its evidence holds something of, each resource on its own."""
    found = []
    for index, (claim, (scope, jobs, frame)) in enumerate(zip(suite.claims, evidence, strict=True), 1):
        subject = rows_of(suite.row_of(claim.subject), jobs, frame)
        others = [rows_of(suite.row_of(choice), jobs, frame) for choice in suite.choices(claim.against)]
        if claim.budgets:
            subject = subject[subject["keep"].isin(claim.budgets)]
        lines = list(_lines(subject, others))
        resources = list(dict.fromkeys(line.match.resource for line in lines))
        for resource in resources:
            own = tuple(line for line in lines if line.match.resource == resource)
            adjusted = tuple(holm([line.comparison.p for line in own]))
            name = f"claim-{index}" if len(resources) == 1 else f"claim-{index}-{resource}"
            title = f"{claim.title}, at equal {resource_label(resource)}"
            found.append(JudgedClaim(scope, name, title, _label(subject), own, adjusted))
    return found


def rows_of(row: Row, jobs: Sequence[Job], frame: pd.DataFrame) -> pd.DataFrame:
    """Return the part of a `job_frame` that belongs to one row of the suite."""
    keys = {job.key for job in jobs if row.holds(job)}
    return frame[frame["key"].isin(keys)]


def _lines(subject: pd.DataFrame, others: Sequence[pd.DataFrame]) -> Iterator[Line]:
    """Yield the comparisons in the order of the subject; a row that has nothing to match is left out."""
    for values, own in groups(subject, Match._fields):
        match = Match(*values)
        for other in others:
            there = _matching(other, match)
            if len(there):
                keys = (*_done(own)["key"], *_done(there)["key"])
                yield Line(match, _label(there), compare(accuracies_by_seed(own), accuracies_by_seed(there)), keys)


def _matching(other: pd.DataFrame, match: Match) -> pd.DataFrame:
    there = other[(other[list(Match._fields[:4])] == list(match[:4])).all(axis=1)]
    # A row that removes nothing is compared at every budget; any other must keep the same share of the same resource.
    if (other["keep"] == 1).all():
        return there
    return there[(there["resource"] == match.resource) & (there["keep"] == match.keep)]


def _done(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["status"] == "done"]


def _label(frame: pd.DataFrame) -> str:
    return f"{frame['variant'].iloc[0]} ({frame['start'].iloc[0]})" if len(frame) else "nothing"


def verdict(found: Comparison, adjusted: float | None) -> str:
    """Return the verdict on a comparison, one of `VERDICTS`."""
    if found.mean is None or adjusted is None:
        return FEW
    if adjusted >= SIGNIFICANT:
        return SAME
    return BETTER if found.mean > 0 else WORSE
