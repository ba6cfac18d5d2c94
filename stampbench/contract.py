"""What a pruning method is. A method imports this module and is found through `stampbench.registry`.

Importing it, or a method, must not import torch: listing methods and planning suites have to be instant.
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
    """Where a pruned network's weights come from: sliced from the start's, or drawn afresh."""

    INHERIT = "inherit"
    FRESH = "fresh"


class Options(BaseModel):
    """Base of every method's options; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def chosen(self) -> dict[str, Any]:
        """Those that differ from their defaults, as JSON: what names a variant of the method."""
        defaults = type(self).model_construct().model_dump(mode="json")
        return {name: value for name, value in self.model_dump(mode="json").items() if defaults[name] != value}


@dataclass(frozen=True)
class Plan:
    """What to keep: per channel group a bool tensor (width,), or per parameter one of its shape.

    `weights` says where the kept weights come from: `Weights`, or a state dict to slice. `notes` is JSON.
    """

    keep: Mapping[str, Tensor]
    weights: Weights | Mapping[str, Tensor] = Weights.INHERIT
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Artefact:
    """Tensors made by `prepare`, with the seconds they took where they were made, and JSON notes."""

    tensors: Mapping[str, Tensor]
    seconds: float
    notes: Mapping[str, Any] = field(default_factory=dict)


class Checkpoint(Protocol):
    """Where a long preparation leaves its state, so that a killed one goes on instead of beginning again."""

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

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]: ...


class Context(Protocol):
    """What the harness lends a method while it works."""

    @property
    def device(self) -> torch.device:
        """Where networks and images are."""
        ...

    @property
    def precision(self) -> str:
        """ "bf16" or "fp32", for what needs no full precision."""
        ...

    @property
    def round_to(self) -> int:
        """Kept widths are multiples of this."""
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
        """A fresh CPU generator for the named stream of this (purpose, dataset, seed)."""
        ...

    def loader(self, task: Task, batch_size: int, purpose: str) -> EpochLoader:
        """Augmented training batches of the task, their order and draws from streams of that purpose."""
        ...

    @property
    def checkpoint(self) -> Checkpoint:
        """Where `prepare` may leave its state; what a killed run saved there is loaded again."""
        ...

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Charges the seconds spent inside to the named phase; an inner phase pauses the outer one."""
        ...

    def plan_by_scores(self, method: SaliencyMethod, network: nn.Module, task: Task, budget: Budget) -> Plan:
        """Keep the channels, or single weights, that the method scores highest and the budget holds."""
        ...


class Method:
    """A pruning method. Subclasses set the class attributes and write `plan`; the rest has defaults.

    `version` rises with any change of behaviour: records of older versions are stale. `card` is Markdown: the
    paper, the choices that are ours, the references checked against. `needs_data` tells that `plan` reads the
    task's images, so that from reference weights the head is trained for a few steps first. `prunes` is false for
    the dense network alone: its jobs have no budget.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    card: ClassVar[str]
    granularities: ClassVar[frozenset[Granularity]] = frozenset({Granularity.CHANNEL})
    starts: ClassVar[frozenset[Start]] = frozenset(Start)
    default_start: ClassVar[Start] = Start.REFERENCE
    needs_data: ClassVar[bool] = False
    prunes: ClassVar[bool] = True
    Options: type[Options] = Options

    def __init__(self, options: Any) -> None:
        self.options = options

    @classmethod
    def version_with(cls, options: Any) -> str:
        """Return the version that decides a job's results: its own, with those of the methods that it contains."""
        return str(cls.version)

    @classmethod
    def shown_as(cls, options: Any) -> str:
        """Return the name of the method whose colour figures use: its own, unless it prunes by the mask of another."""
        return cls.name

    def artefacts(self, job: Job) -> list[ArtefactSpec]:
        """What must exist before the plan, besides the start's weights, in the order in which it is made."""
        return []

    def prepare(self, spec: ArtefactSpec, task: Task, artefacts: Mapping[str, Artefact], context: Context) -> Artefact:
        """Makes one artefact that `artefacts` asked for; cached by the digest of `spec`.

        `task` is of the spec's dataset; `artefacts` are those made before it, the start's ("pretrained") included.
        """
        raise LookupError(f"{self.name} makes no artefact of kind {spec.kind!r}")

    def plan(
        self, network: nn.Module, task: Task, budget: Budget, artefacts: Mapping[str, Artefact], context: Context
    ) -> Plan:
        """The timed pruning step. Leaves the network's weights, buffers and mode as they were.

        Raises `BudgetError` where no plan meets the budget.
        """
        raise TypeError(f"{type(self).__name__} must define plan()")


class SaliencyMethod(Method):
    """A method that only scores channels or weights; schedule, coupling and allocation are the harness's."""

    @property
    def uniform(self) -> bool:
        """Whether scores are ranked within their group or parameter, so that each keeps about the same share."""
        return False

    @property
    def rounds(self) -> int:
        """Scoring rounds: round k of n keeps the share budget^(k / n) of what the next round scores."""
        return 1

    def scores(
        self, network: nn.Module, groups: Sequence[Group], batches: ScoringBatches, context: Context
    ) -> Mapping[str, Tensor]:
        """A finite score (width,) for every channel group, higher is kept.

        From the second round on, `network` is without the channels that are gone.
        """
        raise TypeError(f"{type(self).__name__} must define scores()")

    def weight_scores(self, network: nn.Module, batches: ScoringBatches, context: Context) -> Mapping[str, Tensor]:
        """A finite score for every weight of every convolution and linear layer, by parameter name.

        From the second round on, weights that are gone are zero in `network`; their scores are not looked at.
        """
        raise TypeError(f"{type(self).__name__} must define weight_scores()")

    def plan(
        self, network: nn.Module, task: Task, budget: Budget, artefacts: Mapping[str, Artefact], context: Context
    ) -> Plan:
        """Keeps the best-scored channels, or single weights, that fit the budget."""
        return context.plan_by_scores(self, network, task, budget)
