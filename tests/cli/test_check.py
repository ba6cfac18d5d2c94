"""`check`, the gate."""

from stampbench.store import Store
from tests.cli.toy import QUICK_JOBS
from tests.fixtures import factories
from tests.fixtures.toy_suite import fill


def test_check_without_records_says_what_to_run(stampbench):
    code, _, err = stampbench("check", "toy")
    assert code == 2 and "run the suite first" in err


def test_check_without_a_baseline_warns_and_passes_unless_it_is_strict(stampbench, project):
    fill(project / "suites" / "toy.toml", project / "results")
    code, out, err = stampbench("check", "toy")
    assert code == 0 and not out and "warning: " in err and "no baseline of cpu" in err and "--record" in err
    code, _, err = stampbench("check", "toy", "--strict")
    assert code == 2 and "nothing was compared" in err


def test_check_passes_on_what_it_stored_and_fails_on_what_moved(stampbench, project):
    jobs = fill(project / "suites" / "toy.toml", project / "results")
    code, out, _ = stampbench("check", "toy", "--record")
    assert code == 0 and f"stored {QUICK_JOBS} records" in out
    code, out, _ = stampbench("check", "toy")
    assert code == 0 and "fail" not in out

    moved = factories.record(jobs[0], digests={"batch_order": "0" * 16})
    Store(project / "results").put(moved)
    reports = ["--junit", str(project / "out" / "check.xml"), "--summary", str(project / "summary.md")]
    code, out, _ = stampbench("check", "toy", *reports)
    assert code == 1
    assert "batch_order" in out and jobs[0].label in out
    assert "<failure" in (project / "out" / "check.xml").read_text()
    assert "batch" in (project / "summary.md").read_text()
