from __future__ import annotations

import pytest

from stampbench.contract import Start
from stampbench.record import ArtefactUse
from stampbench.report.break_even import break_even_table, targets_to_break_even
from stampbench.report.cells import cell_frame, job_frame
from stampbench.report.tables import Scope
from stampbench.store import Store
from tests import factories


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
    frame = job_frame(jobs, store)
    table = break_even_table(cell_frame(frame), Scope.of("toys", "quick", jobs, frame))
    assert table is not None
    found = [tuple(entry.text for entry in row[-3:]) for row in table.rows]
    assert found == [("300", "6.0", "50"), ("500", "50.0", "10"), ("300", "-5.0", "never")]


def test_nothing_to_pay_back_is_no_table(store: Store) -> None:
    jobs = [put(store, 20.0, [use("pretrained", 200.0)])]
    frame = job_frame(jobs, store)
    assert break_even_table(cell_frame(frame), Scope.of("toys", "quick", jobs, frame)) is None


@pytest.mark.parametrize(
    ("reference", "saved", "targets"), [(10, 3, 4), (10, 5, 2), (-4, 3, 1), (10, 0, None), (10, -1, None)]
)
def test_the_sum_is_smaller_from_there_on_and_not_before(reference: float, saved: float, targets: int | None) -> None:
    assert targets_to_break_even(reference, saved) == targets
    if targets is not None:
        assert targets * saved >= reference
        assert targets == 1 or (targets - 1) * saved < reference
