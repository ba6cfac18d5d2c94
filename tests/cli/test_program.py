"""The program as a whole: wrong usage, exit codes, JSON, and how soon it is there."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from stampbench import cli
from stampbench.listing import Listable


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


def test_the_version_is_that_of_the_package(stampbench):
    from stampbench import __version__

    assert stampbench("--version") == (0, f"stampbench {__version__}\n", "")


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


def test_what_programs_read_is_json_and_nothing_else(stampbench, project, runs):
    code, out, err = stampbench("run", "toy", "--json")
    (first, *_), jobs = json.loads(out), json.loads(out)
    assert code == 0 and "12 missing" in err and len(jobs) == 12
    assert first["status"] == "done" and 0 <= first["top1"] <= 1 and first["job"].startswith("dense")
    for command, rows in ((["plan", "toy"], 10), (["list", "suites"], 1), (["data", "status"], 10), (["doctor"], 5)):
        code, out, _ = stampbench(*command, "--json")
        found = json.loads(out)
        assert code == 0 and len(found) >= rows // 2 and len({tuple(row) for row in found}) == 1
