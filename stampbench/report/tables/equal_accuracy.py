"""The compression that every method allows at equal accuracy (docs/design.md, section 6)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

import pandas as pd

from stampbench.report.data import Data, Goal, by_resource
from stampbench.report.frames import PLACE, ROW, groups
from stampbench.report.model import Entry, Table
from stampbench.report.tables.entries import columns_of, place_entries, row_entries

TEXTS = ("target", "network", "method", "start")


def equal_accuracy_tables(data: Data) -> list[Table]:
    """Return one table per resource with the smallest shares that reach the goal, if there are several budgets."""
    goal, scope = data.goal, data.scope
    if goal is None:
        return []
    tables = []
    cells = data.channel_cells
    for resource, name, own in by_resource(cells[cells["epochs"] == data.own_epochs]):
        table = Table(
            name=scope.name("equal-accuracy", *name),
            caption=f"Compression at equal accuracy ({scope.suite}, {scope.preset} preset): the smallest shares of "
            f"MACs and of parameters with which a row's mean accuracy reaches that of {goal.in_words(resource)}, "
            "interpolated linearly in the logarithm of the share between measured budgets; a share is marked ≤ if it "
            f"is the smallest one measured, and > if none that was measured suffices; {scope.setting}.",
            columns=columns_of((*TEXTS, "accuracy to reach %", "MACs %", "parameters %"), TEXTS),
            rows=tuple(_rows(own, goal)),
        )
        tables.append(table)
    return [table for table in tables if table.rows]


def share_at(points: Sequence[tuple[float, float]], level: float) -> float | None:
    """Return the smallest share whose accuracy reaches the level, on the curve through the points (share, accuracy).

    Between two points the accuracy is linear in the logarithm of the share. The result is the smallest share of all
    points if its accuracy reaches the level already, and None if the whole curve stays below the level.
    """
    curve = sorted(points)
    if not curve:
        return None
    if curve[0][1] >= level:
        return curve[0][0]
    for (low, below), (high, above) in pairwise(curve):
        if below < level <= above:
            return low * math.exp(math.log(high / low) * (level - below) / (above - below))
    return None


def _rows(cells: pd.DataFrame, goal: Goal) -> Iterator[tuple[Entry, ...]]:
    for place, there in groups(cells, PLACE):
        level = goal.accuracy(there)
        for row, own in groups(there[there["keep"] < 1], ROW):
            if level is not None and len(own) > 1:
                yield (*place_entries(*place), *row_entries(*row), *_shares(own, level))


def _shares(row: pd.DataFrame, level: float) -> tuple[Entry, ...]:
    found = []
    for measure in ("macs", "params"):
        points = list(zip(row[measure], row["top1"], strict=True))
        share, least, most = share_at(points, level), min(row[measure]), max(row[measure])
        if share is None:
            found.append(Entry(f"> {100 * most:.1f}"))
        else:
            found.append(Entry(f"≤ {100 * share:.1f}" if share == least else f"{100 * share:.1f}"))
    return (Entry(f"{100 * level:.2f}"), *found)
