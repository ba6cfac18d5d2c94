"""The registries of methods, networks, resources and executors by name. Nothing is imported before it is used.

Other packages add their own through entry points in the groups `stampbench.methods`, `stampbench.networks`,
`stampbench.resources` and `stampbench.running.executors`.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from stampbench.errors import UserError


def suggestion(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'x'?" for the nearest known name or, if none is near, the list of all names."""
    known = sorted(known)
    if not known:
        return "; there is none"
    near = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known are: {', '.join(known)}"


@cache
def _external(group: str) -> tuple[tuple[str, str], ...]:
    """Return the names that installed packages register; the slow look-up is done once."""
    return tuple((point.name, point.value) for point in entry_points(group=group))


class Registry:
    """A mapping from the names of one kind to "module:attribute" targets."""

    def __init__(self, kind: str, targets: dict[str, str]) -> None:
        self.kind = kind
        self._targets = targets

    def targets(self) -> dict[str, str]:
        """Return every name with its target, the project's own first, then those of other packages."""
        external = _external(f"stampbench.{self.kind}s")
        return self._targets | {name: value for name, value in external if name not in self._targets}

    def load(self, name: str) -> Any:
        """Return the object of that name. Raises `UserError` for an unknown name or a target that fails to import."""
        targets = self.targets()
        if name not in targets:
            raise UserError(f"unknown {self.kind} {name!r}{suggestion(name, targets)}")
        module, _, attribute = targets[name].partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise UserError(f"{self.kind} {name!r} cannot be loaded from {targets[name]!r}: {error}") from error


METHODS = Registry(
    "method",
    {
        "dense": "stampbench.methods.dense:Dense",
        "random": "stampbench.methods.random:Random",
        "magnitude": "stampbench.methods.magnitude:Magnitude",
        "snip": "stampbench.methods.snip:Snip",
        "grasp": "stampbench.methods.grasp:Grasp",
        "synflow": "stampbench.methods.synflow:Synflow",
        "metapruning": "stampbench.methods.metapruning:MetaPruning",
        "stamp": "stampbench.methods.stamp:Stamp",
        "transplant": "stampbench.methods.transplant:Transplant",
    },
)
NETWORKS = Registry(
    "network",
    {
        "vgg19": "stampbench.networks.vgg:vgg19",
        "resnet18": "stampbench.networks.resnet:resnet18",
        "mobilenetv2": "stampbench.networks.mobilenet:mobilenetv2",
    },
)
RESOURCES = Registry(
    "resource",
    {
        "macs": "stampbench.pruning.resources.macs:Macs",
        "params": "stampbench.pruning.resources.params:Params",
        "training-time": "stampbench.pruning.resources.time:TrainingTime",
        "latency": "stampbench.pruning.resources.time:Latency",
    },
)
EXECUTORS = Registry(
    "executor",
    {
        "in-process": "stampbench.running.executors.local:Local",
        "ray": "stampbench.running.executors.ray:Ray",
    },
)
