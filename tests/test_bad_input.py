"""Bad input of every kind: the message says what is wrong and what would be right, code 2, nothing written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from stampbench import cli, registry
from stampbench.measure import hardware
from stampbench.registry import Registry
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
methods = ["dense", { name = "magnitude", options = { scope = "global" } }, "random"]
budgets = [0.25, 0.5]
seeds = 2
"""
PROTOCOL, GRID = "presets.quick.protocol", "presets.quick.grid.0"

# What is replaced in the suite, by what, and what the message must hold.
SUITES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "unknown key": ("title =", "titel =", ("titel", "did you mean 'title'")),
    "title missing": ('title = "A toy"', "", ("title", "Field required")),
    "title of a wrong type": ('title = "A toy"', "title = 5", ("title", "string", "5")),
    "key twice": ("epochs = 2\n", "epochs = 2\nepochs = 3\n", ("cannot be read as TOML", "line 8")),
    "no TOML": ("epochs = 2", "epochs = = 2", ("cannot be read as TOML",)),
    "epochs of a wrong type": ("epochs = 2", 'epochs = "two"', (f"{PROTOCOL}.epochs", "integer", "'two'")),
    "epochs zero": ("epochs = 2", "epochs = 0", (f"{PROTOCOL}.epochs", "greater than 0", "0")),
    "epochs negative": ("epochs = 2", "epochs = -3", (f"{PROTOCOL}.epochs", "greater than 0", "-3")),
    "epochs broken": ("epochs = 2", "epochs = 2.5", (f"{PROTOCOL}.epochs", "integer", "2.5")),
    "epochs huge": ("epochs = 2", "epochs = 1000000000", (f"{PROTOCOL}.epochs", "less than or equal", "1000000000")),
    "epochs missing": ("epochs = 2\n", "", (f"{PROTOCOL}.epochs", "Field required")),
    "train images zero": ("train_images = 1000", "train_images = 0", (f"{PROTOCOL}.train_images", "greater than 0")),
    "validation images zero": ("_images = 100\n", "_images = 0\n", (f"{PROTOCOL}.validation_images", "greater than 0")),
    "nothing to train on": (
        "validation_images = 100\n",
        "validation_images = 1000\n",
        (PROTOCOL, "validation_images 1000", "train_images 1000"),
    ),
    "batch of one": ("threads = 1", "threads = 1\nbatch_size = 1", (f"{PROTOCOL}.batch_size", "or equal to 2", "1")),
    "threads zero": ("threads = 1", "threads = 0", (f"{PROTOCOL}.threads", "greater than 0")),
    "threads huge": ("threads = 1", "threads = 99999", (f"{PROTOCOL}.threads", "less than or equal", "99999")),
    "threads missing": ("threads = 1\n", "", (f"{PROTOCOL}.threads", "Field required")),
    "rate missing": ("random = 0.1, ", "", (f"{PROTOCOL}.learning_rate.random", "Field required")),
    "rate negative": ("random = 0.1", "random = -0.1", (f"{PROTOCOL}.learning_rate.random", "greater than 0")),
    "rate not a number": ("random = 0.1", "random = nan", (f"{PROTOCOL}.learning_rate.random", "nan")),
    "rate infinite": ("random = 0.1", "random = inf", (f"{PROTOCOL}.learning_rate.random", "finite", "inf")),
    "rate of an unknown start": ("random = 0.1", "randon = 0.1", ("randon", "did you mean 'random'")),
    "momentum one": ("threads = 1", "threads = 1\nmomentum = 1.0", (f"{PROTOCOL}.momentum", "less than 1")),
    "decay negative": ("threads = 1", "threads = 1\nweight_decay = -1.0", (f"{PROTOCOL}.weight_decay", "equal to 0")),
    "smoothing one": (
        "threads = 1",
        "threads = 1\nlabel_smoothing = 1",
        (f"{PROTOCOL}.label_smoothing", "less than 1"),
    ),
    "warm-up longer than training": (
        "threads = 1",
        "threads = 1\nwarmup_epochs = 5",
        (PROTOCOL, "warmup_epochs 5", "epochs 2"),
    ),
    "unknown precision": ("threads = 1", 'threads = 1\nprecision = "fp16"', (f"{PROTOCOL}.precision", "bf16", "fp16")),
    "unknown mode": ("threads = 1", 'threads = 1\nmode = "quick"', (f"{PROTOCOL}.mode", "'strict' or 'fast'", "quick")),
    "rounding to zero": ("threads = 1", "threads = 1\nround_to = 0", (f"{PROTOCOL}.round_to", "greater than 0")),
    "floor one": ("threads = 1", "threads = 1\nfloor = 1", (f"{PROTOCOL}.floor", "less than 1")),
    "head steps negative": ("threads = 1", "threads = 1\nhead_steps = -1", (f"{PROTOCOL}.head_steps", "equal to 0")),
    "reference missing": (
        'reference = { dataset = "tinyimagenet", epochs = 1 }',
        "",
        (f"{PROTOCOL}.reference", "Field required"),
    ),
    "unknown reference": ('"tinyimagenet"', '"tinyimagnet"', ("tinyimagnet", "did you mean 'tinyimagenet'")),
    "reference epochs zero": ("epochs = 1 }", "epochs = 0 }", (f"{PROTOCOL}.reference.epochs", "greater than 0")),
    "reference's warm-up longer than its training": (
        "epochs = 1 }",
        "epochs = 1, warmup_epochs = 2 }",
        (PROTOCOL, "reference.warmup_epochs 2", "epochs 1"),
    ),
    "unknown preset table": ("[presets.quick.protocol]", "[preset.quick.protocol]", ("preset", "'presets'")),
    "grid as a table": ("[[presets.quick.grid]]", "[presets.quick.grid]", ("presets.quick.grid", "list")),
    "no targets": ('["cifar10", "svhn"]', "[]", (f"{GRID}.targets", "at least 1")),
    "unknown target": ('"svhn"', '"svnh"', ("svnh", "did you mean 'svhn'")),
    "target twice": ('"svhn"', '"cifar10"', (f"{GRID}.targets", "cifar10", "twice")),
    "target with a path": ('"svhn"', '"../svhn"', ("unknown dataset '../svhn'",)),
    "target in other letters": ('"svhn"', '"ｓvhn"', ("unknown dataset 'ｓvhn'", "did you mean 'svhn'")),
    "targets no list": ('["cifar10", "svhn"]', '"cifar10"', (f"{GRID}.targets", "list")),
    "unknown network": ('"vgg19"', '"vgg91"', ("vgg91", "did you mean 'vgg19'")),
    "network twice": ('["vgg19"]', '["vgg19", "vgg19"]', (f"{GRID}.networks", "vgg19", "twice")),
    "width zero": ("width = 0.25", "width = 0", (f"{GRID}.width", "greater than 0")),
    "width infinite": ("width = 0.25", "width = inf", (f"{GRID}.width", "finite", "inf")),
    "width huge": ("width = 0.25", "width = 1e9", (f"{GRID}.width", "less than or equal")),
    "unknown method": ('"random"]', '"randm"]', ("randm", "did you mean 'random'")),
    "method twice": ('"random"]', '"random", "random"]', (f"{GRID}.methods", "random", "twice")),
    "method of a wrong type": ('"random"]', "7]", (f"{GRID}.methods", "7")),
    "method without a name": ('"random"]', "{ options = {} }]", (f"{GRID}.methods", "name", "Field required")),
    "unknown option": ('scope = "global"', 'scoop = "global"', ("magnitude", "scoop", "did you mean 'scope'")),
    "option of a wrong type": ('scope = "global"', "rounds = 1.5", ("magnitude", "rounds", "integer", "1.5")),
    "unknown start": ('"random"]', '{ name = "random", start = "targt" }]', ("start", "'target'", "targt")),
    "unknown granularity": ('"random"]', '{ name = "random", granularity = "layer" }]', ("granularity", "layer")),
    "granularity it lacks": (
        '"random"]',
        '{ name = "random", granularity = "weight" }]',
        ("random", "not prune with weight"),
    ),
    "no budgets": ("[0.25, 0.5]", "[]", (f"{GRID}.budgets", "at least 1")),
    "budget zero": ("[0.25, 0.5]", "[0.0]", (f"{GRID}.budgets.0", "greater than 0")),
    "budget above one": ("[0.25, 0.5]", "[25]", (f"{GRID}.budgets.0", "less than or equal to 1", "25")),
    "budget not a number": ("[0.25, 0.5]", "[nan]", (f"{GRID}.budgets.0", "nan")),
    "budget in words": ("[0.25, 0.5]", '["1/4"]', (f"{GRID}.budgets.0", "number", "1/4")),
    "budget twice": ("[0.25, 0.5]", "[0.25, 0.25]", (f"{GRID}.budgets", "0.25", "twice")),
    "seeds zero": ("seeds = 2", "seeds = 0", (f"{GRID}.seeds", "greater than 0")),
    "seeds huge": ("seeds = 2", "seeds = 100000", (f"{GRID}.seeds", "less than or equal to 1000", "100000")),
    "schedule zero": ("seeds = 2", "seeds = 2\nepochs = [0]", (f"{GRID}.epochs.0", "greater than 0")),
    "own dataset named like a known one": (
        "[presets.quick.protocol]",
        '[datasets.cifar10]\npath = "x"\nsize = 32\n[presets.quick.protocol]',
        ("cifar10", "known dataset", "another name"),
    ),
    "own dataset with a path for a name": (
        "[presets.quick.protocol]",
        '[datasets."../x"]\npath = "x"\nsize = 32\n[presets.quick.protocol]',
        ("datasets", "../x", "letters"),
    ),
    "own dataset of no size": (
        "[presets.quick.protocol]",
        '[datasets.pets]\npath = "x"\nsize = 0\n[presets.quick.protocol]',
        ("datasets.pets.size", "greater than"),
    ),
    "claim without a subject": (
        "[presets.quick.protocol]",
        '[[claims]]\ntitle = "x"\nagainst = ["random"]\n[presets.quick.protocol]',
        ("claims.0.subject", "Field required"),
    ),
    "claim against nothing": (
        "[presets.quick.protocol]",
        '[[claims]]\ntitle = "x"\nsubject = "random"\nagainst = []\n[presets.quick.protocol]',
        ("claims.0.against", "at least 1"),
    ),
}

# The command line, and what the message must hold.
COMMANDS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "unknown command": (["rum", "toy"], ("No such command 'rum'",)),
    "no suite": (["run"], ("Missing argument 'SUITE'",)),
    "unknown option": (["run", "toy", "--sed", "1"], ("No such option", "--seed")),
    "unknown suite": (["run", "toi"], ("no suite 'toi'", "did you mean 'toy'")),
    "unknown suite file": (["run", "suites/toi.toml"], ("no suite file suites/toi.toml", "toy.toml")),
    "a folder for a suite": (["run", "suites"], ("suites", "cannot be read as TOML")),
    "unknown preset": (["run", "toy", "--preset", "quik"], ("no preset 'quik'", "did you mean 'quick'")),
    "unknown method": (["run", "toy", "--method", "magnitud"], ("'magnitud'", "did you mean 'magnitude'")),
    "unknown target": (["run", "toy", "--target", "svnh"], ("'svnh'", "did you mean 'svhn'")),
    "unknown seed": (["run", "toy", "--seed", "7"], ("no seed '7'", "known are: 0, 1")),
    "seed in words": (["run", "toy", "--seed", "one"], ("--seed", "integer")),
    "unknown executor": (["run", "toy", "--executor", "slurm"], ("unknown executor 'slurm'", "in-process, ray")),
    "an option of another executor": (
        ["run", "toy", "--executor-option", "address=auto"],
        ("executor 'in-process'", "address: unknown key"),
    ),
    "unknown executor option": (
        ["run", "toy", "--executor", "ray", "--executor-option", "adress=auto"],
        ("executor 'ray'", "did you mean 'address'"),
    ),
    "executor option without a value": (
        ["run", "toy", "--executor", "ray", "--executor-option", "address"],
        ("'address' has no value", "address=VALUE"),
    ),
    "less than no GPU": (
        ["run", "toy", "--executor", "ray", "--executor-option", "gpus_per_job=-1"],
        ("gpus_per_job", "or equal to 0"),
    ),
    "results in a file": (["run", "toy", "--results", "file"], ("file", "is not a folder")),
    "plan with results in a file": (["plan", "toy", "--results", "file"], ("file", "is not a folder")),
    "unknown report format": (["report", "toy", "--format", "pdf"], ("--format", "'pdf'", "html")),
    "report into a file": (["report", "toy", "--out", "file"], ("file", "is not a folder")),
    "renewing no file": (["report", "--into", "nothing.md"], ("there is no file nothing.md",)),
    "renewing an unknown table": (["report", "--into", "marked.md"], ("no table is called 'toy-x'",)),
    "unknown kind": (["list", "method"], ("'method'", "'methods'")),
    "status of an unknown dataset": (["data", "status", "cifar11"], ("unknown dataset 'cifar11'", "cifar10")),
    "fetch of an unknown dataset": (["data", "fetch", "../cifar10"], ("unknown dataset '../cifar10'", "cifar10")),
    "verify of what is not there": (["data", "verify", "aircraft"], ("aircraft", "data fetch aircraft")),
    "pack without a preset": (["pack", "toy", "--out", "packed"], ("Missing option", "--preset")),
    "pack into parts of nothing": (
        ["pack", "toy", "--preset", "quick", "--out", "packed", "--max-mib", "0"],
        ("--max-mib", "greater than or equal to 1"),
    ),
    "check of nothing": (["check", "toy"], ("there is no record", "run the suite first")),
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a suite, a file, toy methods, no CUDA device, and no data."""
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "toy.toml").write_text(SUITE, encoding="utf-8")
    (tmp_path / "file").write_text("")
    (tmp_path / "marked.md").write_text("<!-- table: toy-x -->\n<!-- /table -->\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path / "cache"))
    for variable in ("STAMPBENCH_DATA", "STAMPBENCH_RESULTS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(registry, "METHODS", Registry("method", factories.TOY_METHODS))
    monkeypatch.setattr(hardware, "cuda_device_count", lambda: 0)
    return tmp_path


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def refusal(project: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], str]:
    """Runs a command that must be refused with code 2, writing nothing; returns its message on one line."""

    def message(arguments: list[str]) -> str:
        before = files(project)
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        shown = capsys.readouterr()
        assert stopped.value.code == 2, shown
        assert files(project) == before
        assert "Traceback" not in shown.err
        # Typer draws a frame around its messages and breaks their lines.
        return " ".join(shown.err.replace("│", " ").split())

    return message


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("case", SUITES)
def test_a_bad_suite_is_refused(project: Path, refusal: Callable[[list[str]], str], case: str, command: str) -> None:
    old, new, words = SUITES[case]
    assert SUITE.count(old) == 1, f"{old!r} must stand once in the suite"
    (project / "suites" / "toy.toml").write_text(SUITE.replace(old, new), encoding="utf-8")
    message = refusal([command, "toy"])
    for word in words:
        assert word in message


def test_a_suite_of_other_bytes_is_refused(project: Path, refusal: Callable[[list[str]], str]) -> None:
    (project / "suites" / "toy.toml").write_bytes(b'title = "\xff\xfe"')
    assert "toy.toml cannot be read as TOML" in refusal(["run", "toy"])


@pytest.mark.parametrize("case", COMMANDS)
def test_a_bad_command_is_refused(refusal: Callable[[list[str]], str], case: str) -> None:
    arguments, words = COMMANDS[case]
    message = refusal(arguments)
    for word in words:
        assert word in message


RECORDS: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "truncated": (lambda text: text[: len(text) // 2], ("is no valid record", "remove it to rerun")),
    "empty": (lambda text: "", ("is no valid record", "remove it to rerun")),
    "garbage": (lambda text: "\x00\x01", ("is no valid record", "remove it to rerun")),
    "of another shape": (lambda text: "[]", ("is no valid record", "remove it to rerun")),
    "with an unknown field": (lambda text: text.replace('"status"', '"statos"', 1), ("status", "remove it to rerun")),
    "with a wrong type": (lambda text: text.replace('"top1": 0.7', '"top1": "good"'), ("top1", "remove it to rerun")),
    "of another job": (lambda text: text.replace('"seed": 0', '"seed": 1', 1), ("another job", "remove it to rerun")),
}


@pytest.mark.parametrize("command", ["plan", "report"])
@pytest.mark.parametrize("case", RECORDS)
def test_a_bad_record_is_refused(project: Path, refusal: Callable[[list[str]], str], case: str, command: str) -> None:
    from stampbench import suite

    store = Store(project / "results")
    job = suite.load(project / "suites" / "toy.toml").jobs("quick", hardware.preferred_precision(cuda=False))[0]
    store.put(factories.record(job))
    path = project / "results" / "records" / f"{job.key}.json"
    spoil, words = RECORDS[case]
    spoiled = spoil(path.read_text(encoding="utf-8"))
    assert spoiled != path.read_text(encoding="utf-8")
    path.write_text(spoiled, encoding="utf-8")
    message = refusal([command, "toy"])
    for word in (path.name, *words):
        assert word in message


def test_there_are_eighty_cases_and_more() -> None:
    assert len(SUITES) + len(COMMANDS) + len(RECORDS) >= 80
