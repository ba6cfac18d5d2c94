"""The outcomes of the suite's claims, one table per claim."""

from __future__ import annotations

from stampbench.report.claims import BETTER, SIGNIFICANT, WORSE, JudgedClaim, Line, verdict
from stampbench.report.data import Data
from stampbench.report.model import DASH, Column, Entry, Notes, Table
from stampbench.report.tables.entries import place_entries
from stampbench.report.words import fraction
from stampbench.statistics import LEAST_FOR_INTERVAL, Comparison


def claim_tables(data: Data) -> list[Table]:
    """Return one table per claim that was tested."""
    return [_claim_table(claim) for claim in data.claims]


def _claim_table(claim: JudgedClaim) -> Table:
    notes, scope = Notes(), claim.scope
    pairs = zip(claim.lines, claim.adjusted, strict=True)
    words = ("target", "network", "budget", "against", "n", "difference", "p (Holm)", "p (sign flips)", "verdict")
    return Table(
        name=scope.name(claim.name),
        caption=f"{claim.title} ({scope.suite}, {scope.preset} preset): top-1 accuracy of {claim.subject} minus that "
        "of the row it is compared with, in percentage points, with the 95 % interval over pairs of equal seeds; the "
        f"verdict is better or worse if p, Holm-corrected over the rows of this table, is below {SIGNIFICANT:g}: "
        f"{claim.tally}; {scope.setting}.",
        columns=tuple(Column(word, number=word in words[4:8]) for word in words),
        rows=tuple(_row(line, p, notes) for line, p in pairs),
        notes=notes.texts,
        sources=tuple(line.keys for line in claim.lines),
    )


def _row(line: Line, adjusted: float | None, notes: Notes) -> tuple[Entry, ...]:
    match, found = line.match, line.comparison
    few = f"fewer than {LEAST_FOR_INTERVAL} common seeds: no interval"
    return (
        *place_entries(match.target, match.network, match.width),
        Entry(fraction(match.keep)),
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


def _difference(found: Comparison) -> str:
    if found.mean is None:
        return DASH
    return f"{found.mean:+.2f}" if found.half_width is None else f"{found.mean:+.2f} ± {found.half_width:.2f}"


def _p(value: float | None) -> str:
    if value is None:
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"
