"""The one job that options of the command line mean; where they leave none or several, what there is instead."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence

from stampbench.errors import SuiteError
from stampbench.job import Job
from stampbench.registry import suggestion
from stampbench.report.variants import Variants
from stampbench.report.words import fraction

# All that jobs of a preset differ in, besides the method and its options. Each is an option of that name.
AXES: Mapping[str, Callable[[Job], object]] = {
    "target": lambda job: job.target,
    "network": lambda job: job.network,
    "width": lambda job: f"{job.width:g}",
    "start": lambda job: job.start,
    "resource": lambda job: job.budget.resource,
    "budget": lambda job: fraction(job.budget.keep),
    "epochs": lambda job: job.protocol.epochs,
    "seed": lambda job: job.seed,
}
MOST_LISTED = 20
# The values of a job by the names of the options.
Values = Mapping[str, str]


def single(jobs: Sequence[Job], wanted: Mapping[str, str | float | None]) -> Job:
    """Return the one job that has the wanted values of "method" and of `AXES`; None means any.

    A method is the name of a row, as `plan` shows it, or else a method's own name; a budget is a share, such as "1/4".
    Raises `SuiteError` that says what there is, where no job has these values or more than one.
    """
    variants = Variants(jobs)
    rows = [{"method": variants.name(job)} | {name: str(of(job)) for name, of in AXES.items()} for job in jobs]
    chosen = {name: _text(name, value) for name, value in wanted.items() if value is not None}
    by_method = [row | {"method": job.method} for row, job in zip(rows, jobs, strict=True)]
    found = _matching(rows, chosen) or _matching(by_method, chosen)
    if not found:
        known = chosen.get("method") in {row["method"] for row in rows}
        raise SuiteError(_none(rows if known else by_method, chosen))
    if len(found) > 1:
        raise SuiteError(_several([rows[index] for index in found]))
    return jobs[found[0]]


def _matching(rows: Sequence[Values], chosen: Values) -> list[int]:
    return [index for index, row in enumerate(rows) if chosen.items() <= row.items()]


def _text(name: str, value: str | float) -> str:
    if name == "budget":
        return _share(str(value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _share(text: str) -> str:
    """Return a share, written as "1/4" or "0.25", as `fraction` writes it."""
    over, _, under = text.partition("/")
    try:
        share = float(over) / float(under or 1)
    except (ValueError, ZeroDivisionError):
        share = 0
    if not 0 < share <= 1:
        raise SuiteError(f"budget {text!r} is no share; write it as 1/4 or 0.25")
    return fraction(share)


def _none(rows: Sequence[Values], chosen: Values) -> str:
    """Return what is said where no job has the chosen values: what each option may be beside the others."""
    for name, value in chosen.items():
        known = {row[name] for row in rows}
        if value not in known:
            return f"this preset has no {name} {value!r}{suggestion(value, known)}"
    ways = []
    for name in chosen:
        others = {other: value for other, value in chosen.items() if other != name}
        if values := [row[name] for row in rows if others.items() <= row.items()]:
            ways.append(f"\n  {_any_of(name, values)}")
    there = f"beside the others there is{' or'.join(ways)}" if ways else "see `plan`"
    return f"no job of this preset has {_options(chosen)} together; {there}"


def _several(rows: Sequence[Values]) -> str:
    """Return what is said where several jobs have the chosen values: the options that tell them apart, and the jobs."""
    differing = [name for name in rows[0] if len({row[name] for row in rows}) > 1]
    choices = "".join(f"\n  {_any_of(name, [row[name] for row in rows])}" for name in differing)
    listed = "".join(f"\n  {_options({name: row[name] for name in differing})}" for row in rows[:MOST_LISTED])
    more = f"\n  and {len(rows) - MOST_LISTED} more" if len(rows) > MOST_LISTED else ""
    return f"{len(rows)} jobs match, but one is exported; say which by{choices}\nThey are{listed}{more}"


def _options(values: Values) -> str:
    return " ".join(f"--{name} {shlex.quote(value)}" for name, value in values.items())


def _any_of(name: str, values: Iterable[str]) -> str:
    """Return an option with all values that it may have: "--start random, reference"."""
    return f"--{name} {', '.join(shlex.quote(value) for value in dict.fromkeys(values))}"
