"""Budgets of time in a pool of several devices: one device for a seed, and a section for each further one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stampbench.record import ArtefactUse
from stampbench.report.render.figures import figures_of
from stampbench.report.sections import preset_sections
from stampbench.running.devices import by_device
from stampbench.store import Store
from stampbench.suite import Suite
from tests.fixtures import factories

TABLES = {"first": "1" * 16, "second": "2" * 16}


@pytest.fixture
def suite(make_suite: Callable[..., Suite]) -> Suite:
    return make_suite(resource="training-time", methods=["random", "magnitude"], budgets=[0.5], seeds=3)


def ran(suite: Suite, store: Store, device: str, *made: tuple[str, int]) -> None:
    """Store a record of that device for each method and seed named."""
    for job in suite.jobs("quick", "fp32"):
        if (job.method, job.seed) in made:
            budget = job.budget.model_copy(update={"table": TABLES[device]})
            where = factories.provenance(device=device)
            named = job.model_copy(update={"budget": budget})
            store.put(factories.record(named, top1=0.5 + 0.01 * job.seed, provenance=where))


def devices(suite: Suite, store: Store) -> list[list[tuple[str, int, str]]]:
    """The jobs with records, list by list: method, seed and device."""
    lists = by_device(suite.jobs("quick", "fp32"), store)
    return [
        [(record.job.method, record.job.seed, record.provenance.device) for record in store.of(jobs).values()]
        for jobs in lists
    ]


def test_seeds_of_several_devices_stand_in_one_section(suite: Suite, store: Store) -> None:
    ran(suite, store, "first", ("random", 0), ("magnitude", 0))
    ran(suite, store, "second", ("random", 1), ("magnitude", 1), ("random", 2), ("magnitude", 2))
    (found,) = devices(suite, store)
    assert sorted(found) == [
        (method, seed, device)
        for method in ("magnitude", "random")
        for seed, device in enumerate(("first", "second", "second"))
    ]
    (section,) = preset_sections(suite, "quick", store)
    assert section.data is not None
    assert section.data.cells["done"].tolist() == [3, 3]
    assert "mixed devices: first / second" in section.data.scope.origin


def test_a_seed_follows_the_device_with_most_of_its_records(suite: Suite, store: Store) -> None:
    ran(suite, store, "first", ("random", 0), ("random", 1))
    ran(suite, store, "second", ("random", 0), ("magnitude", 0))
    most, rest = devices(suite, store)
    assert sorted(most) == [("magnitude", 0, "second"), ("random", 0, "second"), ("random", 1, "first")]
    assert rest == [("random", 0, "first")]


def test_a_seed_that_two_devices_ran_has_two_sections_with_names_of_their_own(suite: Suite, store: Store) -> None:
    ran(suite, store, "first", ("random", 0), ("magnitude", 0))
    ran(suite, store, "second", ("random", 0), ("magnitude", 0), ("random", 1))
    sections = preset_sections(suite, "quick", store)
    assert [section.title for section in sections] == [
        "Toys: quick preset, fp32",
        "Toys: quick preset, fp32, device 2 of the same seeds",
    ]
    found = [section.data for section in sections if section.data is not None]
    assert [data.scope.origin.split("; ")[-1] for data in found] == ["second", "first"]
    assert [len(data.records) for data in found] == [3, 2]
    names = [table.name for section in sections for table in section.tables]
    names += [figure.name for data in found for figure in figures_of(data)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("newer", [("first", "second"), ("second", "first")])
def test_of_two_tables_of_one_device_the_latest_counts(suite: Suite, store: Store, newer: tuple[str, str]) -> None:
    job = suite.jobs("quick", "fp32")[0]
    for hour, table in enumerate(newer):
        budget = job.budget.model_copy(update={"table": TABLES[table]})
        where = factories.provenance(device="a", finished=f"2026-11-29T0{hour}:00:00+00:00")
        store.put(factories.record(job.model_copy(update={"budget": budget}), provenance=where))
    (jobs,) = by_device([job], store)
    assert jobs[0].budget.table == TABLES[newer[-1]]


def test_a_pool_without_records_lists_the_jobs_once(suite: Suite, store: Store) -> None:
    jobs = suite.jobs("quick", "fp32")
    assert by_device(jobs, store) == [jobs]


def test_a_table_that_was_measured_anew_is_told(suite: Suite, store: Store) -> None:
    def remarks_with(*seconds: float) -> list[str]:
        for job, taken in zip(suite.jobs("quick", "fp32"), seconds, strict=False):
            named = job.model_copy(update={"budget": job.budget.model_copy(update={"table": TABLES["first"]})})
            use = ArtefactUse(kind="layer-times", scope="device", digest="1" * 16, seconds=taken, reused=True)
            store.put(factories.record(named, artefacts=[use]))
        (section,) = preset_sections(suite, "quick", store)
        return [remark for remark in section.remarks if "was measured" in remark]

    assert remarks_with(60.0, 60.0, 60.0) == []
    (told,) = remarks_with(60.0, 60.0, 61.5)
    assert f"The table of layers {'1' * 16} of vgg19 × 0.25 was measured 2 times; 2 and 1 jobs" in told
