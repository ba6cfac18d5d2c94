"""The registries of methods, networks, resources and executors by name. Nothing is imported before it is used.

Other packages add their own through entry points in the groups `stampbench.methods`, `stampbench.networks`,
`stampbench.resources` and `stampbench.running.executors`.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import re
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from stampbench.errors import UserError

# What a "module:attribute" looks like.
TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


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

    def __init__(self, kind: str, targets: dict[str, str], takes_targets: bool = False) -> None:
        """Register these targets; with `takes_targets`, a "module:attribute" is a name too."""
        self.kind, self.takes_targets = kind, takes_targets
        self._targets = targets

    def targets(self) -> dict[str, str]:
        """Return every name with its target, the project's own first, then those of other packages."""
        external = _external(f"stampbench.{self.kind}s")
        return self._targets | {name: value for name, value in external if name not in self._targets}

    def load(self, name: str) -> Any:
        """Return the object of that name. Raises `UserError` for an unknown name or a target that fails to import."""
        targets = self.targets()
        target = name if self.takes_targets and TARGET.fullmatch(name) else targets.get(name)
        if target is None:
            raise UserError(f"unknown {self.kind} {name!r}{suggestion(name, targets)}")
        module, _, attribute = target.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (Exception, SystemExit) as error:  # whatever the imported module raises
            said = f"{type(error).__name__}: {error}"
            raise UserError(f"{self.kind} {name!r} cannot be loaded from {target!r}: {said}") from error

    def target_of(self, name: str) -> str:
        """Return the "module:attribute" of that name. Raises `UserError` for an unknown name."""
        self.refuse_unknown(name)
        return self.targets().get(name, name)

    def refuse_unknown(self, name: str) -> None:
        """Raise `UserError` for a name that `load` would not find; nothing but parent packages is imported."""
        if self.takes_targets and TARGET.fullmatch(name):
            module = name.partition(":")[0]
            try:
                found = importlib.util.find_spec(module)
            except Exception as error:  # whatever a parent package raises
                raise UserError(f"{self.kind} {name!r}: {type(error).__name__}: {error}") from error
            if found is None:
                raise UserError(f"{self.kind} {name!r}: there is no module {module!r} beside the suite, nor installed")
        elif name not in (targets := self.targets()):
            raise UserError(f"unknown {self.kind} {name!r}{suggestion(name, targets)}")


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
    takes_targets=True,
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
