"""Columns and entries that several tables share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import pandas as pd

from stampbench.report.frames import MOST_OVER, SLOWEST
from stampbench.report.model import DASH, Column, Entry, Notes
from stampbench.report.scope import Scope
from stampbench.report.words import accuracy, fraction, network_label, resource_label

# The yardstick is timed around training; pruning runs right before it. Artefacts were made at other times.
TIMED = ("prune_s", "train_s", "total_s")
NOT_MEASURED = "not measured"
OVER = f"more than {100 * (MOST_OVER - 1):.0f} % above the budget"


def distinct_rows(cells: pd.DataFrame, columns: list[str]) -> list[tuple[Any, ...]]:
    """Return the different values of these columns, in order of first appearance."""
    return [tuple(row) for row in cells[columns].drop_duplicates().itertuples(index=False)]


def dicts(cells: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield every row as a dict from column names to values."""
    return ({str(name): value for name, value in row.items()} for row in cells.to_dict("records"))


def columns_of(words: Sequence[str], texts: Sequence[str]) -> tuple[Column, ...]:
    """Return columns with these headings; all hold numbers except those in `texts`."""
    return tuple(Column(word, number=word not in texts) for word in words)


def head_columns(scope: Scope) -> tuple[Column, ...]:
    """Return the columns that distinguish the cells of one place."""
    schedule = [Column("epochs")] if len(scope.epochs) > 1 else []
    return (Column("method", number=False), Column("start", number=False), Column("budget"), *schedule)


def head(cell: dict[str, Any], scope: Scope) -> tuple[Entry, ...]:
    """Return the entries of `head_columns`: variant, start, budget and, where schedules differ, epochs."""
    share = fraction(cell["keep"])
    budget = share if share == "1" else f"{share} {resource_label(cell['resource'])}"
    schedule = [Entry(str(cell["epochs"]))] if len(scope.epochs) > 1 else []
    return (Entry(cell["variant"]), Entry(cell["start"]), Entry(budget), *schedule)


def place_entries(target: str, network: str, width: float) -> tuple[Entry, Entry]:
    """Return the entries of the columns "target" and "network"."""
    return Entry(target), Entry(network_label(network, width))


def row_entries(_method: str, variant: str, start: str, _granularity: str) -> tuple[Entry, Entry]:
    """Return the entries of the columns "method" and "start" for one tuple of values of `ROW`."""
    return Entry(variant), Entry(start)


def kept_entry(resource: str, keep: float, resources: int) -> Entry:
    """Return the share kept, with its resource if the table has more than one."""
    share = fraction(keep)
    return Entry(share if resources == 1 else f"{share} {resource_label(resource)}")


def measured(cell: dict[str, Any], measure: str, notes: Notes) -> Entry:
    """Return the value of a measure for the cell, or a dash whose footnote says why there is none."""
    if pd.isna(cell[measure]):
        return Entry(DASH, notes.index(NOT_MEASURED if cell["done"] else cell["outcome"]))
    known, done = cell[f"{measure}_n"], cell["done"]
    said = [f"measured for {known} of {done} seeds"] if known < done else []
    if measure in TIMED and cell["busy"]:
        said.append(cell["busy"])
    if measure == SLOWEST and cell["over"]:
        said.append(OVER)
    return Entry(MEASURES[measure][1](cell, measure), notes.index("; ".join(said)) if said else None)


def busy_note(cells: Iterable[dict[str, Any]], notes: Notes) -> int | None:
    """Return the index of the footnote that the machine was busy during jobs of these cells, or None if it was not."""
    said = dict.fromkeys(f"{cell['variant']} ({cell['start']}): {cell['busy']}" for cell in cells if cell["busy"])
    return notes.index("; ".join(said)) if said else None


def _percent(cell: dict[str, Any], measure: str) -> str:
    return f"{100 * cell[measure]:.1f}"


def _seconds(cell: dict[str, Any], measure: str) -> str:
    seconds = cell[measure]
    return f"{seconds:.0f}" if seconds >= 100 or seconds == 0 else f"{seconds:.1f}"


def _ratio(cell: dict[str, Any], measure: str) -> str:
    return f"{cell[measure]:.2f}×"


MEASURES: dict[str, tuple[str, Callable[[dict[str, Any], str], str]]] = {
    "top1": ("top-1 %", accuracy),
    "top5": ("top-5 %", accuracy),
    "params": ("parameters %", _percent),
    "macs": ("MACs %", _percent),
    "predicted_share": ("predicted time %", _percent),
    "measured_share": ("measured time %", _percent),
    SLOWEST: ("slowest network's time %", _percent),
    "pretrain_s": ("pretrain s", _seconds),
    "prune_s": ("prune s", _seconds),
    "train_s": ("train s", _seconds),
    "total_s": ("total s", _seconds),
    "train_speed_up": ("training speed-up", _ratio),
    "inference_speed_up": ("inference speed-up", _ratio),
}
