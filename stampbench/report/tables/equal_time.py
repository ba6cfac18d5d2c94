"""The accuracy of every method after equal seconds on the target (docs/design.md, section 6)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pandas as pd

from stampbench.report.data import Data, by_resource
from stampbench.report.frames import PLACE, ROW, groups
from stampbench.report.model import DASH, Entry, Table
from stampbench.report.tables.entries import columns_of, dicts, place_entries, row_entries
from stampbench.report.words import accuracy

TEXTS = ("target", "network", "method", "start")


def equal_time_tables(data: Data) -> list[Table]:
    """Return one table per resource with the accuracy within several limits of time, if there are several schedules."""
    scope = data.scope
    if len(scope.epochs) == 1:
        return []
    tables = []
    for _, name, cells in by_resource(data.compared_cells):
        limits = limits_of(cells)
        table = Table(
            name=scope.name("equal-time", *name),
            caption=f"Equal total time ({scope.suite}, {scope.preset} preset): top-1 accuracy in %, mean ± sd, of the "
            "longest schedule that ends within the time at the head of the column; this is the time on the target, "
            f"pretraining and pruning included; a dash where no schedule ends within it; {scope.setting}.",
            columns=columns_of((*TEXTS, *(f"{limit} s" for limit in limits)), TEXTS),
            rows=tuple(_rows(cells, limits)),
        )
        tables.append(table)
    return [table for table in tables if table.rows]


def _rows(cells: pd.DataFrame, limits: Sequence[int]) -> Iterator[tuple[Entry, ...]]:
    for place, there in groups(cells, PLACE):
        for row, own in groups(there, ROW):
            yield (*place_entries(*place), *row_entries(*row), *(_within(own, limit) for limit in limits))


def limits_of(cells: pd.DataFrame) -> list[int]:
    """Return the seconds to compare at: the powers of two from when the first row has ended to when all have."""
    if cells["total_s"].dropna().empty:
        return []
    # Less than a millisecond counts as one: a logarithm needs more than zero.
    first, last = (math.ceil(math.log2(max(value, 1e-3))) for value in (cells["total_s"].min(), cells["total_s"].max()))
    return [2**power for power in range(first, last + 1)]


def _within(row: pd.DataFrame, limit: float) -> Entry:
    """Return the accuracy after the longest schedule within the limit.

    The schedule is chosen by its length and not by its accuracy, so that nothing is selected on test images.
    """
    ended = row[row["total_s"] <= limit].sort_values("epochs")
    if ended.empty:
        return Entry(DASH)
    (longest,) = dicts(ended.iloc[-1:])
    return Entry(accuracy(longest, "top1"))
