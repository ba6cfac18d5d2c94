"""The distances between the masks of different targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from stampbench.record import Record
from stampbench.report.data import Data
from stampbench.report.masks import comparable_groups, group_in_words, group_name, mean_distance
from stampbench.report.model import DASH, Column, Entry, Notes, Table
from stampbench.report.scope import Scope

NO_PAIR = "no two of their masks were made from the same reference artefacts"


def mask_tables(data: Data) -> list[Table]:
    """Return a matrix of mean Jaccard distances between targets for every group of comparable masks."""
    return [_matrix(group, found, data.scope) for group, found in comparable_groups(data.records, data.frame)]


def _matrix(group: Mapping[str, Any], records: Sequence[Record], scope: Scope) -> Table:
    targets, notes = list(dict.fromkeys(record.job.target for record in records)), Notes()
    return Table(
        name=scope.name("masks", str(group["variant"]), group_name(group, scope)),
        caption=f"Jaccard distance between the masks of {group['variant']} ({scope.suite}, {scope.preset} preset): "
        f"{group_in_words(group, scope)}; 0 for equal masks, 1 for masks without a common channel; means over the "
        "pairs of masks that were made from the same reference artefacts; on the diagonal, the masks of one target "
        f"with different seeds; {scope.setting}.",
        columns=(Column("target", number=False), *(Column(target) for target in targets)),
        rows=tuple(
            (Entry(row), *(_entry(mean_distance(records, row, column), notes) for column in targets)) for row in targets
        ),
        notes=notes.texts,
    )


def _entry(distance: float | None, notes: Notes) -> Entry:
    return Entry(DASH, notes.index(NO_PAIR)) if distance is None else Entry(f"{distance:.3f}")
