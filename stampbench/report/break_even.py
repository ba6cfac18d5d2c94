"""From how many targets on a method's work on the reference side has paid for itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pandas as pd

from stampbench.report.tables import Column, Entry, Scope, Table

PLACE = ["target", "network", "width", "epochs"]
NEVER = "never"


def break_even_table(cells: pd.DataFrame, scope: Scope) -> Table | None:
    """Every cell whose method works on the reference side against those whose does not; None if there is none.

    `cells` is a `cell_frame`. With R the seconds on the reference side and T those a target takes, the work has paid
    for itself from ⌈(R − R') / (T' − T)⌉ targets on.
    """
    rows = tuple(_rows(cells))
    if not rows:
        return None
    words = (
        "method",
        "against",
        "target",
        "network",
        "budget",
        "more on the reference side s",
        "less a target s",
        "break-even targets",
    )
    return Table(
        name=scope.name("break-even"),
        caption=f"When the reference side has paid for itself ({scope.suite}, {scope.preset} preset): seconds more "
        "there than the other takes, seconds less a target, and from how many targets on the sum is smaller; "
        f"{scope.setting}. Accuracies differ: see the tables above.",
        columns=tuple(Column(word, number=word in words[4:]) for word in words),
        rows=rows,
    )


def targets_to_break_even(reference: float, saved: float) -> int | None:
    """⌈reference / saved⌉ targets, at least 1; None where a target saves nothing."""
    return max(1, math.ceil(reference / saved)) if saved > 0 else None


def _rows(cells: pd.DataFrame) -> Iterator[tuple[Entry, ...]]:
    for _, place in cells.dropna(subset="total_s").groupby(PLACE, sort=False):
        working = place["own_reference_s"] > 0
        for _, own in place[working].iterrows():
            for _, other in place[~working & place["keep"].isin([own["keep"], 1.0])].iterrows():
                yield _row(dict(own), dict(other))


def _row(own: dict[str, Any], other: dict[str, Any]) -> tuple[Entry, ...]:
    reference, saved = own["reference_s"] - other["reference_s"], other["total_s"] - own["total_s"]
    targets = targets_to_break_even(reference, saved)
    return (
        Entry(own["variant"]),
        Entry(f"{other['variant']} ({other['start']})"),
        Entry(own["target"]),
        Entry(f"{own['network']} × {own['width']:g}"),
        Entry(f"{own['keep']:g}"),
        Entry(f"{reference:.0f}"),
        Entry(f"{saved:.1f}"),
        Entry(NEVER if targets is None else str(targets)),
    )
