"""`plan`."""

import json
from pathlib import Path

from stampbench.job import Job
from stampbench.measure import hardware
from stampbench.store import Store
from tests.fixtures import factories


def test_plan_counts_what_is_done_missing_failed_and_stale(stampbench, project):
    store = Store(project / "results")
    jobs = cli_jobs()
    store.put(factories.record(jobs[0]))
    store.put(factories.failed(jobs[1]))
    older = jobs[2].model_dump() | {"method_version": "1"}
    store.put(factories.record(Job.model_validate(older)))
    code, out, _ = stampbench("plan", "toy")
    assert code == 0
    assert "2 jobs done, 10 missing" in out and "h left" in out and "--preset paper" in out
    assert [line.split()[-7:-3] for line in out.splitlines() if line.startswith("cifar10")] == [
        ["2", "1", "0", "0"],
        ["2", "0", "1", "0"],
        ["2", "0", "0", "0"],
    ]
    assert "stale, made by version 1: magnitude" in out


def test_plan_takes_the_options_of_run_that_choose_jobs(stampbench, project):
    store, jobs = Store(project / "results"), cli_jobs()
    store.put(factories.record(jobs[0]))
    _, out, _ = stampbench("plan", "toy", "--method", "magnitude", "--target", "svhn", "--seed", "1", "--json")
    assert [(row["target"], row["resource"], row["keep"]) for row in json.loads(out)] == [
        ("svhn", "macs", "0.25"),
        ("svhn", "macs", "0.5"),
    ]
    _, out, _ = stampbench("plan", "toy", "--method", "dense")
    assert "1 jobs done, 3 missing" in out
    assert stampbench("plan", "toy", "--seed", "7")[0] == 2


def test_plan_says_that_records_are_in_the_other_precision(stampbench, project, monkeypatch):
    """Someone whose machine has no bf16 would otherwise think that nothing was ever run."""
    monkeypatch.setattr(hardware, "preferred_precision", lambda cuda: "bf16")
    store, jobs = Store(project / "results"), cli_jobs()
    for job in jobs[:5]:
        store.put(factories.record(job))
    _, here, _ = stampbench("plan", "toy")
    monkeypatch.setattr(hardware, "preferred_precision", lambda cuda: "fp32")
    _, there, _ = stampbench("plan", "toy")
    assert "5 jobs done" in here and "leaves the precision open" not in here
    assert "0 jobs done" in there and "in fp32; 5 of them have records in bf16, which `report` shows too" in there
    chosen = [job for job in jobs[:5] if job.target == "svhn"]
    _, some, _ = stampbench("plan", "toy", "--target", "svhn")
    assert f"{len(chosen)} of them have records in bf16" in some
    _, added, _ = stampbench("plan", "toy", "--precision", "bf16")
    assert "5 jobs done" in added and "leaves the precision open" not in added


def test_records_in_the_other_precision_are_counted_under_budgets_of_time_too(stampbench, project, monkeypatch):
    path = project / "suites" / "toy.toml"
    path.write_text(path.read_text().replace("seeds = 2", 'seeds = 2\nresource = "training-time"'))
    monkeypatch.setattr(hardware, "preferred_precision", lambda cuda: "bf16")
    store, jobs = Store(project / "results"), cli_jobs()
    for job in jobs:
        store.put(factories.record(job))
    monkeypatch.setattr(hardware, "preferred_precision", lambda cuda: "fp32")
    _, there, _ = stampbench("plan", "toy")
    assert any(job.budget.table for job in jobs) and f"{len(jobs)} of them have records in bf16" in there


def test_a_precision_that_a_preset_fixes_is_not_changed(stampbench, project):
    path = project / "suites" / "toy.toml"
    path.write_text(path.read_text().replace("threads = 1", 'threads = 1\nprecision = "fp32"'))
    code, _, err = stampbench("plan", "toy", "--precision", "bf16")
    assert code == 2 and "fixes the precision fp32; leave --precision away" in err
    assert stampbench("plan", "toy", "--precision", "fp32")[0] == 0
    assert stampbench("plan", "toy", "--precision", "fp8")[0] == 2


def test_plan_says_that_records_are_of_another_device(stampbench, project, monkeypatch):
    path = project / "suites" / "toy.toml"
    path.write_text(path.read_text().replace("seeds = 2", 'seeds = 2\nresource = "training-time"'))
    store = Store(project / "results")
    monkeypatch.setattr(hardware, "cpu_model", lambda: "a processor")
    for job in cli_jobs():
        if job.seed == 0:
            store.put(factories.record(job))
    _, here, _ = stampbench("plan", "toy")
    monkeypatch.setattr(hardware, "cpu_model", lambda: "another processor")
    _, there, _ = stampbench("plan", "toy")
    _, some, _ = stampbench("plan", "toy", "--seed", "1")
    done = sum(job.seed == 0 for job in cli_jobs())
    assert "another device" not in here + some
    # A network that removes nothing has no budget of time, so its record counts on every device.
    free = sum(job.seed == 0 and job.budget.table is None for job in cli_jobs())
    assert f"\n{done - free} of the missing jobs have records under another device's table" in there


def cli_jobs():
    from stampbench.running.campaign import Campaign

    return Campaign("toy", "quick", Store(Path("results"))).jobs
