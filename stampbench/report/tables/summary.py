"""The top-1 accuracy of every method on every target, in one table."""

from __future__ import annotations

from typing import Any

from stampbench.report.data import Data, display_name
from stampbench.report.frames import HEAD, PLACE
from stampbench.report.model import DASH, Column, Entry, Notes, Table
from stampbench.report.scope import devices
from stampbench.report.tables.entries import dicts, distinct_rows, head, head_columns, measured
from stampbench.report.words import network_label


def summary_tables(data: Data) -> list[Table]:
    """Return one table of top-1 accuracy with one column per place, if there is more than one target."""
    jobs, cells, scope = data.frame, data.cells, data.scope
    if cells["target"].nunique() < 2:
        return []
    notes = Notes()
    places, heads = distinct_rows(cells, PLACE), distinct_rows(cells, HEAD)
    found = {tuple(cell[key] for key in [*PLACE, *HEAD]): cell for cell in dicts(cells)}
    rows = tuple(
        (
            *head(dict(zip(HEAD, values, strict=True)), scope),
            *(_top1(found.get((*place, *values)), notes) for place in places),
        )
        for values in heads
    )
    names = {target: display_name(jobs[jobs["target"] == target], target) for target, _, _ in places}
    headings = [f"{names[target]}, {network_label(network, width)}" for target, network, width in places]
    table = Table(
        name=scope.name("summary"),
        caption=f"{scope.suite}, {scope.preset} preset: top-1 accuracy on test images in %, mean ± sd over "
        f"seeds; {scope.conditions}; {devices(jobs)}.",
        columns=(*head_columns(scope), *(Column(heading) for heading in headings)),
        rows=rows,
        notes=notes.texts,
        sources=tuple(
            tuple(key for place in places for key in found.get((*place, *values), {"keys": ()})["keys"])
            for values in heads
        ),
    )
    return [table]


def _top1(cell: dict[str, Any] | None, notes: Notes) -> Entry:
    if cell is None:
        return Entry(DASH, notes.index("not in the suite"))
    entry = measured(cell, "top1", notes)
    return Entry(entry.text, notes.index(cell["outcome"])) if cell["outcome"] else entry
