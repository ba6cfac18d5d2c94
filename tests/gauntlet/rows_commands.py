"""Command lines with a mistake in them: the message names the option or argument, and what would be right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.gauntlet.row import Row
from tests.gauntlet.toy import with_suite

# The options that leave one job of the toy.
ONE = ["--method", "dense", "--target", "cifar10", "--seed", "0"]
# The command line, and what the message must hold.
COMMANDS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "unknown command": (["rum", "toy"], ("No such command 'rum'",)),
    "no suite": (["run"], ("Missing argument 'SUITE'",)),
    "unknown option": (["run", "toy", "--sed", "1"], ("No such option", "--seed")),
    "an empty suite": (["run", ""], ("no suite ''", "toy")),
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
    "export to nowhere": (["export", "toy"], ("Missing option", "--out")),
    "export of several jobs": (
        ["export", "toy", "--out", "small", "--seed", "0"],
        ("jobs match", "--target cifar10, svhn"),
    ),
    "export of an unknown method": (
        ["export", "toy", "--out", "small", "--method", "dens"],
        ("no method 'dens'", "did you mean 'dense'"),
    ),
    "export of a budget that the method lacks": (
        ["export", "toy", "--out", "small", "--method", "dense", "--budget", "1/4"],
        ("--method dense --budget 1/4 together", "--budget 1"),
    ),
    "export of no share": (["export", "toy", "--out", "small", "--budget", "half"], ("'half' is no share", "1/4")),
    "export of half a seed": (["export", "toy", "--out", "small", "--seed", "0.5"], ("--seed", "integer")),
    "export into a file": (["export", "toy", "--out", "file", *ONE], ("file exists already", "name a new folder")),
    "export into a folder with files": (
        ["export", "toy", "--out", "suites", *ONE],
        ("suites exists already", "name a new folder"),
    ),
    "export below a file": (["export", "toy", "--out", "file/small", *ONE], ("file/small cannot be written",)),
    "export under a name that is too long": (
        ["export", "toy", "--out", "x" * 5000, *ONE],
        ("cannot be written: File name too long",),
    ),
    "export of images that are not there": (
        ["export", "toy", "--out", "small", *ONE],
        ("cifar10", "data fetch cifar10"),
    ),
    "run without network": (["run", "toy", "--offline"], ("cifar10", "--offline forbids", "data fetch")),
    "try of nothing": (["try"], ("Missing argument 'PATH'",)),
    "try of images that are not there": (["try", "pets"], ("pets: there is no such folder", "train/<class>/")),
    "try of a file": (["try", "file"], ("file: there is no such folder", "train/<class>/")),
    "try of a folder without images": (["try", "suites"], ("suites: no class folder", "train*.parquet")),
    "try without a seed": (["try", "suites", "--seeds", "0"], ("--seeds", "greater than or equal to 1")),
    "check of nothing": (["check", "toy"], ("there is no record", "run the suite first")),
}


def typed(arguments: list[str]) -> Callable[[Path], list[str]]:
    """Return the maker of a folder with a good suite, a file and a page with a mark, where this is typed."""

    def make(folder: Path) -> list[str]:
        with_suite(folder)
        (folder / "file").write_text("")
        (folder / "marked.md").write_text("<!-- table: toy-x -->\n<!-- /table -->\n")
        return arguments

    return make


ROWS: list[Row] = [Row(f"command: {case}", typed(arguments), words) for case, (arguments, words) in COMMANDS.items()]
