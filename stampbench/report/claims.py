"""A suite's claims, tested: one row against others, paired by seed, corrected for their number."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from stampbench.job import Job
from stampbench.report.tables import DASH, Column, Entry, Notes, Scope, Table
from stampbench.statistics import LEAST_FOR_INTERVAL, Comparison, compare, holm
from stampbench.suite import Claim, Row, Suite

PLACE = ["target", "network", "width", "epochs", "keep"]
SIGNIFICANT = 0.05


@dataclass(frozen=True)
class _Line:
    """The subject against one other row at one place."""

    place: tuple[object, ...]
    other: str
    comparison: Comparison


def claim_tables(suite: Suite, jobs: Sequence[Job], frame: pd.DataFrame, scope: Scope) -> list[Table]:
    """A table a claim that these jobs can speak to; `frame` is their `job_frame`."""
    tables = (_claim_table(claim, index, suite, jobs, frame, scope) for index, claim in enumerate(suite.claims, 1))
    return [table for table in tables if table is not None]


def _claim_table(
    claim: Claim, index: int, suite: Suite, jobs: Sequence[Job], frame: pd.DataFrame, scope: Scope
) -> Table | None:
    subject = _of(suite.row_of(claim.subject), jobs, frame)
    others = [_of(suite.row_of(choice), jobs, frame) for choice in claim.against]
    lines = list(_lines(subject, others))
    if not lines:
        return None
    notes = Notes()
    adjusted = holm([line.comparison.p for line in lines])
    rows = tuple(_row(line, p, notes) for line, p in zip(lines, adjusted, strict=True))
    words = ("target", "network", "budget", "against", "n", "difference", "p (Holm)", "p (sign flips)", "verdict")
    return Table(
        name=scope.name(f"claim-{index}"),
        caption=f"{claim.title} ({scope.suite}, {scope.preset} preset): {_label(subject)} minus the other, points of "
        f"top-1 accuracy with the paired 95 % interval; a verdict needs a Holm-corrected p below {SIGNIFICANT:g} over "
        f"the rows of this table; {scope.conditions}.",
        columns=tuple(Column(word, number=word in words[4:8]) for word in words),
        rows=rows,
        notes=notes.texts,
    )


def _of(row: Row, jobs: Sequence[Job], frame: pd.DataFrame) -> pd.DataFrame:
    keys = {job.key for job in jobs if row.holds(job)}
    return frame[frame["key"].isin(keys)]


def _lines(subject: pd.DataFrame, others: Sequence[pd.DataFrame]) -> Iterator[_Line]:
    """Place by place, in the subject's order; places that the other does not have are left out."""
    for place, own in subject.groupby(PLACE, sort=False):
        assert isinstance(place, tuple)
        for other in others:
            # What removes nothing has one budget, whatever the subject's.
            fixed = other[(other[PLACE[:4]] == list(place[:4])).all(axis=1)]
            there = fixed if (other["keep"] == 1).all() else fixed[fixed["keep"] == place[4]]
            if len(there):
                yield _Line(place, _label(there), compare(_accuracies(own), _accuracies(there)))


def _accuracies(frame: pd.DataFrame) -> dict[int, float]:
    done = frame[frame["status"] == "done"]
    return {int(seed): 100 * float(top1) for seed, top1 in zip(done["seed"], done["top1"], strict=True)}


def _label(frame: pd.DataFrame) -> str:
    return f"{frame['variant'].iloc[0]} ({frame['start'].iloc[0]})" if len(frame) else "nothing"


def _row(line: _Line, adjusted: float | None, notes: Notes) -> tuple[Entry, ...]:
    target, network, width, _, keep = line.place
    found = line.comparison
    few = f"fewer than {LEAST_FOR_INTERVAL} common seeds: no interval"
    return (
        Entry(str(target)),
        Entry(f"{network} × {width:g}"),
        Entry(f"{keep:g}"),
        Entry(line.other),
        Entry(str(found.n)),
        Entry(_difference(found), notes.index(few) if found.half_width is None else None),
        Entry(_p(adjusted)),
        Entry(_p(found.sign_flip_p)),
        Entry(verdict(found, adjusted)),
    )


def verdict(found: Comparison, adjusted: float | None) -> str:
    """ "better", "worse", "no difference shown", or "too few seeds"."""
    if found.mean is None or adjusted is None:
        return "too few seeds"
    if adjusted >= SIGNIFICANT:
        return "no difference shown"
    return "better" if found.mean > 0 else "worse"


def _difference(found: Comparison) -> str:
    if found.mean is None:
        return DASH
    return f"{found.mean:+.2f}" if found.half_width is None else f"{found.mean:+.2f} ± {found.half_width:.2f}"


def _p(value: float | None) -> str:
    if value is None:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
