"""Where the subject of the claims wins, ties and loses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from stampbench.report.sections import suite_sections
from stampbench.report.tables.wins import wins_tables
from stampbench.store import Store
from stampbench.suite import Suite
from tests.fixtures import factories
from tests.fixtures.reports import suite_data, texts

# Noise that differs from seed to seed, the same for nobody.
NOISE = {
    "magnitude": (0.0, 0.002, 0.001, 0.003),
    "random": (0.001, 0.0, 0.003, 0.002),
    "dense": (0.002, 0.001, 0.0, 0.004),
}


def with_claim(suite: Suite) -> Suite:
    claim = {"title": "It wins", "subject": "magnitude", "against": ["random", "dense"]}
    return Suite.model_validate(suite.model_dump() | {"claims": [claim], "comparison": {"keep": 0.25}})


def table_of(suite: Suite, store: Store) -> list[list[str]]:
    (section,) = suite_sections(suite, store)
    (table,) = [table for table in section.tables if "-wins-" in table.name]
    return [[column.heading for column in table.columns], *([entry.text for entry in row] for row in table.rows)]


def test_wins_ties_and_losses_are_counted_over_targets_and_budgets(
    make_suite: Callable[..., Suite], store: Store
) -> None:
    grid = {"targets": ["cifar10", "cifar100"], "budgets": [0.5, 0.25], "methods": ["dense", "random", "magnitude"]}
    suite = with_claim(make_suite(seeds=4, **grid))
    # Against random it wins on cifar10 and ties on cifar100; the dense network is always far above.
    levels = {("random", "cifar10"): 0.4, ("random", "cifar100"): 0.6}
    for job in suite.jobs("quick", "fp32"):
        level = levels.get((job.method, job.target), 0.9 if job.method == "dense" else 0.6)
        store.put(factories.record(job, top1=level + NOISE[job.method][job.seed]))
    assert table_of(suite, store) == [
        ["against", "equal MACs"],
        ["random (reference)", "2 / 2 / 0"],
        ["dense (reference)", "0 / 0 / 4"],
    ]


@pytest.mark.parametrize("seeds", [2, 4])
def test_within_equal_seconds_the_longest_schedule_that_has_ended_counts(
    make_suite: Callable[..., Suite], store: Store, seeds: int
) -> None:
    """Magnitude wins epoch by epoch, and takes four times as long; within equal seconds it loses."""
    suite = with_claim(make_suite(seeds=seeds, methods=["random", "magnitude"], epochs=[1, 2, 4]))
    for job in suite.jobs("quick", "fp32"):
        epochs, slow = job.protocol.epochs, job.method == "magnitude"
        seconds = factories.seconds(prune=0.0, train=float(epochs * (4 if slow else 1)))
        level = 0.5 + 0.05 * epochs + (0.04 if slow else 0.0) + NOISE[job.method][job.seed]
        store.put(factories.record(job, top1=level, seconds=seconds))
    found = table_of(suite, store)
    if seeds == 2:
        assert found[1:] == [["random (reference)", "–", "–"]]
        return
    # Within 1 and 2 s nothing of magnitude has ended; within 4 s one epoch of it against four of random; within 8 s two
    # against four; within 16 s four against four.
    assert found == [["against", "equal MACs", "equal seconds"], ["random (reference)", "3 / 0 / 0", "1 / 0 / 2"]]


def test_a_claim_about_other_suites_too_does_not_count(make_suite: Callable[..., Suite], store: Store) -> None:
    suite = with_claim(make_suite(seeds=4, methods=["random", "magnitude"]))
    for job in suite.jobs("quick", "fp32"):
        store.put(factories.record(job, top1=0.4 + 0.2 * (job.method == "magnitude") + NOISE[job.method][job.seed]))
    data = suite_data(suite, store)
    (claim,) = data.claims
    # The other claim makes other comparisons, those at another share, and is about more images.
    lines = tuple(replace(line, match=line.match._replace(keep=0.5)) for line in claim.lines)
    wider = replace(claim, lines=lines, scope=replace(claim.scope, origin="training images: svhn-783 700"))
    (table,) = wins_tables(replace(data, claims=(claim, wider)))
    assert texts(table) == [["random (reference)", "1 / 0 / 0"]]
    assert wins_tables(replace(data, claims=(wider,))) == []
