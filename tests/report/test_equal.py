"""Equal accuracy and equal time, against curves whose crossing is known."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stampbench.report.cells import cell_frame, job_frame
from stampbench.report.equal import equal_tables, share_at
from stampbench.report.tables import Scope, Table
from stampbench.store import Store
from stampbench.suite import Suite
from tests import factories

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


def tables(suite: Suite, store: Store) -> dict[str, Table]:
    jobs = suite.jobs("quick", "fp32")
    frame = job_frame(jobs, store)
    found = equal_tables(cell_frame(frame), Scope.of("toys", "quick", jobs, frame), epochs=2)
    return {table.name: table for table in found}


def texts(table: Table) -> list[list[str]]:
    return [[entry.text for entry in row] for row in table.rows]


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
