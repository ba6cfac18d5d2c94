"""The masks that methods left in their records: which of them can be compared, and how much they differ."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations
from statistics import fmean
from typing import Any

import pandas as pd

from stampbench.contract import MASK_NOTE
from stampbench.record import Record
from stampbench.report.frames import HEAD, groups
from stampbench.report.scope import Scope
from stampbench.report.words import network_label, share_in_words


def comparable_groups(
    records: Mapping[str, Record], frame: pd.DataFrame
) -> Iterator[tuple[dict[str, Any], list[Record]]]:
    """Yield every variant, network and budget that has two comparable masks, with its records.

    Two masks are comparable if they were made from the same reference artefacts; otherwise their distance says nothing
    about the targets. `frame` is the `job_frame` of the records' jobs.
    """
    with_masks = frame[[key in records and MASK_NOTE in records[key].notes for key in frame["key"]]]
    columns = ["network", "width", *HEAD]
    for values, group in groups(with_masks, columns):
        found = [records[key] for key in group["key"]]
        comparable = any(_base(first) == _base(second) for first, second in combinations(found, 2))
        if comparable:
            yield dict(zip(columns, values, strict=True)), found


def group_in_words(group: Mapping[str, Any], scope: Scope) -> str:
    """Return the network, the share kept and, where schedules differ, the epochs of a group of masks."""
    return _described(group, scope, share_in_words(group["keep"], group["resource"]))


def group_name(group: Mapping[str, Any], scope: Scope) -> str:
    """Return the part of a table's or figure's name that is about a group of masks."""
    return _described(group, scope, f"{group['keep']:g} of the {group['resource']}")


def mean_distance(records: Iterable[Record], row: str, column: str) -> float | None:
    """Return the mean distance over the comparable pairs of records of these targets, or None without such a pair."""
    distances = list(_distances(records, row, column))
    return fmean(distances) if distances else None


def jaccard_distance(first: Mapping[str, str], second: Mapping[str, str]) -> float:
    """Return 1 − |A ∩ B| / |A ∪ B| over the kept channels of all groups, and 0 for two empty masks."""
    pairs = [(int(first[group], 16), int(second[group], 16)) for group in first]
    union = sum((a | b).bit_count() for a, b in pairs)
    return 1 - sum((a & b).bit_count() for a, b in pairs) / union if union else 0.0


def _described(group: Mapping[str, Any], scope: Scope, share: str) -> str:
    schedule = f", {group['epochs']} epochs" if len(scope.epochs) > 1 else ""
    return f"{network_label(group['network'], group['width'])}, {share}{schedule}"


def _distances(records: Iterable[Record], row: str, column: str) -> Iterator[float]:
    for first, second in combinations(records, 2):
        if sorted((first.job.target, second.job.target)) == sorted((row, column)) and _base(first) == _base(second):
            yield jaccard_distance(first.notes[MASK_NOTE], second.notes[MASK_NOTE])


def _base(record: Record) -> frozenset[str]:
    return frozenset(use.digest for use in record.artefacts if use.scope == "reference")
