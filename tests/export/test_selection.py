"""One job is selected by what it is; where none or several are meant, the message says what there is."""

import pytest

from stampbench.errors import SuiteError
from stampbench.export.selection import single
from tests.fixtures import factories
from tests.fixtures.tiny import JOBS


def message(jobs, **wanted) -> str:
    with pytest.raises(SuiteError) as refused:
        single(jobs, wanted)
    return str(refused.value)


@pytest.mark.parametrize("budget", ["1/4", "0.25", "2/8", ".25"])
def test_a_share_may_be_written_in_any_way(budget):
    job = single(JOBS, {"method": "random", "budget": budget, "seed": 1})
    assert (job.method, job.budget.keep, job.seed) == ("random", 0.25, 1)


def test_a_method_is_a_row_of_the_plan_before_it_is_a_method():
    plain = single(JOBS, {"method": "magnitude", "start": "reference", "seed": 0})
    assert plain.options == {}
    assert single(JOBS, {"method": "magnitude, global", "seed": 0}).options == {"scope": "global"}
    # Where no row has the bare name, it means the method.
    others = [job for job in JOBS if job != plain and job.seed == 0]
    assert single(others, {"method": "magnitude", "start": "reference"}).options == {"scope": "global"}


def test_a_single_job_needs_no_option():
    assert single(JOBS[:1], {"method": None, "seed": None}) == JOBS[0]


def test_every_job_can_be_told_by_the_options_that_the_message_names():
    job = factories.job()
    protocol = job.protocol.model_copy(update={"epochs": 7})
    others = {
        "--width 0.25, 0.5": {"width": 0.5},
        "--epochs 2, 7": {"protocol": protocol},
        "--network vgg19, resnet18": {"network": "resnet18"},
        "--resource macs, params": {"budget": job.budget.model_copy(update={"resource": "params"})},
        "--method magnitude, 'magnitude, global'": {"options": {"scope": "global"}},
    }
    for option, change in others.items():
        said = message([job, job.model_copy(update=change)])
        assert said.startswith("2 jobs match") and option in said
        assert said.count("--") == 3  # the option with its values, and once in each job


def test_many_jobs_are_not_all_listed():
    said = message([factories.job(seed=seed) for seed in range(30)], method="magnitude")
    assert "30 jobs match" in said and "--seed 19" in said and "and 10 more" in said


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"method": "magnitud"}, ["no method 'magnitud'", "did you mean 'magnitude'"]),
        ({"seed": 7}, ["no seed '7'", "0, 1"]),
        ({"budget": "1/2"}, ["no budget '1/2'", "1/4"]),
        ({"width": 0.25}, ["no width '0.25'", "0.125"]),
        ({"method": "dense", "budget": "1/4"}, ["--method dense --budget 1/4 together", "--budget 1"]),
        ({"method": "dense", "start": "target", "budget": "1/4"}, ["--method magnitude"]),
    ],
)
def test_what_there_is_not_is_named_beside_what_there_is(wanted, said):
    assert [words for words in said if words not in message(JOBS, **wanted)] == []


@pytest.mark.parametrize(
    "text", ["a quarter", "1/0", "0", "2", "-1/4", "nan", "inf", "1e400", "1e999999999", "1/4/2", ""]
)
def test_what_is_no_share_is_refused(text):
    assert "is no share; write it as 1/4" in message(JOBS, budget=text)
