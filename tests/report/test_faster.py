"""The claim on speed in sentences, against seconds that are known."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from stampbench.report.faster import faster
from stampbench.store import Store
from stampbench.suite import Claim, Suite
from tests.fixtures import factories
from tests.fixtures.reports import suite_data

MakeSuite = Callable[..., Suite]
GLOBAL = {"name": "magnitude", "options": {"scope": "global"}}
CLAIM = Claim.model_validate({"title": "Toys", "subject": GLOBAL, "against": ["random"]})


def run(suite: Suite, store: Store, lead: float, notes: dict[str, object] | None = None) -> list[str]:
    """Run three schedules of a toy suite: 2 points and 10 s an epoch, and as much again to pretrain on the target."""
    for job in suite.jobs("quick", "fp32"):
        epochs, on_target = job.protocol.epochs, job.start == "target"
        spent = factories.seconds(pretrain=10.0 * epochs * on_target, prune=0.0, train=10.0 * epochs)
        told = {"notes": notes} if notes and job.method == "random" else {}
        top1 = 0.5 + 0.02 * epochs - lead * on_target
        store.put(factories.record(job, top1=top1, seconds=spent, **told))
    return faster(suite_data(suite, store))


@pytest.fixture
def suite(make_suite: MakeSuite) -> Suite:
    """Magnitude from the reference weights against the others; the goal is magnitude's pretrained on the target."""
    return make_suite(epochs=[1, 2, 4], seeds=1).model_copy(update={"claims": [CLAIM]})


def test_the_first_schedule_that_reaches_the_level_counts(suite: Suite, store: Store) -> None:
    assert run(suite, store, lead=0.0) == [
        "On cifar10 with vgg19 × 0.25, magnitude, global pretrained on the reference set reaches in 20 s what "
        "magnitude pretrained on the target at 1/4 of the MACs reaches in 40 s: 2.0 times as fast."
    ]
    (sentence,) = run(suite, store, lead=0.03)
    assert sentence.endswith("reaches in 40 s: 4.0 times as fast.") and "reaches in 10 s what" in sentence


def test_a_level_that_is_not_reached_is_said_to_be_none(suite: Suite, store: Store) -> None:
    (sentence,) = run(suite, store, lead=-0.1)
    assert "does not reach within 40 s, its longest schedule, what magnitude pretrained on the target" in sentence
    assert sentence.endswith("reaches in 40 s.")


def test_a_search_is_charged_at_the_size_of_its_paper(suite: Suite, store: Store) -> None:
    search = {"evaluations": 10, "evaluation_s": 0.5, "paper_evaluations": 1010}
    first, _ = run(suite, store, lead=0.0, notes=search)
    assert first.endswith(
        "reaches in 20 s what random pretrained on the reference set at 1/4 of the MACs reaches, with the search at "
        "the size of its paper, in 520 s: 26.0 times as fast."
    )


def test_without_schedules_claims_or_subject_nothing_is_said(make_suite: MakeSuite, suite: Suite, store: Store) -> None:
    assert run(make_suite(seeds=1), store, lead=0.0) == []
    assert run(suite.model_copy(update={"claims": []}), store, lead=0.0) == []
