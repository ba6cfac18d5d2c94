"""The tables of `stampbench list`: everything that can be named in a suite or on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from stampbench import registry
from stampbench.errors import UserError

# The presets of a suite that are named where a line has no room for all.
FEW = 3
# Headings and rows.
Listing = tuple[Sequence[str], Sequence[Sequence[object]]]


class Listable(StrEnum):
    """The things that `list` can show."""

    METHODS = "methods"
    DATASETS = "datasets"
    NETWORKS = "networks"
    RESOURCES = "resources"
    EXECUTORS = "executors"
    SUITES = "suites"


def _methods() -> Listing:
    rows = []
    for name in registry.METHODS.targets():
        try:
            method = registry.METHODS.load(name)
        except UserError as error:
            rows.append([name, "-", "-", "-", str(error)])
            continue
        granularities = ", ".join(sorted(method.granularities))
        rows.append([name, method.version, granularities, method.default_start, method.card.partition("\n")[0]])
    return ["method", "version", "granularities", "default start", "what it is"], rows


def _datasets() -> Listing:
    from stampbench.data.catalogue import DATASETS

    rows = [[d.name, f"{d.input_size}×{d.input_size}", d.classes, d.description] for d in DATASETS.values()]
    return ["dataset", "input", "classes", "what it is"], rows


def _suites() -> Listing:
    from stampbench.running.campaign import suite_files
    from stampbench.suite import load

    suites = [load(path) for path in suite_files()]
    return ["suite", "presets", "title"], [[s.name, _some(list(s.presets)), s.title] for s in suites]


def _some(names: Sequence[str]) -> str:
    """Return a few names and how many others there are; `list suites NAME` shows all presets of a suite."""
    if len(names) <= FEW + 1:
        return ", ".join(names)
    return f"{', '.join(names[:FEW])} and {len(names) - FEW} more"


def _registered(known: registry.Registry) -> Callable[[], Listing]:
    return lambda: ([known.kind, "made by"], [list(item) for item in known.targets().items()])


LISTINGS: Mapping[Listable, Callable[[], Listing]] = {
    Listable.METHODS: _methods,
    Listable.DATASETS: _datasets,
    Listable.NETWORKS: _registered(registry.NETWORKS),
    Listable.RESOURCES: _registered(registry.RESOURCES),
    Listable.EXECUTORS: _registered(registry.EXECUTORS),
    Listable.SUITES: _suites,
}
