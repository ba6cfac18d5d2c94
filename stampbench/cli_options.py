"""The options that commands share, each with its help."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from stampbench.job import Precision


class Format(StrEnum):
    """A format of a report."""

    MARKDOWN = "md"
    LATEX = "latex"
    CSV = "csv"
    HTML = "html"
    FIGURES = "figures"


SuiteName = Annotated[str, typer.Argument(metavar="SUITE", help="A suite file, or a name from `list suites`.")]
PresetName = Annotated[str | None, typer.Option("--preset", help="The preset of the suite; default: by device.")]
PrecisionName = Annotated[
    Precision | None,
    typer.Option("--precision", help="The precision, where the preset leaves it open; default: by device."),
]
Results = Annotated[Path, typer.Option("--results", envvar="STAMPBENCH_RESULTS", help="The pool of records.")]
Methods = Annotated[list[str] | None, typer.Option("--method", help="Take only this method; may be repeated.")]
Targets = Annotated[list[str] | None, typer.Option("--target", help="Take only this target; may be repeated.")]
Seeds = Annotated[list[int] | None, typer.Option("--seed", help="Take only this seed; may be repeated.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
Offline = Annotated[
    bool, typer.Option("--offline", envvar="STAMPBENCH_OFFLINE", help="Do not download images that are missing.")
]
DatasetName = Annotated[str, typer.Argument(metavar="NAME", help="A dataset of `list datasets`.")]
Retry = Annotated[bool, typer.Option("--retry", help="Run failed jobs again.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print only warnings, errors and the table at the end.")]
EndInJson = Annotated[bool, typer.Option("--json", help="Be quiet, and end with JSON: an object for each job.")]
ExecutorName = Annotated[str, typer.Option("--executor", help="The executor that runs the jobs; see `list executors`.")]
ExecutorOptions = Annotated[
    list[str] | None,
    typer.Option("--executor-option", metavar="KEY=VALUE", help="An option of the executor; may be repeated."),
]
