"""How far the masks of different targets lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stampbench.record import Record
from stampbench.report.data import Data, Scope
from stampbench.report.masks import comparable_groups, group_in_words, mean_distance
from stampbench.report.model import DASH, Column, Entry, Notes, Table

ONE_DRAW = "no two draws that rest on the same artefacts"


def mask_tables(data: Data) -> list[Table]:
    """Return a matrix of mean Jaccard distances over targets for every group of masks that can be compared."""
    return [_matrix(group, found, data.scope) for group, found in comparable_groups(data.records, data.frame)]


def _matrix(group: Mapping[str, Any], records: Sequence[Record], scope: Scope) -> Table:
    targets, notes = list(dict.fromkeys(record.job.target for record in records)), Notes()
    where = group_in_words(group, scope)
    return Table(
        name=scope.name("masks", str(group["variant"]), where),
        caption=f"Jaccard distance between the masks of {group['variant']} ({scope.suite}, {scope.preset} preset): "
        f"{where}; means over pairs that rest on the same artefacts; on the diagonal, draws of one target; "
        f"{scope.setting}.",
        columns=(Column("target", number=False), *(Column(target) for target in targets)),
        rows=tuple(
            (Entry(row), *(_entry(mean_distance(records, row, column), notes) for column in targets)) for row in targets
        ),
        notes=notes.texts,
    )


def _entry(distance: float | None, notes: Notes) -> Entry:
    return Entry(DASH, notes.index(ONE_DRAW)) if distance is None else Entry(f"{distance:.3f}")
