"""The number of targets from which on a method's work on the reference side has paid for itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from stampbench.report.data import Data
from stampbench.report.frames import PLACE, groups
from stampbench.report.model import DASH, Entry, Notes, Table
from stampbench.report.tables.entries import busy_note, columns_of, dicts, kept_entry, place_entries

NEVER = "never"
TEXTS = ("method", "against", "target", "network")


def break_even_tables(data: Data) -> list[Table]:
    """Return one table that compares every cell whose method works on the reference side with the cells of others.

    If a method takes R seconds on the reference side and T seconds per target, and the other takes R' and T', the work
    has paid for itself from ⌈(R − R') / (T' − T)⌉ targets on.
    """
    notes = Notes()
    scope, rows = data.scope, tuple(_rows(data.cells, notes))
    words = (
        *TEXTS,
        "budget",
        "additional seconds on the reference side",
        "seconds saved per target",
        "targets to break even",
    )
    table = Table(
        name=scope.name("break-even"),
        caption=f"When work on the reference side has paid for itself ({scope.suite}, {scope.preset} preset), "
        "compared with methods without such work: the additional seconds that it takes, the seconds that it saves on "
        "every target, and the number of targets from which on it takes less time in all; "
        f"{scope.setting}. Accuracies differ: see the tables above.",
        columns=columns_of(words, TEXTS),
        rows=rows,
        notes=notes.texts,
    )
    return [table] if rows else []


def targets_to_break_even(reference: float, saved: float) -> int | None:
    """Return ⌈reference / saved⌉ targets, at least 1, or None if a target saves no time."""
    return max(1, math.ceil(reference / saved)) if saved > 0 else None


def _rows(cells: pd.DataFrame, notes: Notes) -> Iterator[tuple[Entry, ...]]:
    resources = cells[cells["own_reference_s"] > 0]["resource"].nunique()
    for _, there in groups(cells.dropna(subset="total_s"), [*PLACE, "epochs"]):
        working = there["own_reference_s"] > 0
        for own in dicts(there[working]):
            equal = (there["resource"] == own["resource"]) & (there["keep"] == own["keep"])
            # A row that removes nothing is compared at every budget.
            for other in dicts(there[~working & (equal | (there["keep"] == 1))]):
                yield _row(own, other, resources, notes)


def _row(own: dict[str, Any], other: dict[str, Any], resources: int, notes: Notes) -> tuple[Entry, ...]:
    reference, saved = own["reference_s"] - other["reference_s"], other["total_s"] - own["total_s"]
    targets, busy = targets_to_break_even(reference, saved), busy_note([own, other], notes)
    return (
        Entry(own["variant"]),
        Entry(f"{other['variant']} ({other['start']})"),
        *place_entries(own["target"], own["network"], own["width"]),
        kept_entry(own["resource"], own["keep"], resources),
        Entry(f"{reference:.0f}"),
        Entry(f"{saved:.1f}", busy),
        # The difference of seconds that other work has lengthened is no ground for a number of targets.
        Entry(DASH) if busy is not None else Entry(NEVER if targets is None else str(targets)),
    )
