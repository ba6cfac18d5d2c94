from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stampbench.contract import MASK_NOTE
from stampbench.record import ArtefactUse
from stampbench.report.masks import jaccard_distance
from stampbench.report.tables.masks import mask_tables
from stampbench.store import Store
from tests.fixtures import factories
from tests.fixtures.reports import data_of

MASKS = st.fixed_dictionaries({"a": st.sets(st.integers(0, 11)), "b": st.sets(st.integers(0, 6))})


def coded(sets: dict[str, set[int]]) -> dict[str, str]:
    return {group: f"{sum(1 << index for index in chosen):x}" for group, chosen in sets.items()}


@given(MASKS, MASKS)
def test_the_distance_is_that_of_the_sets(first: dict[str, set[int]], second: dict[str, set[int]]) -> None:
    one, other = ({(g, i) for g, chosen in sets.items() for i in chosen} for sets in (first, second))
    expected = 1 - len(one & other) / len(one | other) if one | other else 0
    assert jaccard_distance(coded(first), coded(second)) == pytest.approx(expected)


def test_only_masks_on_the_same_artefacts_are_compared(store: Store) -> None:
    """Seeds 0 and 1 share artefacts, seed 2 does not; half of the channels differ between targets, a third between
    draws."""
    bits = {("cifar10", 0): "f0", ("cifar10", 1): "f8", ("svhn", 0): "3c", ("cifar10", 2): "ff", ("svhn", 2): "ff"}
    jobs = [factories.job(target=target, seed=seed) for target, seed in bits]
    for job in jobs:
        use = ArtefactUse(kind="x", scope="reference", digest=str(job.seed // 2) * 16, seconds=1.0, reused=True)
        note = {MASK_NOTE: {"conv": bits[job.target, job.seed]}}
        store.put(factories.record(job, artefacts=[use], notes=note))
    (table,) = mask_tables(data_of(jobs, store))
    entries = {row[0].text: [entry.text for entry in row[1:]] for row in table.rows}
    between = ((1 - 2 / 6) + (1 - 3 / 6) + 0) / 3
    assert entries == {"cifar10": [f"{1 - 4 / 5:.3f}", f"{between:.3f}"], "svhn": [f"{between:.3f}", "–"]}


def test_records_without_masks_make_no_table(store: Store) -> None:
    jobs = [factories.job()]
    store.put(factories.record(jobs[0]))
    assert mask_tables(data_of(jobs, store)) == []


def test_masks_that_have_nothing_to_be_compared_with_make_no_table(store: Store) -> None:
    jobs = [factories.job(seed=seed) for seed in (0, 1)]
    for job in jobs:
        use = ArtefactUse(kind="x", scope="reference", digest=str(job.seed) * 16, seconds=1.0, reused=True)
        store.put(factories.record(job, artefacts=[use], notes={MASK_NOTE: {"conv": "f0"}}))
    assert mask_tables(data_of(jobs, store)) == []
