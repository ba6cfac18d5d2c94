import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

import pytest

from stampbench import cli, registry
from stampbench.errors import DataError
from stampbench.job import Job
from stampbench.listing import Listable
from stampbench.measure import hardware
from stampbench.registry import Registry
from stampbench.running import campaign
from stampbench.running.executors.local import Local
from stampbench.store import Store
from tests.fixtures import factories

SUITE = """
title = "A toy"

[presets.quick.protocol]
train_images = 1000
validation_images = 100
epochs = 2
threads = 1
learning_rate = { random = 0.1, reference = 0.05, target = 0.05 }
reference = { dataset = "tinyimagenet", epochs = 1 }

[[presets.quick.grid]]
targets = ["cifar10", "svhn"]
networks = ["vgg19"]
width = 0.25
methods = ["dense", "magnitude"]
budgets = [0.25, 0.5]
seeds = 2

[presets.paper.protocol]
validation_images = 5000
epochs = 160
threads = 1
learning_rate = { random = 0.1, reference = 0.05, target = 0.05 }
reference = { dataset = "tinyimagenet", epochs = 100 }

[[presets.paper.grid]]
targets = ["cifar10"]
networks = ["vgg19"]
width = 1.0
methods = ["dense"]
budgets = [0.25]
seeds = 1
"""
QUICK_JOBS = 2 * 2 * (1 + 2)


class Runs:
    """The orders for the executor `FakeExecutor`, and what it was asked."""

    def __init__(self) -> None:
        self.jobs, self.retry, self.queue, self.failing, self.error = [], None, None, (), None

    def run(self, queue, jobs, store, observer, retry):
        self.jobs, self.retry, self.queue = list(jobs), retry, queue
        if self.error is not None:
            raise self.error
        observer.suite_started(len(jobs), 0, None)
        for job in jobs:
            observer.job_started(job)
            record = factories.failed(job) if job.seed in self.failing else factories.record(job)
            store.put(record)
            observer.job_finished(record)
        return []


class FakeExecutor(Local):
    """Fabricates records in the place of the executor that is the default."""

    runs: ClassVar[Runs]
    queue: str = "short"

    def run(self, jobs, suite, store, observer, retry=False, seconds_left=None):
        return self.runs.run(self.queue, jobs, store, observer, retry)


@pytest.fixture
def runs(monkeypatch):
    FakeExecutor.runs = Runs()
    fake = f"{__name__}:FakeExecutor"
    monkeypatch.setattr(registry, "EXECUTORS", Registry("executor", {"in-process": fake, "queued": fake}))
    return FakeExecutor.runs


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A folder with one suite, toy methods, no CUDA device, and no data."""
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "toy.toml").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path / "cache"))
    for variable in ("STAMPBENCH_DATA", "STAMPBENCH_RESULTS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(registry, "METHODS", Registry("method", factories.TOY_METHODS))
    monkeypatch.setattr(hardware, "cuda_device_count", lambda: 0)
    # No image is read, so none is needed.
    monkeypatch.setattr("stampbench.running.fetching.fetch_missing", lambda *_: None)
    return tmp_path


@pytest.fixture
def stampbench(capsys):
    """Runs a command line; returns its exit code, standard output and standard error."""

    def call(*arguments: str):
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        captured = capsys.readouterr()
        return stopped.value.code or 0, captured.out, captured.err

    return call


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


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["run", "toy", "--method", "magnitud"], "did you mean 'magnitude'?"),
        (["run", "toy", "--target", "svnh"], "did you mean 'svhn'?"),
        (["run", "toy", "--seed", "7"], "known are: 0, 1"),
        (["run", "toy", "--preset", "quik"], "did you mean 'quick'?"),
        (["run", "toi"], "did you mean 'toy'?"),
        (["run", "suites/toi.toml"], "toy.toml"),
        (["plan", "toi"], "did you mean 'toy'?"),
        (["report", "toi"], "did you mean 'toy'?"),
        (["data", "status", "cifar11"], "cifar10"),
        (["data", "fetch", "cifar11"], "cifar10"),
        (["list", "method"], "methods"),
        (["list", "methods", "magnitud"], "did you mean 'magnitude'?"),
        (["list", "networks", "vgg"], "did you mean 'vgg19'?"),
        (["list", "datasets", "cifar11"], "did you mean 'cifar10"),
        (["list", "executors", "queue"], "did you mean 'queued'?"),
        (["list", "suites", "toi"], "did you mean 'toy'?"),
        (["run", "toy", "--sed", "1"], "--seed"),
        (["run", "toy", "--executor", "queue"], "did you mean 'queued'?"),
        (["run", "toy", "--executor", "queued", "--executor-option", "queu=long"], "did you mean 'queue'?"),
    ],
)
def test_wrong_usage_ends_with_a_hint_and_2(stampbench, runs, arguments, hint):
    code, _, err = stampbench(*arguments)
    assert code == 2 and hint in err and "Traceback" not in err
    assert runs.jobs == []


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
    assert "0 jobs done" in there and "this machine chooses fp32; 5 of these jobs have records in bf16" in there
    chosen = [job for job in jobs[:5] if job.target == "svhn"]
    _, some, _ = stampbench("plan", "toy", "--target", "svhn")
    assert f"{len(chosen)} of these jobs have records in bf16" in some


def cli_jobs():
    from stampbench.running.campaign import Campaign

    return Campaign("toy", "quick", Store(Path("results"))).jobs


def test_report_prints_markdown_and_writes_files(stampbench, runs, project):
    stampbench("run", "toy")
    code, out, _ = stampbench("report", "toy", "--format", "md", "--format", "latex", "--out", "tables")
    assert code == 0 and "magnitude" in out and "| " in out
    assert "wrote 2 files to tables" in out
    assert {path.name for path in Path("tables").iterdir()} == {"toy.md", "toy.tex"}


def test_report_of_all_suites(stampbench):
    code, out, _ = stampbench("report", "--out", "tables")
    assert code == 0 and "files to tables" in out
    assert {path.name for path in Path("tables").iterdir()} == {"toy.md", "toy.tex", "toy.html"}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("methods", ["magnitude", "2", "channel", "reference", "Keeps the largest."]),
        ("datasets", ["cifar100", "32×32", "glyphs"]),
        ("networks", ["vgg19", "resnet18"]),
        ("executors", ["in-process", "ray"]),
        ("suites", ["toy", "quick, paper", "A toy"]),
    ],
)
def test_list(stampbench, kind, words):
    code, out, _ = stampbench("list", kind)
    assert code == 0 and all(word in out for word in words)


def test_a_suite_of_many_presets_is_listed_on_a_line(stampbench, project):
    preset = SUITE.partition("[presets.quick.protocol]")[2].partition("[presets.paper.protocol]")[0]
    names = ["one", "two", "three"]
    more = "".join(f"[presets.{name}.protocol]{preset.replace('presets.quick', f'presets.{name}')}" for name in names)
    (project / "suites" / "toy.toml").write_text(SUITE + more)
    assert "quick, paper, one and 2 more" in stampbench("list", "suites")[1]
    assert "three" in stampbench("list", "suites", "toy")[1]


def test_the_version_is_that_of_the_package(stampbench):
    from stampbench import __version__

    assert stampbench("--version") == (0, f"stampbench {__version__}\n", "")


def own_suites() -> set[str]:
    return {path.stem for path in (Path(cli.__file__).parents[1] / "suites").glob("*.toml")}


@pytest.mark.parametrize("folder", ["no folder", "an empty folder"])
def test_where_the_folder_has_no_suites_those_of_the_package_are_taken(stampbench, project, folder):
    (project / "suites" / "toy.toml").unlink()
    if folder == "no folder":
        (project / "suites").rmdir()
    code, out, _ = stampbench("list", "suites")
    assert code == 0 and {line.split()[0] for line in out.splitlines()[1:]} == own_suites()
    assert {path.stem for path in campaign.suite_files()} == own_suites()
    assert campaign.suite_path("demo").is_file()


@pytest.mark.parametrize("arguments", [["list", "suites"], ["report"], ["plan", "demo"]], ids=" ".join)
def test_no_suites_at_all_are_an_error(stampbench, project, monkeypatch, arguments):
    (project / "suites" / "toy.toml").unlink()
    monkeypatch.setattr(campaign.resources, "files", lambda package: project / "installed without suites")
    code, out, err = stampbench(*arguments)
    assert (code, out) == (2, "") and "no suite file lies in suites/" in err and "reinstall" in err


@pytest.mark.parametrize("format_", ["md", "csv", "html"])
def test_a_report_without_records_says_so(stampbench, project, format_):
    code, _, err = stampbench("report", "toy", "--format", format_, "--out", "tables")
    assert code == 0 and "results holds no record to report" in err
    fill(project)
    assert stampbench("report", "toy", "--format", format_, "--out", "tables")[::2] == (0, "")


def test_a_method_that_cannot_be_loaded_is_listed_with_the_reason(stampbench, monkeypatch):
    monkeypatch.setattr(registry, "METHODS", Registry("method", {"gone": "no.such:Method"}))
    code, out, _ = stampbench("list", "methods")
    assert code == 0 and "gone" in out and "cannot be loaded" in out


def test_data_status_says_what_to_run(stampbench):
    code, out, _ = stampbench("data", "status", "cifar10")
    assert code == 0 and "python -m stampbench data fetch cifar10" in out and "svhn" not in out


def test_data_verify_of_nothing_packed(stampbench):
    assert stampbench("data", "verify")[0] == 0


def test_doctor(stampbench):
    code, out, _ = stampbench("doctor")
    assert code == 0
    assert all(word in out for word in ("torch", "devices", "constraints", "data cifar10", "missing"))


def test_doctor_says_that_the_data_folder_does_not_exist(stampbench, project, monkeypatch):
    monkeypatch.setenv("STAMPBENCH_DATA", "nowhere")
    code, out, _ = stampbench("doctor")
    assert code == 0 and f"STAMPBENCH_DATA          there is no folder {project / 'nowhere'}" in out


def test_constraints_are_compared_with_what_is_installed():
    from importlib.metadata import version

    from stampbench.measure.doctor import differences

    text = f"# a set\ntyper=={version('typer')}\nrich==0.0.1 ; sys_platform == 'linux'\nno-such-package==1\n"
    assert differences(text) == [f"rich {version('rich')}, pinned 0.0.1"]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Another interpreter, which finds the package though the working folder is another."""
    environment = os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[1])}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)


ONE_OF_EACH = {
    "methods": "stamp",
    "datasets": "aircraft",
    "networks": "vgg19",
    "resources": "latency",
    "executors": "ray",
    "suites": "toy",
}
HEAVY = ("torch", "torchvision", "pandas", "matplotlib", "scipy", "sklearn", "pyarrow")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["run", "--help"],
        *(["list", kind] for kind in Listable),
        *(["list", kind, name] for kind, name in ONE_OF_EACH.items()),
        ["plan", "toy"],
    ],
    ids=" ".join,
)
def test_light_commands_import_nothing_heavy(arguments):
    code = f"""
import sys
from stampbench import cli
try:
    cli.main({[str(argument) for argument in arguments]})
except SystemExit as stopped:
    assert not stopped.code, stopped.code
print("heavy:", sorted(set({HEAVY}) & set(sys.modules)))
"""
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "heavy: []"


EMPTY_PROGRAM = """
import typer
app = typer.Typer()
app.command()(lambda: None)
app()
"""


def test_help_is_quick():
    def seconds(*arguments: str) -> float:
        before = os.times()
        assert python(*arguments, "--help").returncode == 0
        after = os.times()
        return after.children_user + after.children_system - before.children_user - before.children_system

    # The processor's time, the best of three, and beside a program that does nothing, as machines differ.
    pairs = [(seconds("-m", "stampbench"), seconds("-c", EMPTY_PROGRAM)) for _ in range(3)]
    ours, empty = map(min, zip(*pairs, strict=True))
    assert ours < 2 * empty


def fill(folder: Path, **changes) -> list[Job]:
    from stampbench import suite

    jobs = suite.load(folder / "suites" / "toy.toml").jobs("quick", hardware.preferred_precision(cuda=False))
    for job in jobs:
        Store(folder / "results").put(factories.record(job, **changes))
    return jobs


def test_check_without_records_says_what_to_run(stampbench):
    code, _, err = stampbench("check", "toy")
    assert code == 2 and "run the suite first" in err


def test_check_without_a_baseline_warns_and_passes_unless_it_is_strict(stampbench, project):
    fill(project)
    code, out, err = stampbench("check", "toy")
    assert code == 0 and not out and "warning: " in err and "no baseline of cpu" in err and "--record" in err
    code, _, err = stampbench("check", "toy", "--strict")
    assert code == 2 and "nothing was compared" in err


def test_what_programs_read_is_json_and_nothing_else(stampbench, project, runs):
    code, out, err = stampbench("run", "toy", "--json")
    (first, *_), jobs = json.loads(out), json.loads(out)
    assert code == 0 and "12 missing" in err and len(jobs) == 12
    assert first["status"] == "done" and 0 <= first["top1"] <= 1 and first["job"].startswith("dense")
    for command, rows in ((["plan", "toy"], 10), (["list", "suites"], 1), (["data", "status"], 10), (["doctor"], 5)):
        code, out, _ = stampbench(*command, "--json")
        found = json.loads(out)
        assert code == 0 and len(found) >= rows // 2 and len({tuple(row) for row in found}) == 1


def test_a_quiet_run_ends_with_its_table_alone(stampbench, runs):
    code, out, err = stampbench("run", "toy", "--quiet")
    assert code == 0 and "top-1 70.0% in" not in out and "job 1" not in out
    assert "method" in out and "python -m stampbench report toy" in out and "12 missing" in err


def test_check_passes_on_what_it_stored_and_fails_on_what_moved(stampbench, project):
    jobs = fill(project)
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
