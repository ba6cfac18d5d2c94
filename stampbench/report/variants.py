"""The names of rows: each names a method, its granularity and those of its options that differ from the defaults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from stampbench import registry
from stampbench.contract import Granularity
from stampbench.job import Job

# A name that would list more options than this only says how many there are.
MOST_OPTIONS = 3
# A row is named after its method, granularity and options.
VariantKey = tuple[str, Granularity, str]


class Variants:
    """The variants among some jobs; each has a name of its own, like "magnitude, global"."""

    def __init__(self, jobs: Iterable[Job]) -> None:
        self._first: Mapping[VariantKey, Job] = {_key(job): job for job in jobs}
        short = {key: _name(job, full=False) for key, job in self._first.items()}
        shared = Counter(short.values())
        # Where two variants would share a short name, both get their full one.
        self._names = {
            key: _name(self._first[key], full=True) if shared[name] > 1 else name for key, name in short.items()
        }

    def name(self, job: Job) -> str:
        """Return the name of the job's variant."""
        return self._names[_key(job)]

    def counted_options(self) -> list[str]:
        """Return the options behind every name that only counts them: "magnitude, 4 options set: rounds 5, …"."""
        counted = {key: name for key, name in self._names.items() if name.endswith("options set")}
        return [f"{name}: {_name(self._first[key], full=True).partition(', ')[2]}." for key, name in counted.items()]


def _key(job: Job) -> VariantKey:
    return job.method, job.granularity, repr(job.options)


def _name(job: Job, *, full: bool) -> str:
    weights = ["single weights"] if job.granularity is Granularity.WEIGHT else []
    chosen = registry.METHODS.load(job.method).Options.model_validate(job.options).chosen()
    if len(chosen) > MOST_OPTIONS and not full:
        return ", ".join([job.method, *weights, f"{len(chosen)} options set"])
    return ", ".join([job.method, *weights, *(_option(name, value, full) for name, value in chosen.items())])


def _option(name: str, value: Any, full: bool) -> str:
    words = name.replace("_", " ")
    if isinstance(value, dict):
        return ", ".join(_option(inner, chosen, full=True) for inner, chosen in value.items())
    if isinstance(value, bool):
        return words if value else f"no {words}"
    return value if isinstance(value, str) and not full else f"{words} {value}"
