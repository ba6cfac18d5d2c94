"""All measures of every method, in one table per target, network and width."""

from __future__ import annotations

from typing import Any

import pandas as pd

from stampbench.report.data import Data, at_place, display_name
from stampbench.report.frames import PLACE, SLOWEST, TIME_SHARES
from stampbench.report.model import Column, Entry, Notes, Table
from stampbench.report.scope import Scope, devices, distinct
from stampbench.report.tables.entries import MEASURES, dicts, distinct_rows, head, head_columns, measured
from stampbench.report.words import network_label

SOMETIMES = ("top5", *TIME_SHARES, SLOWEST)


def target_tables(data: Data) -> list[Table]:
    """Return one table per target, network and width, in order of first appearance."""
    return [
        _target_table(at_place(data.frame, place), at_place(data.cells, place), data.scope, network_label(*place[1:]))
        for place in distinct_rows(data.cells, PLACE)
    ]


def _target_table(jobs: pd.DataFrame, cells: pd.DataFrame, scope: Scope, network: str) -> Table:
    notes = Notes()
    # Top-5 accuracy is recorded for datasets of at least 100 classes, and shares of time for budgets of time.
    measures = [measure for measure in MEASURES if measure not in SOMETIMES or cells[measure].notna().any()]
    rows = tuple(
        (*head(cell, scope), _count(cell, notes), *(measured(cell, measure, notes) for measure in measures))
        for cell in dicts(cells)
    )
    target = str(cells["target"].iloc[0])
    return Table(
        name=scope.name(target, network),
        caption=_caption(jobs, scope, f"{display_name(jobs, target)}, {network}"),
        columns=(*head_columns(scope), Column("n"), *(Column(MEASURES[measure][0]) for measure in measures)),
        rows=rows,
        notes=notes.texts,
        sources=tuple(cells["keys"]),
    )


def _count(cell: dict[str, Any], notes: Notes) -> Entry:
    if not cell["outcome"]:
        return Entry(str(cell["done"]))
    return Entry(f"{cell['done']} of {cell['planned']}", notes.index(cell["outcome"]))


def _caption(jobs: pd.DataFrame, scope: Scope, subject: str) -> str:
    counts = {role: distinct(jobs[role].dropna().astype(int)) for role in ("train", "validation", "test")}
    images = (
        f"{counts['train']} training, {counts['validation']} validation and {counts['test']} test images"
        if counts["test"]
        else "image counts unknown"
    )
    return (
        f"{subject} ({scope.suite}, {scope.preset} preset): {images}; {scope.conditions}; {devices(jobs)}. "
        "Accuracy on test images, mean ± sd over n seeds; the other columns are means; "
        "speed-ups are relative to the dense network."
    )
