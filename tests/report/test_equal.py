"""Equal accuracy and equal time, against curves whose crossing is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stampbench.contract import Budget
from stampbench.job import Job
from stampbench.report.data import Data
from stampbench.report.model import Table
from stampbench.report.render.figures import figures_of
from stampbench.report.tables.beside import beside_tables
from stampbench.report.tables.equal_accuracy import equal_accuracy_tables, share_at
from stampbench.report.tables.equal_time import equal_time_tables
from stampbench.report.tables.time_to_accuracy import time_to_accuracy_tables
from stampbench.store import Store
from stampbench.suite import Suite
from tests.fixtures import factories
from tests.fixtures.reports import suite_data, texts

SHARES = (1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
MakeSuite = Callable[..., Suite]


def test_the_share_is_found_on_a_line_in_the_logarithm() -> None:
    curve = [(share, 1 + 0.1 * math.log2(share)) for share in SHARES]
    assert share_at(curve, 0.75) == pytest.approx(2**-2.5)
    assert share_at(curve, 0.9) == pytest.approx(1 / 2)
    assert share_at(curve, 0.91) is None
    assert share_at(curve, 0.1) == 1 / 32
    assert share_at([], 0.1) is None


def test_the_smallest_share_counts_where_the_curve_is_not_monotone() -> None:
    assert share_at([(0.125, 0.4), (0.25, 0.6), (0.5, 0.5)], 0.5) == pytest.approx(0.125 * 2**0.5)


@given(st.lists(st.floats(0, 1), min_size=5, max_size=5), st.floats(0, 1))
def test_a_reached_level_lies_on_the_curve(accuracies: list[float], level: float) -> None:
    found = share_at(list(zip(SHARES, accuracies, strict=True)), level)
    if max(accuracies) < level:
        assert found is None
    else:
        assert found is not None and SHARES[0] <= found <= SHARES[-1]


def tables_of(data: Data) -> dict[str, Table]:
    functions = (equal_accuracy_tables, time_to_accuracy_tables, equal_time_tables)
    return {table.name: table for function in functions for table in function(data)}


def tables(suite: Suite, store: Store) -> dict[str, Table]:
    return tables_of(suite_data(suite, store))


def test_compression_at_equal_accuracy(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(budgets=[0.5, 0.25, 0.125], seeds=1)
    for job in suite.jobs("quick", "fp32"):
        # Magnitude gains 10 points a doubling, random 5 from a lower level.
        doublings = math.log2(job.budget.keep)
        top1 = {"magnitude": 0.8 + 0.1 * doublings, "random": 0.6 + 0.05 * doublings}.get(job.method, 0.9)
        store.put(factories.record(job, top1=top1 + 0.05 * (job.start == "target")))
    (table,) = tables(suite, store).values()
    assert [row[2:6] for row in texts(table)] == [
        ["random", "reference", "65.00", "> 50.0"],
        ["magnitude, global", "reference", "65.00", f"{100 * 2**-1.5:.1f}"],
        ["magnitude", "target", "65.00", "25.0"],
    ]
    # The factory keeps the square root of the share in parameters.
    assert texts(table)[1][6] == f"{100 * 2**-0.75:.1f}"


def test_time_to_accuracy_and_equal_time(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(epochs=[1, 2, 4], seeds=1)
    for job in suite.jobs("quick", "fp32"):
        epochs = job.protocol.epochs
        top1 = {"dense": 0.8, "random": 0.1}.get(job.method, 0.5) + 0.02 * epochs
        pretrain = 10.0 * epochs * (job.start == "target")
        spent = factories.seconds(pretrain=pretrain, prune=0.0, train=10.0 * epochs)
        store.put(factories.record(job, top1=top1, seconds=spent))
    found = tables(suite, store)
    assert [row[2:] for row in texts(found["toys-quick-time-to-accuracy-fp32"])] == [
        ["dense", "reference", "54.00", "10", "1"],
        ["random", "reference", "54.00", "> 40", "–"],
        ["magnitude, global", "reference", "54.00", "20", "2"],
        ["magnitude", "target", "54.00", "40", "2"],
    ]
    equal = found["toys-quick-equal-time-fp32"]
    assert [column.heading for column in equal.columns[4:]] == ["16 s", "32 s", "64 s", "128 s"]
    assert [row[2:] for row in texts(equal)] == [
        ["dense", "reference", "82.00", "84.00", "88.00", "88.00"],
        ["random", "reference", "12.00", "14.00", "18.00", "18.00"],
        ["magnitude, global", "reference", "52.00", "54.00", "58.00", "58.00"],
        ["magnitude", "target", "–", "52.00", "54.00", "58.00"],
    ]


def test_schedules_share_the_warm_up_in_proportion_and_the_suites_own_is_the_same_job(make_suite: MakeSuite) -> None:
    plain, schedules = make_suite(), make_suite(epochs=[1, 2, 8])
    found = {job.protocol.epochs: job.protocol.warmup_epochs for job in schedules.jobs("quick", "fp32")}
    assert found == {1: 0.5, 2: 1.0, 8: 4.0}
    assert {job.key for job in plain.jobs("quick", "fp32")} < {job.key for job in schedules.jobs("quick", "fp32")}


def test_nothing_to_reach_gives_no_table(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(methods=["dense", "random"], budgets=[0.5, 0.25])
    for job in suite.jobs("quick", "fp32"):
        store.put(factories.record(job))
    assert tables(suite, store) == {}


def test_the_goal_is_the_suites(make_suite: MakeSuite, store: Store) -> None:
    """Half of the MACs of random is to be reached, not a quarter of magnitude's."""
    suite = make_suite(methods=["random", "magnitude"], budgets=[0.5, 0.25], seeds=1)
    suite = Suite.model_validate(suite.model_dump() | {"comparison": {"keep": 0.5, "accuracy_of": "random"}})
    for job in suite.jobs("quick", "fp32"):
        store.put(factories.record(job, top1={"random": 0.3}.get(job.method, 0.5) + 0.1 * math.log2(job.budget.keep)))
    (table,) = tables(suite, store).values()
    assert [row[2:6] for row in texts(table)] == [
        ["random", "reference", "20.00", "50.0"],
        ["magnitude", "reference", "20.00", "≤ 25.0"],
    ]
    assert "that of random pretrained on the reference set at 1/2 of the MACs" in table.caption


def test_a_suite_without_a_comparison_compares_nothing(make_suite: MakeSuite, store: Store) -> None:
    """With one it has all three tables and both figures that need a share or an accuracy to compare at."""
    meta = factories.reference_use(0, seconds=50.0).model_copy(update={"kind": "meta-trained"})
    suite = make_suite(budgets=[0.5, 0.25], epochs=[1, 2], seeds=1)
    for job in suite.jobs("quick", "fp32"):
        store.put(factories.record(job, artefacts=[meta]))
    silent = suite.model_copy(update={"comparison": None})
    assert (len(tables(suite, store)), len(tables(silent, store))) == (3, 0)

    def drawn(suite: Suite) -> set[str]:
        return {figure.name.partition("-cifar10")[0] for figure in figures_of(suite_data(suite, store))}

    assert drawn(suite) - drawn(silent) == {"toys-quick-time-to-accuracy", "toys-quick-break-even"}


def weighed(job: Job) -> Job:
    return job.model_copy(update={"budget": Budget(resource="params", keep=job.budget.keep)})


def test_every_resource_has_tables_and_figures_of_its_own(make_suite: MakeSuite, store: Store) -> None:
    """A quarter of the MACs reaches 80 %, a quarter of the parameters 40 %: neither goal is the other's."""
    suite = make_suite(methods=["dense", {"name": "magnitude", "start": "target"}], budgets=[0.5, 0.25], seeds=1)
    pruned = [job for job in suite.jobs("quick", "fp32") if job.method != "dense"]
    jobs = [*suite.jobs("quick", "fp32"), *(weighed(job) for job in pruned)]
    for job in jobs:
        best = 0.4 if job.budget.resource == "params" else 0.8
        store.put(factories.record(job, top1=best + 0.1 * (job.budget.keep - 0.25)))
    data = Data.of(suite, "quick", jobs, store)
    found = tables_of(data)
    assert list(found) == [f"toys-quick-equal-accuracy-{resource}-fp32" for resource in ("macs", "params")]
    assert [[row[4] for row in texts(table)] for table in found.values()] == [["80.00"], ["40.00"]]
    assert ["of the MACs" in table.caption for table in found.values()] == [True, False]
    assert ["of the parameters, " in table.caption for table in found.values()] == [False, True]
    names = {figure.name for figure in figures_of(data)}
    for resource in ("macs", "params"):
        assert f"toys-quick-accuracy-{resource}-cifar10-vgg19-0.25-{resource}-fp32" in names
        assert f"toys-quick-widths-cifar10-vgg19-0.25-{resource}-fp32" in names


def test_equal_time_stands_beside_equal_macs(make_suite: MakeSuite, store: Store) -> None:
    """Magnitude runs at MACs alone, so its columns of time are dashes; a share that is not compared is not shown."""
    suite = make_suite(methods=["random", "magnitude"], budgets=[0.5, 0.25], seeds=2)
    at_macs = suite.jobs("quick", "fp32")
    timed = Budget(resource="training-time", keep=0.25, table="a" * 16)
    at_time = [
        job.model_copy(update={"budget": timed})
        for job in at_macs
        if job.method == "random" and job.budget.keep == 0.25
    ]
    for job in (*at_macs, *at_time):
        best = 0.4 if job.budget.table else 0.8
        store.put(factories.record(job, top1=best + 0.01 * job.seed))
    assert beside_tables(Data.of(suite, "quick", at_macs, store)) == []
    (found,) = beside_tables(Data.of(suite, "quick", [*at_macs, *at_time], store))
    headings = [column.heading for column in found.columns]
    assert headings[2:6] == [f"1/4 MACs: {what}" for what in ("top-1 %", "MACs %", "parameters %", "step %")]
    assert headings[6:] == [
        f"1/4 training time: {what}" for what in ("top-1 %", "MACs %", "parameters %", "predicted time %", "step %")
    ]
    rows = {row[0]: row for row in texts(found)}
    assert rows.keys() == {"random", "magnitude"}
    assert rows["random"][2] == rows["magnitude"][2] == "80.50 ± 0.71"
    assert rows["random"][6] == "40.50 ± 0.71" and set(rows["magnitude"][6:]) == {"–"}
    assert "Compare methods within a resource" in found.caption
