"""How far the masks of different targets lie apart, and those of different draws of one target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from statistics import fmean
from typing import Any

import pandas as pd

from stampbench.record import Record
from stampbench.report.cells import VARIANT
from stampbench.report.tables import DASH, Column, Entry, Notes, Scope, Table

# The note under which a method leaves its mask: {group: bits in hexadecimal}.
MASK = "mask"
ONE_DRAW = "no two draws that rest on the same artefacts"


def mask_tables(records: Mapping[str, Record], frame: pd.DataFrame, scope: Scope) -> list[Table]:
    """A matrix of mean Jaccard distances over targets for every variant, network and budget that left masks to compare.

    Masks are compared where they rest on the same reference artefacts: apart from that their distance says nothing of
    the targets. `frame` is the `job_frame` of the records' jobs.
    """
    return [_matrix(place, found, scope) for place, found in comparable_groups(records, frame)]


def comparable_groups(
    records: Mapping[str, Record], frame: pd.DataFrame
) -> Iterator[tuple[dict[str, Any], list[Record]]]:
    """For every variant, network and budget of which two masks can be compared: what it is, and its records."""
    with_masks = frame[[key in records and MASK in records[key].notes for key in frame["key"]]]
    columns = ["network", "width", *VARIANT]
    for place, group in with_masks.groupby(columns, sort=False):
        found = [records[key] for key in group["key"]]
        comparable = any(_base(first) == _base(second) for first, second in combinations(found, 2))
        if comparable and isinstance(place, tuple):
            yield dict(zip(columns, place, strict=True)), found


def place_in_words(place: Mapping[str, Any], scope: Scope) -> str:
    """Network, share kept and, where schedules differ, epochs."""
    schedule = f", {place['epochs']} epochs" if len(scope.epochs) > 1 else ""
    return f"{place['network']} × {place['width']:g}, {place['keep']:g} of the {place['kind']}{schedule}"


def mean_distance(records: Iterable[Record], row: str, column: str) -> float | None:
    """Mean over the pairs of records of these two targets that rest on the same artefacts; None without a pair."""
    distances = list(_distances(records, row, column))
    return fmean(distances) if distances else None


def jaccard_distance(first: Mapping[str, str], second: Mapping[str, str]) -> float:
    """1 − |A ∩ B| / |A ∪ B| over the kept channels of all groups; 0 for two empty masks."""
    pairs = [(int(first[group], 16), int(second[group], 16)) for group in first]
    union = sum((a | b).bit_count() for a, b in pairs)
    return 1 - sum((a & b).bit_count() for a, b in pairs) / union if union else 0.0


def _matrix(place: Mapping[str, Any], records: Sequence[Record], scope: Scope) -> Table:
    targets, notes = list(dict.fromkeys(record.job.target for record in records)), Notes()
    where = place_in_words(place, scope)
    return Table(
        name=scope.name("masks", str(place["variant"]), where),
        caption=f"Jaccard distance between the masks of {place['variant']} ({scope.suite}, {scope.preset} preset): "
        f"{where}; means over pairs that rest on the same artefacts; on the diagonal, draws of one target; "
        f"{scope.setting}.",
        columns=(Column("target", number=False), *(Column(target) for target in targets)),
        rows=tuple(
            (Entry(row), *(_entry(mean_distance(records, row, column), notes) for column in targets)) for row in targets
        ),
        notes=notes.texts,
    )


def _distances(records: Iterable[Record], row: str, column: str) -> Iterator[float]:
    for first, second in combinations(records, 2):
        if sorted((first.job.target, second.job.target)) == sorted((row, column)) and _base(first) == _base(second):
            yield jaccard_distance(first.notes[MASK], second.notes[MASK])


def _base(record: Record) -> frozenset[str]:
    return frozenset(use.digest for use in record.artefacts if use.scope == "reference")


def _entry(distance: float | None, notes: Notes) -> Entry:
    return Entry(DASH, notes.index(ONE_DRAW)) if distance is None else Entry(f"{distance:.3f}")
