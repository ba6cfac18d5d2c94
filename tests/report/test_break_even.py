from __future__ import annotations

import pytest

from stampbench.contract import Budget, Start
from stampbench.record import ArtefactUse
from stampbench.report.tables.break_even import break_even_tables, targets_to_break_even
from stampbench.store import Store
from tests.fixtures import factories
from tests.fixtures.reports import data_of


def use(kind: str, seconds: float) -> ArtefactUse:
    return ArtefactUse(kind=kind, scope="reference", digest=kind[:1] * 16, seconds=seconds, reused=True)


def put(store: Store, total: float, artefacts: list[ArtefactUse], **job: object):
    made = factories.job(**job)
    spent = factories.seconds(train=total, prune=0, pretrain=0, reference=sum(a.seconds for a in artefacts))
    store.put(factories.record(made, seconds=spent, artefacts=artefacts))
    return made


def test_seconds_on_the_reference_side_over_seconds_saved_on_each_target(store: Store) -> None:
    pretrained, own = use("pretrained", 200.0), use("meta-trained", 300.0)
    jobs = [
        put(store, 20.0, [pretrained, own], method="random"),
        put(store, 26.0, [pretrained]),
        put(store, 70.0, [], start=Start.TARGET),
        put(store, 15.0, [pretrained], options={"scope": "global"}),
    ]
    (table,) = break_even_tables(data_of(jobs, store))
    found = [tuple(entry.text for entry in row[-3:]) for row in table.rows]
    assert found == [("300", "6.0", "50"), ("500", "50.0", "10"), ("300", "-5.0", "never")]


def test_nothing_to_pay_back_is_no_table(store: Store) -> None:
    jobs = [put(store, 20.0, [use("pretrained", 200.0)])]
    assert break_even_tables(data_of(jobs, store)) == []


def test_only_equal_shares_of_one_resource_are_compared(store: Store) -> None:
    """A quarter of the parameters is not a quarter of the MACs; nothing removed is all of either."""
    pretrained, own = use("pretrained", 200.0), use("meta-trained", 300.0)
    weighed = {"budget": Budget(resource="params", keep=0.25)}
    jobs = [
        put(store, 20.0, [pretrained, own], method="random"),
        put(store, 26.0, [pretrained], **weighed),
        put(store, 30.0, [pretrained], method="dense"),
    ]
    (table,) = break_even_tables(data_of(jobs, store))
    assert [row[1].text for row in table.rows] == ["dense (reference)"]
    jobs.append(put(store, 22.0, [pretrained, own], method="random", **weighed))
    (table,) = break_even_tables(data_of(jobs, store))
    assert {(row[1].text.split()[0], row[4].text) for row in table.rows} == {
        ("dense", "1/4 MACs"),
        ("dense", "1/4 parameters"),
        ("magnitude", "1/4 parameters"),
    }


@pytest.mark.parametrize(
    ("reference", "saved", "targets"), [(10, 3, 4), (10, 5, 2), (-4, 3, 1), (10, 0, None), (10, -1, None)]
)
def test_the_sum_is_smaller_from_there_on_and_not_before(reference: float, saved: float, targets: int | None) -> None:
    assert targets_to_break_even(reference, saved) == targets
    if targets is not None:
        assert targets * saved >= reference
        assert targets == 1 or (targets - 1) * saved < reference
