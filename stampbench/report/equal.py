"""What a method gives at equal accuracy and at equal time (DESIGN.md, section 3.6)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd

from stampbench.report.tables import Column, Entry, Scope, Table, accuracy

PLACE = ["target", "network", "width"]
ROW = ["method", "variant", "start", "granularity"]
QUARTER = 0.25


def equal_tables(cells: pd.DataFrame, scope: Scope, epochs: int) -> list[Table]:
    """Compression at equal accuracy where there are several budgets, time to it where there are several schedules.

    `cells` is a `cell_frame`. The accuracy to reach is that of magnitude pretrained on the target, at 1/4 of the MACs
    and the suite's own schedule of so many epochs; without that row nothing is to be reached.
    """
    pruned = cells[(cells["granularity"] == "channel") & cells["top1"].notna()]
    found = [*_compression(pruned[pruned["epochs"] == epochs], scope, epochs), *_time(pruned, scope, epochs)]
    return [table for table in found if table.rows]


def share_at(points: Sequence[tuple[float, float]], level: float) -> float | None:
    """The smallest share whose accuracy reaches the level, by the curve through (share, accuracy).

    Between two shares the accuracy is linear in the share's logarithm. The smallest share of all where it reaches the
    level there already; None where the curve stays below.
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


def level_of(place: pd.DataFrame, epochs: int) -> float | None:
    """The accuracy to reach among the cells of one target and network, or None."""
    row = place[(place["variant"] == "magnitude") & (place["start"] == "target")]
    found = row[(row["keep"] == QUARTER) & (row["epochs"] == epochs)]
    return float(found["top1"].iloc[0]) if len(found) else None


def _compression(cells: pd.DataFrame, scope: Scope, epochs: int) -> Iterator[Table]:
    rows = []
    for place, own in cells.groupby(PLACE, sort=False):
        level = level_of(own, epochs)
        for variant, row in own[own["macs"] < 1].groupby(ROW, sort=False):
            if level is not None and len(row) > 1:
                rows.append((*_place(place), *_variant(variant), *_shares(row, level)))
    words = ("target", "network", "method", "start", "accuracy to reach %", "MACs %", "parameters %")
    yield Table(
        name=scope.name("equal-accuracy"),
        caption=f"Compression at equal accuracy ({scope.suite}, {scope.preset} preset): the smallest share of MACs and "
        "of parameters whose mean accuracy reaches that of magnitude pretrained on the target at 1/4 of the MACs, "
        f"linear in the logarithm of the share between measured budgets; {scope.setting}.",
        columns=tuple(Column(word, number=word.endswith("%")) for word in words),
        rows=tuple(rows),
    )


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


def _time(cells: pd.DataFrame, scope: Scope, epochs: int) -> Iterator[Table]:
    if len(scope.epochs) == 1:
        return
    to_accuracy, at_time = [], []
    # The dense network has no budget; all others are compared at 1/4.
    compared = cells[cells["keep"].isin([QUARTER, 1.0])]
    limits = _limits(compared)
    for place, own in compared.groupby(PLACE, sort=False):
        level = level_of(own, epochs)
        for variant, row in own.groupby(ROW, sort=False):
            head = (*_place(place), *_variant(variant))
            if level is not None:
                to_accuracy.append((*head, Entry(f"{100 * level:.2f}"), *_seconds_to(row, level)))
            at_time.append((*head, *(_within(row, limit) for limit in limits)))
    head_words = ("target", "network", "method", "start")
    words = (*head_words, "accuracy to reach %", "seconds", "epochs")
    yield Table(
        name=scope.name("time-to-accuracy"),
        caption=f"Time to accuracy ({scope.suite}, {scope.preset} preset): the least mean of all seconds on the target "
        "whose final accuracy reaches that of magnitude pretrained on the target at 1/4 of the MACs; "
        f'"> t" where no schedule does; {scope.setting}.',
        columns=tuple(Column(word, number=word not in head_words) for word in words),
        rows=tuple(to_accuracy),
    )
    yield Table(
        name=scope.name("equal-time"),
        caption=f"Equal total time ({scope.suite}, {scope.preset} preset): top-1 accuracy in %, mean ± sd, of the "
        "longest schedule that ends within so many seconds on the target, pretraining and pruning included; "
        f"{scope.setting}.",
        columns=tuple(
            Column(word, number=word not in head_words) for word in (*head_words, *(f"{t} s" for t in limits))
        ),
        rows=tuple(at_time),
    )


def _limits(cells: pd.DataFrame) -> list[int]:
    """Seconds to compare at: doubled from the least power of two in which any row ends, while some row is not done."""
    if cells["total_s"].dropna().empty:
        return []
    first, last = (math.ceil(math.log2(value)) for value in (cells["total_s"].min(), cells["total_s"].max()))
    return [2**power for power in range(first, last + 1)]


def _seconds_to(row: pd.DataFrame, level: float) -> tuple[Entry, Entry]:
    reaching = row[row["top1"] >= level].sort_values("total_s")
    if reaching.empty:
        return Entry(f"> {row['total_s'].max():.0f}"), Entry("–")
    return Entry(f"{reaching['total_s'].iloc[0]:.0f}"), Entry(str(reaching["epochs"].iloc[0]))


def _within(row: pd.DataFrame, limit: float) -> Entry:
    """By the schedule's length, not by its accuracy: nothing is selected on test images."""
    ended = row[row["total_s"] <= limit].sort_values("epochs")
    if ended.empty:
        return Entry("–")
    last: dict[str, Any] = {str(name): value for name, value in ended.iloc[-1].items()}
    return Entry(accuracy(last, "top1"))


def _place(place: Any) -> tuple[Entry, Entry]:
    target, network, width = place
    return Entry(str(target)), Entry(f"{network} × {width:g}")


def _variant(variant: Any) -> tuple[Entry, Entry]:
    _, name, start, _ = variant
    return Entry(name), Entry(start)
