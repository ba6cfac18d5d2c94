"""A suite's claims, tested: one row against others, paired by seed, corrected for their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pandas as pd

from stampbench.job import Job
from stampbench.report.tables import DASH, Column, Entry, Notes, Scope, Table
from stampbench.statistics import LEAST_FOR_INTERVAL, Comparison, compare, holm
from stampbench.suite import Row, Suite

PLACE = ["target", "network", "width", "epochs", "keep"]
SIGNIFICANT = 0.05
BETTER, SAME, WORSE, FEW = VERDICTS = ("better", "no difference shown", "worse", "too few seeds")


@dataclass(frozen=True)
class Line:
    """The subject against one other row at one place (target, network, width, epochs, share kept)."""

    place: tuple[object, ...]
    other: str
    comparison: Comparison
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """What came of a claim: its comparisons, and their p values corrected for their number (None: too few seeds)."""

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
        """How often the subject was better, no different, worse: "9 better, 1 no difference shown"."""
        counts = Counter(self.verdicts)
        return ", ".join(f"{counts[word]} {word}" for word in VERDICTS if counts[word])


def findings(suite: Suite, jobs: Sequence[Job], frame: pd.DataFrame) -> list[Finding | None]:
    """Every claim of the suite, tested; None where these jobs cannot speak to it. `frame` is their `job_frame`."""
    found: list[Finding | None] = []
    for claim in suite.claims:
        subject = _of(suite.row_of(claim.subject), jobs, frame)
        lines = tuple(_lines(subject, [_of(suite.row_of(choice), jobs, frame) for choice in suite.choices(claim.against)]))
        adjusted = tuple(holm([line.comparison.p for line in lines]))
        found.append(Finding(claim.title, _label(subject), lines, adjusted) if lines else None)
    return found


def claim_tables(found: Sequence[Finding | None], scope: Scope) -> list[Table]:
    """A table a claim that was tested."""
    return [_claim_table(finding, index, scope) for index, finding in enumerate(found, 1) if finding]


def _claim_table(finding: Finding, index: int, scope: Scope) -> Table:
    notes = Notes()
    pairs = zip(finding.lines, finding.adjusted, strict=True)
    words = ("target", "network", "budget", "against", "n", "difference", "p (Holm)", "p (sign flips)", "verdict")
    return Table(
        name=scope.name(f"claim-{index}"),
        caption=f"{finding.title} ({scope.suite}, {scope.preset} preset): {finding.subject} minus the other, points of "
        f"top-1 accuracy with the paired 95 % interval; a verdict needs a Holm-corrected p below {SIGNIFICANT:g} over "
        f"the rows of this table: {finding.tally}; {scope.setting}.",
        columns=tuple(Column(word, number=word in words[4:8]) for word in words),
        rows=tuple(_row(line, p, notes) for line, p in pairs),
        notes=notes.texts,
        sources=tuple(line.keys for line in finding.lines),
    )


def _of(row: Row, jobs: Sequence[Job], frame: pd.DataFrame) -> pd.DataFrame:
    keys = {job.key for job in jobs if row.holds(job)}
    return frame[frame["key"].isin(keys)]


def _lines(subject: pd.DataFrame, others: Sequence[pd.DataFrame]) -> Iterator[Line]:
    """Place by place, in the subject's order; places that the other does not have are left out."""
    for place, own in subject.groupby(PLACE, sort=False):
        assert isinstance(place, tuple)
        for other in others:
            # What removes nothing has one budget, whatever the subject's.
            fixed = other[(other[PLACE[:4]] == list(place[:4])).all(axis=1)]
            there = fixed if (other["keep"] == 1).all() else fixed[fixed["keep"] == place[4]]
            if len(there):
                keys = (*_done(own)["key"], *_done(there)["key"])
                yield Line(place, _label(there), compare(_accuracies(own), _accuracies(there)), keys)


def _accuracies(frame: pd.DataFrame) -> dict[int, float]:
    done = _done(frame)
    return {int(seed): 100 * float(top1) for seed, top1 in zip(done["seed"], done["top1"], strict=True)}


def _done(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["status"] == "done"]


def _label(frame: pd.DataFrame) -> str:
    return f"{frame['variant'].iloc[0]} ({frame['start'].iloc[0]})" if len(frame) else "nothing"


def _row(line: Line, adjusted: float | None, notes: Notes) -> tuple[Entry, ...]:
    target, network, width, _, keep = line.place
    found = line.comparison
    few = f"fewer than {LEAST_FOR_INTERVAL} common seeds: no interval"
    return (
        Entry(str(target)),
        Entry(f"{network} × {width:g}"),
        Entry(f"{keep:g}"),
        Entry(line.other),
        Entry(str(found.n)),
        Entry(
            _difference(found),
            notes.index(few) if found.half_width is None else None,
            strong=verdict(found, adjusted) in (BETTER, WORSE),
        ),
        Entry(_p(adjusted)),
        Entry(_p(found.sign_flip_p)),
        Entry(verdict(found, adjusted)),
    )


def verdict(found: Comparison, adjusted: float | None) -> str:
    """One of `VERDICTS`."""
    if found.mean is None or adjusted is None:
        return FEW
    if adjusted >= SIGNIFICANT:
        return SAME
    return BETTER if found.mean > 0 else WORSE


def _difference(found: Comparison) -> str:
    if found.mean is None:
        return DASH
    return f"{found.mean:+.2f}" if found.half_width is None else f"{found.mean:+.2f} ± {found.half_width:.2f}"


def _p(value: float | None) -> str:
    if value is None:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
