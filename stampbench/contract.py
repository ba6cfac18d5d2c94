"""What a pruning method is. A method imports this module and is found through `stampbench.registry`.

Importing it, or a method, must not import torch: listing methods and planning suites have to be instant.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field

from stampbench.seeding import artefact_seed

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from stampbench.checkpoint import Checkpoint
    from stampbench.data.loader import EpochLoader
    from stampbench.job import Job
    from stampbench.pruning.groups import Group
    from stampbench.pruning.saliency import ScoringBatches


class Granularity(StrEnum):
    """What a plan removes: whole channels, or single weights."""

    CHANNEL = "channel"
    WEIGHT = "weight"


class Start(StrEnum):
    """The weights that pruning starts from: fresh, pretrained on the reference set, or on the target."""

    RANDOM = "random"
    REFERENCE = "reference"
    TARGET = "target"


class Weights(StrEnum):
    """Where a pruned network's weights come from: sliced from the start's, or drawn afresh."""

    INHERIT = "inherit"
    FRESH = "fresh"


class Budget(BaseModel):
    """Share of the dense network that a plan may keep: of its MACs, or of its prunable weights ("params")."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: str = Field("macs", pattern="^(macs|params)$")
    keep: float = Field(gt=0, le=1)


class Options(BaseModel):
    """Base of every method's options; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def chosen(self) -> dict[str, Any]:
        """Those that differ from their defaults, as JSON: what names a variant of the method."""
        defaults = type(self).model_construct().model_dump(mode="json")
        return {name: value for name, value in self.model_dump(mode="json").items() if defaults[name] != value}


class BudgetError(ValueError):
    """A budget that no plan can meet, or a plan that exceeds its budget."""


@dataclass(frozen=True)
class Split:
    """Images, uint8 (N, 3, H, W), and labels, int64 (N,), on one device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Task:
    """What a method may see of a target: training and validation images, never the test split.

    `mean` and `std` are the per-channel statistics, in [0, 1], that normalise its images.
    """

    train: Split
    validation: Split
    classes: int
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Plan:
    """What to keep: per channel group a bool tensor (width,), or per parameter one of its shape.

    `weights` says where the kept weights come from: `Weights`, or a state dict to slice. `notes` is JSON.
    """

    keep: Mapping[str, Tensor]
    weights: Weights | Mapping[str, Tensor] = Weights.INHERIT
    notes: Mapping[str, Any] = field(default_factory=dict)


class ArtefactSpec(BaseModel):
    """Names, completely, something that must exist before a job: its digest is the cache key.

    `scope` is "reference" (shared by all targets) or "target"; `seed` is the job's seed mod 3. The harness adds the
    digest of the dataset to the recipe.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: str
    scope: str = Field(pattern="^(reference|target)$")
    dataset: str
    network: str
    width: float
    seed: int
    recipe: dict[str, Any]

    @classmethod
    def of(cls, job: Job, kind: str, scope: str, epochs: int, **more: Any) -> ArtefactSpec:
        """What a job needs: trained for some epochs by its recipe, at fresh weights' rate, on the scope's dataset.

        A reference-scope artefact depends on nothing of the target's. `more` joins the recipe; what a method makes
        itself has its `method_version` there.
        """
        protocol = job.protocol
        reference = protocol.reference if scope == "reference" else None
        shared = {"batch_size", "momentum", "weight_decay", "label_smoothing", "warmup_epochs"}
        conditions = {"precision", "threads", "validation_images", "mode"}
        recipe = protocol.model_dump(mode="json", include=shared | conditions)
        if reference:
            recipe["warmup_epochs"] = reference.warmup_epochs
            recipe["validation_images"] = reference.validation_images or protocol.validation_images
        recipe |= {
            "protocol_version": job.protocol_version,
            "learning_rate": protocol.learning_rate.random,
            "epochs": epochs,
            "images": reference.images if reference else protocol.train_images,
        }
        return cls(
            kind=kind,
            scope=scope,
            dataset=reference.dataset if reference else job.target,
            network=job.network,
            width=job.width,
            seed=artefact_seed(job.seed),
            recipe=recipe | more,
        )


@dataclass(frozen=True)
class Artefact:
    """Tensors made by `prepare`, with the seconds they took where they were made, and JSON notes."""

    tensors: Mapping[str, Tensor]
    seconds: float
    notes: Mapping[str, Any] = field(default_factory=dict)


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

    def serves(self, network: nn.Module, groups: Sequence[Group]) -> str | None:
        """Return the reason why this method cannot prune the network, whose weights are undefined; None if it can.

        A job that its method cannot serve is skipped, and its record gives the reason. By default all are served.
        """
        return None

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
        from stampbench.pruning.saliency import channel_plan, weight_plan

        make = weight_plan if budget.kind == "params" else channel_plan
        return make(self, network, task, budget, context)
