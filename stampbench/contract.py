"""The contract of a pruning method. A method imports this module and is found through `stampbench.registry`.

Importing this module or a method must not import torch, so that methods are listed and suites planned at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict

from stampbench.data.task import Split, Task
from stampbench.errors import BudgetError
from stampbench.job import ArtefactSpec, Budget, Granularity, Job, Start

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from stampbench.data.loader import EpochLoader
    from stampbench.pruning.groups import Group
    from stampbench.pruning.resources.base import Resource

__all__ = [
    "MASK_NOTE",
    "Artefact",
    "ArtefactSpec",
    "Budget",
    "BudgetError",
    "Checkpoint",
    "Context",
    "Granularity",
    "Job",
    "Method",
    "Options",
    "Plan",
    "SaliencyMethod",
    "ScoringBatches",
    "Split",
    "Start",
    "Task",
    "Weights",
]

# The note of a plan that holds its mask, for reports to compare: {group: the bits of its kept channels, hexadecimal}.
MASK_NOTE = "mask"


class Weights(StrEnum):
    """The source of a pruned network's weights: they are sliced from the start's, or drawn afresh."""

    INHERIT = "inherit"
    FRESH = "fresh"


class Options(BaseModel):
    """The base class of every method's options; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def chosen(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, as JSON; they name a variant of the method."""
        defaults = type(self).model_construct().model_dump(mode="json")
        return {name: value for name, value in self.model_dump(mode="json").items() if defaults[name] != value}


@dataclass(frozen=True)
class Plan:
    """The channels or weights to keep: a bool tensor (width,) per channel group, or one of its shape per parameter.

    `weights` is the source of the kept weights: a `Weights`, or a state dict to slice. `notes` is JSON.
    """

    keep: Mapping[str, Tensor]
    weights: Weights | Mapping[str, Tensor] = Weights.INHERIT
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Artefact:
    """Tensors made by `prepare`, with the seconds that making them took, and JSON notes.

    `digest` is that of the tensors; the harness adds it when it stores them.
    """

    tensors: Mapping[str, Tensor]
    seconds: float
    notes: Mapping[str, Any] = field(default_factory=dict)
    digest: str | None = None


class Checkpoint(Protocol):
    """The saved state of a long preparation, from which a killed run continues."""

    def load(self) -> dict[str, Tensor] | None:
        """Return the tensors last saved, or None."""
        ...

    def save(self, tensors: Mapping[str, Tensor]) -> None:
        """Replace what was saved before."""
        ...


class ScoringBatches(Protocol):
    """Training images without augmentation, in a fixed random order, the same at every pass.

    Iterating yields normalised float32 images (N, 3, size, size) and their int64 labels (N,), 128 at a time.
    """

    @property
    def input_size(self) -> int:
        """Pixels along a side of the images."""
        ...

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield one pass over the images."""
        ...


class Context(Protocol):
    """The services that the harness offers to a method while it works."""

    @property
    def device(self) -> torch.device:
        """The device of networks and images."""
        ...

    @property
    def precision(self) -> str:
        """The precision of steps that need no full one: "bf16" or "fp32"."""
        ...

    @property
    def round_to(self) -> int:
        """The number that kept widths are multiples of."""
        ...

    @property
    def floor(self) -> float:
        """The least share of every group's channels to keep."""
        ...

    @property
    def resource(self) -> Resource:
        """The resource that budgets are shares of."""
        ...

    def generator(self, purpose: str) -> torch.Generator:
        """Return a fresh CPU generator for the named stream of this (purpose, dataset, seed)."""
        ...

    def loader(self, task: Task, batch_size: int, purpose: str) -> EpochLoader:
        """Return augmented training batches of the task, with their order and draws from streams of that purpose."""
        ...

    @property
    def checkpoint(self) -> Checkpoint:
        """The checkpoint in which `prepare` may save its state, and finds the state that a killed run saved."""
        ...

    def progress(self, done: int, total: int) -> None:
        """Report that a long `prepare` has done so many of its steps, as often as it likes; a display may show it."""
        ...

    def now(self) -> float:
        """Return the seconds on the clock, read once the device has done all that was asked of it."""
        ...

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Charge the seconds spent inside to the named phase; an inner phase pauses the outer one."""
        ...

    def plan_by_scores(self, method: SaliencyMethod, network: nn.Module, task: Task, budget: Budget) -> Plan:
        """Return the plan that keeps the highest scored channels, or single weights, that fit the budget."""
        ...


class Method:
    """A pruning method. Subclasses set the class attributes and write `plan`; the rest has defaults.

    `version` rises with any change of behaviour: records of older versions are stale. `card` is Markdown: the
    paper, the choices that are ours, the references checked against. `needs_data` says that `plan` reads the task's
    images; a network with reference weights is then trained for a few steps first, because its head is fresh.
    `prunes` is false only for the dense network, whose jobs have no budget. `label` is the name that papers use, where
    it differs from `name`: "GraSP". `told` names the options that `called` already tells.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    card: ClassVar[str]
    label: ClassVar[str] = ""
    told: ClassVar[frozenset[str]] = frozenset()
    granularities: ClassVar[frozenset[Granularity]] = frozenset({Granularity.CHANNEL})
    starts: ClassVar[frozenset[Start]] = frozenset(Start)
    default_start: ClassVar[Start] = Start.REFERENCE
    needs_data: ClassVar[bool] = False
    prunes: ClassVar[bool] = True
    Options: type[Options] = Options

    def __init__(self, options: Any) -> None:
        """Keep the options, which are an instance of the class's `Options`."""
        self.options = options

    @classmethod
    def version_with(cls, options: Any) -> str:
        """Return the version that decides a job's results: its own, with those of the methods that it contains."""
        return str(cls.version)

    @classmethod
    def datasets(cls, options: Any) -> tuple[str, ...]:
        """Return the names of the datasets that a job reads besides its target and its reference dataset."""
        return ()

    @classmethod
    def shown_as(cls, options: Any) -> str:
        """Return the name of the method whose colour figures use: its own, unless it prunes by the mask of another."""
        return cls.name

    @classmethod
    def called(cls, options: Any) -> str:
        """Return what readers call the method: its label, or for a control what it does, such as "SNIP's mask on …"."""
        return cls.label or cls.name

    def serves(self, network: nn.Module, groups: Sequence[Group]) -> str | None:
        """Return the reason why this method cannot prune the network, whose weights are undefined; None if it can.

        A job that its method cannot serve is skipped, and its record gives the reason. By default all are served.
        """
        return None

    def artefacts(self, job: Job) -> list[ArtefactSpec]:
        """Return what must exist before the plan, besides the start's weights, in the order of making."""
        return []

    def prepare(self, spec: ArtefactSpec, task: Task, artefacts: Mapping[str, Artefact], context: Context) -> Artefact:
        """Make one artefact that `artefacts` asked for; it is cached by the digest of `spec`.

        `task` is of the spec's dataset; `artefacts` are those made before it, the start's ("pretrained") included.
        """
        raise LookupError(f"{self.name} makes no artefact of kind {spec.kind!r}")

    def plan(
        self, network: nn.Module, task: Task, budget: Budget, artefacts: Mapping[str, Artefact], context: Context
    ) -> Plan:
        """Return a plan that meets the budget; this is the pruning step that is timed.

        The network's weights, buffers and mode must be left as they were. Raises `BudgetError` where no plan meets the
        budget.
        """
        raise TypeError(f"{type(self).__name__} must define plan()")


class SaliencyMethod(Method):
    """A method that only scores channels or weights; the harness does schedule, coupling and allocation."""

    @property
    def uniform(self) -> bool:
        """True if scores are ranked within their group or parameter, so that each keeps about the same share."""
        return False

    @property
    def rounds(self) -> int:
        """The number n of scoring rounds; round k keeps the share budget^(k / n) of the dense network."""
        return 1

    def scores(
        self, network: nn.Module, groups: Sequence[Group], batches: ScoringBatches, context: Context
    ) -> Mapping[str, Tensor]:
        """Return a finite score (width,) for every channel group; the highest are kept.

        From the second round on, the channels that earlier rounds removed are absent from `network`.
        """
        raise TypeError(f"{type(self).__name__} must define scores()")

    def weight_scores(self, network: nn.Module, batches: ScoringBatches, context: Context) -> Mapping[str, Tensor]:
        """Return a finite score for every weight of every convolution and linear layer, by parameter name.

        From the second round on, weights that earlier rounds removed are zero in `network`; their scores are ignored.
        """
        raise TypeError(f"{type(self).__name__} must define weight_scores()")

    def plan(
        self, network: nn.Module, task: Task, budget: Budget, artefacts: Mapping[str, Artefact], context: Context
    ) -> Plan:
        """Return the plan that keeps the highest scored channels, or single weights, that fit the budget."""
        return context.plan_by_scores(self, network, task, budget)
