"""Budgets of time in reports: which networks took longer when measured, and how many."""

from __future__ import annotations

import pytest

from stampbench.contract import Budget
from stampbench.report.frames import cell_frame, job_frame
from stampbench.report.model import Notes
from stampbench.report.remarks import time_budgets
from stampbench.report.tables.entries import OVER, dicts, measured
from stampbench.store import Store
from tests.fixtures import factories

KEEP = 0.25


def jobs_that_took(store: Store, *shares: float):
    """Store a record for each measured share of the dense network's time, and return the jobs."""
    jobs = []
    for seed, share in enumerate(shares):
        budget = Budget(resource="training-time", keep=KEEP, table="7" * 16)
        job = factories.job(seed=seed).model_copy(update={"budget": budget})
        key = f"{seed:016x}"
        timing = factories.timing([1.0] * 3, [share] * 3)
        store.put_speed(factories.speed(key, train_step=timing))
        store.put(factories.record(job, speed=key, cost=factories.cost(predicted_share=0.249)))
        jobs.append(job)
    return jobs


@pytest.mark.parametrize(
    ("shares", "over"), [((0.25, 0.262), 0), ((0.24, 0.263), 1), ((0.27, 0.28), 2)], ids=["none", "one", "all"]
)
def test_a_row_whose_slowest_network_is_over_the_budget_is_marked(store: Store, shares, over) -> None:
    (cell,) = dicts(cell_frame(job_frame(jobs_that_took(store, *shares), store)))
    notes = Notes()
    mean, slowest = (measured(cell, measure, notes) for measure in ("measured_share", "slowest_share"))
    assert cell["over"] == over
    assert mean.text == f"{100 * sum(shares) / 2:.1f}" and mean.note is None
    assert slowest.text == f"{100 * max(shares):.1f}"
    assert notes.texts == ((OVER,) if over else ()) and (slowest.note == 0) == bool(over)


def test_a_sentence_says_how_many_networks_kept_their_budget(store: Store) -> None:
    timed = jobs_that_took(store, 0.25, 0.26, 0.24, 0.2, 0.3)
    other = factories.job(seed=9)
    store.put(factories.record(other))
    (sentence,) = time_budgets(job_frame([*timed, other], store))
    assert sentence.startswith(
        "Of 5 networks under a budget of time, 60 % took within 5 % of it when measured, and 20 %"
    )
    assert time_budgets(job_frame([other], store)) == []
