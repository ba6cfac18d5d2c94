"""The names of rows: what papers call the method, with the options that tell its rows of one suite apart."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from stampbench import registry
from stampbench.contract import Granularity, Options
from stampbench.job import Job

# A name that would list more options than this only says how many there are.
MOST_OPTIONS = 3
# A row is named after its method, granularity and options.
VariantKey = tuple[str, Granularity, str]


class Variants:
    """The variants among some jobs; each has a name of its own, like "STAMP, shuffled".

    A name lists those options alone that differ among the variants of its method, and of them those that are not the
    defaults: a method with one variant has no options in its name.
    """

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._first: Mapping[VariantKey, Job] = {_key(job): job for job in jobs}
        alike: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for job in self._first.values():
            alike[_method(job)].append(_options(job).model_dump())
        differing = {method: _differing(options) for method, options in alike.items()}
        short = {key: _name(job, differing[_method(job)]) for key, job in self._first.items()}
        shared = Counter(short.values())
        # Where two variants would share a short name, both get their full one.
        self._names = {key: _full_name(self._first[key]) if shared[name] > 1 else name for key, name in short.items()}

    def name(self, job: Job) -> str:
        """Return the name of the job's variant."""
        return self._names[_key(job)]

    def options_left_out(self) -> list[str]:
        """Return what names leave out: "GraSP: temperature 1.0." for each whose options differ from the defaults."""
        said = []
        for key, name in self._names.items():
            chosen = _chosen(self._first[key])
            if chosen and (len(chosen) > MOST_OPTIONS or not name.endswith(_shown(chosen, chosen))):
                said.append(
                    f"{name}: {', '.join(_option(option, value, full=True) for option, value in chosen.items())}."
                )
        return said


def _key(job: Job) -> VariantKey:
    return job.method, job.granularity, repr(job.options)


def _options(job: Job) -> Options:
    found: Options = registry.METHODS.load(job.method).Options.model_validate(job.options)
    return found


def _chosen(job: Job) -> dict[str, Any]:
    """Return the options that differ from their defaults and that the method's name does not tell."""
    told = registry.METHODS.load(job.method).told
    return {name: value for name, value in _options(job).chosen().items() if name not in told}


def _method(job: Job) -> str:
    """Return what readers call the job's method, with its granularity if that is of single weights."""
    called: str = registry.METHODS.load(job.method).called(_options(job))
    return f"{called}, single weights" if job.granularity is Granularity.WEIGHT else called


def _differing(options: list[dict[str, Any]]) -> set[str]:
    names = {name for one in options for name in one}
    return {name for name in names if any(one.get(name) != options[0].get(name) for one in options)}


def _name(job: Job, differing: Collection[str]) -> str:
    shown = _shown(_chosen(job), differing)
    return f"{_method(job)}, {shown}" if shown else _method(job)


def _shown(chosen: Mapping[str, Any], names: Collection[str]) -> str:
    values = {name: value for name, value in chosen.items() if name in names}
    if len(values) > MOST_OPTIONS:
        return f"{len(values)} options set"
    return ", ".join(_option(name, value, full=False) for name, value in values.items())


def _full_name(job: Job) -> str:
    weights = ["single weights"] if job.granularity is Granularity.WEIGHT else []
    chosen = _options(job).chosen()
    return ", ".join([job.method, *weights, *(_option(name, value, full=True) for name, value in chosen.items())])


def _option(name: str, value: Any, full: bool) -> str:
    words = name.replace("_", " ")
    if isinstance(value, dict):
        return ", ".join(_option(inner, chosen, full=True) for inner, chosen in value.items())
    if isinstance(value, bool):
        return words if value else f"no {words}"
    return value if isinstance(value, str) and not full else f"{words} {value}"
