"""The seconds on the target that every method needs to reach the goal (docs/design.md, section 6)."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from stampbench.report.data import Data, Goal, by_resource
from stampbench.report.frames import PLACE, ROW, groups
from stampbench.report.model import DASH, Entry, Notes, Table
from stampbench.report.tables.entries import busy_note, columns_of, dicts, place_entries, row_entries

TEXTS = ("target", "network", "method", "start")


def time_to_accuracy_tables(data: Data) -> list[Table]:
    """Return one table per resource with the seconds to reach the goal, if there are several schedules."""
    goal, scope = data.goal, data.scope
    if goal is None or len(scope.epochs) == 1:
        return []
    tables = []
    for resource, name, cells in by_resource(data.compared_cells):
        notes = Notes()
        table = Table(
            name=scope.name("time-to-accuracy", *name),
            caption=f"Time to accuracy ({scope.suite}, {scope.preset} preset): the least mean seconds on the "
            "target, pretraining and pruning included, after which the final accuracy of a schedule reaches that of "
            f'{goal.in_words(resource)}; "> t" where no schedule does, the longest of which takes t seconds; '
            f"{scope.setting}.",
            columns=columns_of((*TEXTS, "accuracy to reach %", "seconds", "epochs"), TEXTS),
            rows=tuple(_rows(cells, goal, notes)),
            notes=notes.texts,
        )
        tables.append(table)
    return [table for table in tables if table.rows]


def _rows(cells: pd.DataFrame, goal: Goal, notes: Notes) -> Iterator[tuple[Entry, ...]]:
    for place, there in groups(cells, PLACE):
        level = goal.accuracy(there)
        if level is not None:
            for row, own in groups(there, ROW):
                reached = Entry(f"{100 * level:.2f}"), *_seconds_to(own, level, notes)
                yield (*place_entries(*place), *row_entries(*row), *reached)


def _seconds_to(row: pd.DataFrame, level: float, notes: Notes) -> tuple[Entry, Entry]:
    reaching = row[row["top1"] >= level].sort_values("total_s")
    if reaching.empty:
        longest = dicts(row.sort_values("total_s").iloc[-1:])
        return Entry(f"> {row['total_s'].max():.0f}", busy_note(longest, notes)), Entry(DASH)
    (first,) = dicts(reaching.iloc[:1])
    return Entry(f"{first['total_s']:.0f}", busy_note([first], notes)), Entry(str(first["epochs"]))
