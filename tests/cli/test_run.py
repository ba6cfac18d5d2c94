"""`run`, and how it stops."""

import os
import signal
import time

from stampbench.errors import DataError
from stampbench.measure import hardware
from stampbench.running.executors.local import Local
from stampbench.store import Store
from tests.cli.toy import QUICK_JOBS


def test_run_runs_every_job_and_stores_it(stampbench, runs, project):
    code, _, err = stampbench("run", "toy")
    assert (code, err) == (0, "")
    assert len(runs.jobs) == QUICK_JOBS and runs.retry is False
    assert len(list(Store(project / "results").records())) == QUICK_JOBS


def test_run_says_which_preset_how_long_and_how_to_change_it(stampbench, runs, monkeypatch):
    _, out, _ = stampbench("run", "suites/toy.toml", "--seed", "0")
    assert "preset quick" in out and "--preset paper" in out and "no record tells yet how long they take" in out
    _, out, _ = stampbench("run", "toy")
    # Six jobs of 31.7 s, and a reference network of 100 s.
    assert "6 jobs done, 6 missing; about 0.08 h left" in out
    monkeypatch.setattr(hardware, "cuda_device_count", lambda: 1)
    _, out, _ = stampbench("run", "toy")
    assert "preset paper" in out and "--preset quick" in out


def test_run_selects(stampbench, runs):
    stampbench("run", "toy", "--preset", "quick", "--method", "magnitude", "--target", "svhn", "--seed", "1")
    assert {(job.method, job.target, job.seed) for job in runs.jobs} == {("magnitude", "svhn", 1)}
    assert [job.budget.keep for job in runs.jobs] == [0.25, 0.5]


def test_run_passes_options_to_the_executor_that_is_named(stampbench, runs):
    assert stampbench("run", "toy", "--executor", "queued", "--executor-option", "queue=long")[0] == 0
    assert runs.queue == "long" and len(runs.jobs) == QUICK_JOBS


def test_missing_data_ends_with_its_message_and_2(stampbench, runs):
    runs.error = DataError("no images of aircraft; run `python -m stampbench data fetch aircraft`")
    code, _, err = stampbench("run", "toy")
    assert code == 2 and err.strip() == f"error: {runs.error}"


def test_failed_jobs_end_with_1_until_they_are_retried(stampbench, runs):
    runs.failing = (1,)
    code, _, err = stampbench("run", "toy")
    assert code == 1 and "diverged loss" in err and "6 of 12 jobs have no result; --retry" in err
    runs.failing = ()
    assert stampbench("run", "toy", "--retry")[0] == 0
    assert runs.retry is True


def test_jobs_without_a_record_are_named_and_end_with_1(stampbench, runs, monkeypatch):
    """An executor may leave jobs to another process that holds them."""
    monkeypatch.setattr(runs, "run", lambda *_: [])
    code, _, err = stampbench("run", "toy", "--method", "dense", "--seed", "0")
    assert code == 1
    assert "missing: dense" in err and "on cifar10" in err and "on svhn" in err
    assert "2 of 2 jobs have no record; the same command runs them" in err


def test_ctrl_c(stampbench, runs):
    runs.error = KeyboardInterrupt()
    code, _, err = stampbench("run", "toy")
    assert code == 130 and "resume with the same command" in err


def test_sigterm_stops_cleanly_and_gives_the_handler_back(stampbench, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(Local, "run", lambda *_: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(5))
    code, _, err = stampbench("run", "toy")
    assert code == 143 and "resume with the same command" in err
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_quiet_run_ends_with_its_table_alone(stampbench, runs):
    code, out, err = stampbench("run", "toy", "--quiet")
    assert code == 0 and "top-1 70.0% in" not in out and "job 1" not in out
    assert "method" in out and "python -m stampbench report toy" in out and "12 missing" in err
