from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from stampbench.contract import Budget
from stampbench.errors import SuiteError
from stampbench.job import Job
from stampbench.report.claims import Evidence, judged_claims, verdict
from stampbench.report.frames import job_frame
from stampbench.report.model import Table
from stampbench.report.scope import Scope
from stampbench.report.tables.claims import claim_tables
from stampbench.statistics import Comparison
from stampbench.store import Store
from stampbench.suite import Suite
from tests.fixtures import factories
from tests.fixtures.reports import suite_data

MakeSuite = Callable[..., Suite]
SUBJECT = {"name": "magnitude", "options": {"scope": "global"}}


def claimed(make_suite: MakeSuite, against: list[Any], lists: dict[str, list[str]] | None = None, **grid: Any) -> Suite:
    suite = make_suite(**({"seeds": 8} | grid))
    claim = {"title": "It wins", "subject": SUBJECT, "against": against}
    return Suite.model_validate(suite.model_dump() | {"methods": lists or {}, "claims": [claim]})


def tables_of(suite: Suite, store: Store, accuracies: dict[str, list[float]]) -> list[Table]:
    """Accuracies by method, seed by seed; magnitude from target weights has no record."""
    jobs = suite.jobs("quick", "fp32")
    for job in jobs:
        if job.start != "target" and job.seed < len(accuracies.get(job.method, [])):
            store.put(factories.record(job, top1=accuracies[job.method][job.seed]))
    return claim_tables(suite_data(suite, store))


def evidence(jobs: list[Job], store: Store) -> Evidence:
    frame = job_frame(jobs, store)
    return Scope.of("toys", "quick", jobs, frame), jobs, frame


def texts(table: Table) -> list[dict[str, str]]:
    return [dict(zip((c.heading for c in table.columns), (e.text for e in row), strict=True)) for row in table.rows]


def test_a_clear_win_a_clear_loss_and_no_difference(make_suite: MakeSuite, store: Store) -> None:
    noise = [0.001, -0.001, 0.002, -0.002, 0.0, 0.001, -0.001, 0.0]
    accuracies = {
        "magnitude": [0.6] * 8,
        "random": [0.5 + d for d in noise],
        "dense": [0.7 + d for d in noise],
    }
    suite = claimed(make_suite, ["random", "dense", {"name": "magnitude", "start": "target"}])
    (table,) = tables_of(suite, store, accuracies)
    random, dense, missing = texts(table)
    assert (random["against"], random["verdict"], random["n"]) == ("random (reference)", "better", "8")
    assert random["difference"].startswith("+10.00 ± ")
    assert random["p (sign flips)"] == f"{2 / 2**8:.3f}"
    assert (dense["verdict"], dense["difference"][:6]) == ("worse", "-10.00")
    assert (missing["verdict"], missing["n"], missing["difference"]) == ("too few seeds", "0", "–")
    assert "1 better, 1 worse, 1 too few seeds;" in table.caption
    assert [row[5].strong for row in table.rows] == [True, True, False]
    assert [len(keys) for keys in table.sources] == [16, 16, 8]


def test_the_correction_counts_every_row_of_the_table(make_suite: MakeSuite, store: Store) -> None:
    """A p of 0.03 against one row is 0.06 against two equal ones."""
    near = [0.6, 0.6, 0.6]
    far = [0.5, 0.52, 0.56]
    (alone,) = tables_of(claimed(make_suite, ["random"], seeds=3), store, {"magnitude": near, "random": far})
    both = claimed(make_suite, ["random", "random"], seeds=3)
    (twice,) = tables_of(both, store, {"magnitude": near, "random": far})
    single = float(texts(alone)[0]["p (Holm)"])
    assert [float(row["p (Holm)"]) for row in texts(twice)] == [pytest.approx(2 * single, abs=2e-3)] * 2


def test_a_claim_about_some_budgets_is_corrected_over_those_alone(make_suite: MakeSuite, store: Store) -> None:
    suite = claimed(make_suite, ["random"], seeds=3, budgets=[0.5, 0.25])
    whole = suite.claims[0]
    part = whole.model_copy(update={"budgets": [0.25]})
    suite = suite.model_copy(update={"claims": [whole, part]})
    both, alone = tables_of(suite, store, {"magnitude": [0.6] * 3, "random": [0.5, 0.52, 0.56]})
    assert [row["budget"] for row in texts(both)] == ["1/2", "1/4"]
    (row,) = texts(alone)
    assert row["budget"] == "1/4"
    corrected = [float(row["p (Holm)"]) for row in texts(both)]
    assert corrected == [pytest.approx(2 * float(row["p (Holm)"]), abs=2e-3)] * 2


def test_a_claim_about_a_budget_that_no_grid_has_is_refused(make_suite: MakeSuite) -> None:
    suite = claimed(make_suite, ["random"])
    wrong = suite.claims[0].model_dump() | {"budgets": [0.3]}
    with pytest.raises(ValueError, match=r"about the budget 0\.3, which no grid has"):
        Suite.model_validate(suite.model_dump() | {"claims": [wrong]})


def test_two_seeds_are_said_to_be_too_few(make_suite: MakeSuite, store: Store) -> None:
    suite = claimed(make_suite, ["random"])
    (table,) = tables_of(suite, store, {"magnitude": [0.6, 0.6], "random": [0.5, 0.4]})
    (row,) = texts(table)
    assert (row["difference"], row["verdict"]) == ("+15.00", "too few seeds")
    assert table.notes == ("fewer than 3 common seeds: no interval",)


def test_a_suite_without_the_subject_has_no_table(make_suite: MakeSuite, store: Store) -> None:
    suite = claimed(make_suite, ["random"], methods=["random"])
    assert tables_of(suite, store, {}) == []


def test_an_unknown_method_in_a_claim_is_refused(make_suite: MakeSuite, store: Store) -> None:
    with pytest.raises(SuiteError, match="magnitud"):
        tables_of(claimed(make_suite, ["magnitud"]), store, {})


def test_only_equal_shares_of_one_resource_are_paired(make_suite: MakeSuite, store: Store) -> None:
    """The other row keeps a quarter of the parameters, then of the MACs too; what removes nothing matches both."""
    suite = claimed(make_suite, ["random", "dense"], methods=["random", "dense", SUBJECT], seeds=1)
    jobs = suite.jobs("quick", "fp32")
    random = next(job for job in jobs if job.method == "random")
    weighed = random.model_copy(update={"budget": Budget(resource="params", keep=0.25)})
    others = [job for job in jobs if job is not random]

    def compared(jobs: list[Job]) -> list[tuple[str, str]]:
        (found,) = judged_claims(suite, [evidence(jobs, store)])
        return [(line.other, line.match.resource) for line in found.lines]

    assert compared([*others, weighed]) == [("dense (reference)", "macs")]
    assert compared([*others, weighed, random]) == [("random (reference)", "macs"), ("dense (reference)", "macs")]


def test_each_resource_is_judged_on_its_own_and_named(make_suite: MakeSuite, store: Store) -> None:
    suite = claimed(make_suite, ["random"], methods=["random", SUBJECT], seeds=1)
    by_macs = [job for job in suite.jobs("quick", "fp32") if job.budget.keep < 1]
    by_params = [job.model_copy(update={"budget": Budget(resource="params", keep=0.25)}) for job in by_macs]
    jobs = [*by_macs, *by_params]
    macs, params = judged_claims(suite, [evidence(jobs, store)])
    assert (macs.name, macs.title) == ("claim-1-macs", "It wins, at equal MACs")
    assert (params.name, params.title) == ("claim-1-params", "It wins, at equal parameters")
    assert {line.match.resource for line in params.lines} == {"params"} and len(macs.lines) == len(params.lines)


def test_a_claim_against_a_named_list_is_one_against_its_rows(make_suite: MakeSuite, store: Store) -> None:
    accuracies = {"magnitude": [0.6, 0.62, 0.61], "random": [0.5, 0.52, 0.5], "dense": [0.7, 0.71, 0.7]}
    written = claimed(make_suite, ["random", "dense"], seeds=3)
    named = claimed(make_suite, ["@others"], {"others": ["random", "dense"]}, seeds=3)
    assert tables_of(named, store, accuracies) == tables_of(written, store, accuracies)


@pytest.mark.parametrize(
    ("mean", "adjusted", "word"),
    [(1.0, 0.01, "better"), (-1.0, 0.01, "worse"), (1.0, 0.05, "no difference shown"), (1.0, None, "too few seeds")],
)
def test_verdicts(mean: float, adjusted: float | None, word: str) -> None:
    assert verdict(Comparison(3, mean, 0.1, adjusted, None), adjusted) == word


def test_a_claim_about_other_suites_is_corrected_over_all_targets(make_suite: MakeSuite, store: Store) -> None:
    """The p value of each of five equal comparisons is five times that of one alone."""
    accuracies = {"magnitude": [0.6, 0.6, 0.6], "random": [0.5, 0.52, 0.56]}
    own = claimed(make_suite, ["random"], seeds=3)
    (alone,) = tables_of(own, store, accuracies)
    more = make_suite(targets=["svhn", "cifar100", "digits", "cifar10"], seeds=3, epochs=[7])
    tables_of(more, store, accuracies)
    joint = own.model_copy(update={"claims": [own.claims[0].model_copy(update={"suites": ["more"]})]})
    joint._others["more"] = more
    data = suite_data(joint, store)
    (table,) = claim_tables(data)
    assert sorted(row["target"] for row in texts(table)) == ["cifar10", "cifar10", "cifar100", "digits", "svhn"]
    single = texts(alone)[0]
    assert {row["difference"] for row in texts(table)} == {single["difference"]}
    assert [float(row["p (Holm)"]) for row in texts(table)] == [
        pytest.approx(5 * float(single["p (Holm)"]), abs=3e-3)
    ] * 5
    assert f"; {factories.protocol().epochs} to 7 epochs, " in table.caption
    # The page shows the records behind every number, and the section's own tables stay its own.
    assert {key for keys in table.sources for key in keys} <= data.records.keys()
    assert set(data.frame["target"]) == {"cifar10"}
