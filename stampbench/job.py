"""A job: everything that decides its result, and nothing else. Its digest is the key of its record."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stampbench.seeding import artefact_seed, digest_of_json

PROTOCOL_VERSION = 1
# The resource of plans of single weights: the number of weights in convolutions and linear layers.
WEIGHTS = "weights"

Precision = Literal["fp32", "bf16"]
Mode = Literal["strict", "fast"]
Epochs = Annotated[int, Field(gt=0, le=10_000)]


class Granularity(StrEnum):
    """The unit that a plan removes: whole channels, or single weights."""

    CHANNEL = "channel"
    WEIGHT = "weight"


class Start(StrEnum):
    """The weights that pruning starts from: fresh, pretrained on the reference dataset, or on the target."""

    RANDOM = "random"
    REFERENCE = "reference"
    TARGET = "target"


class Budget(BaseModel):
    """The share of a resource of the dense network that a plan may keep.

    `resource` is a registered resource for plans of channels, and `WEIGHTS` for plans of single weights. `table` is the
    digest of the table of layers that a budget of time is predicted from, which names the device, or None.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    resource: str = "macs"
    keep: float = Field(gt=0, le=1)
    table: Annotated[str, Field(pattern="^[0-9a-f]{16}$")] | None = None


class LearningRates(BaseModel):
    """The peak learning rate of each start, tuned with the dense network on development targets, never per method."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    random: float = Field(gt=0)
    reference: float = Field(gt=0)
    target: float = Field(gt=0)

    def of(self, start: Start) -> float:
        """Return the rate for networks that begin at this start."""
        return float(getattr(self, start.value))


class Reference(BaseModel):
    """The recipe of the reference network: trained on `images` of the dataset (None: all) for `epochs`.

    `validation_images` of them are held out (None: as many as of the target). It has its own warm-up, so that suites
    whose targets have another warm-up share the network, and its own `precision` (None: the protocol's), so that a
    machine without bf16 can take a network that was trained in bf16 elsewhere.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    dataset: str
    epochs: Epochs
    images: int | None = Field(None, gt=0)
    validation_images: int | None = Field(None, gt=0)
    warmup_epochs: float = Field(1.0, ge=0)
    precision: Precision | None = None


class Protocol(BaseModel):
    """The recipe and the conditions shared by every method of a suite.

    `train_images` counts the target's images that are used (None: all), validation images included. `floor` is the
    least share of a group's channels that a plan keeps, and kept widths are multiples of `round_to`. `head_steps` are
    the training steps from reference weights before data-driven scores. `reference` is None, and `head_steps` is 0, in
    jobs whose results do not depend on them. `mode` "strict" allows only deterministic algorithms; "fast" allows the
    fastest ones, whose results may differ in the last bits.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    train_images: int | None = Field(None, gt=0)
    validation_images: int = Field(gt=0)
    epochs: Epochs
    batch_size: int = Field(128, ge=2, le=2**16)
    learning_rate: LearningRates
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    warmup_epochs: float = Field(1.0, ge=0)
    precision: Precision
    threads: int = Field(gt=0, le=1024)
    round_to: int = Field(1, gt=0, le=2**16)
    floor: float = Field(0.05, ge=0, lt=1)
    head_steps: int = Field(0, ge=0, le=10**6)
    reference: Reference | None = None
    mode: Mode = "strict"


class Job(BaseModel):
    """One cell of a suite with one seed.

    `options` holds the method's options that differ from their defaults. The versions say which defaults and which
    behaviour were meant: `method_version` is the method's own with those of the methods that it contains, and
    `data_versions` are those of the target and of the reference dataset.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    protocol_version: int = PROTOCOL_VERSION
    method_version: str
    data_versions: dict[str, int]
    target: str
    network: str
    width: float = Field(gt=0)
    method: str
    options: dict[str, Any] = Field(default_factory=dict)
    start: Start
    granularity: Granularity = Granularity.CHANNEL
    budget: Budget
    seed: int = Field(ge=0)
    protocol: Protocol

    @property
    def canonical(self) -> dict[str, Any]:
        """The versions, and what differs from the defaults, as JSON; it is stored in records and hashed by the key.

        A new field or option with a default therefore changes no key; a default that changes needs a new version.
        """
        return self._versions | self.model_dump(mode="json", exclude_defaults=True)

    @property
    def key(self) -> str:
        """The first 16 hexadecimal digits of the SHA-256 of the canonical JSON."""
        return digest_of_json(self.canonical)

    @property
    def identity(self) -> str:
        """The key without the versions: a record with this identity and another key is stale."""
        return digest_of_json({name: value for name, value in self.canonical.items() if name not in self._versions})

    @property
    def _versions(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("protocol_version", "method_version", "data_versions")}

    @property
    def label(self) -> str:
        """A name for people: method, start, target, network, share kept and seed."""
        return (
            f"{self.method} ({self.start}) on {self.target}, {self.network} × {self.width:g}, "
            f"{self.budget.resource} {self.budget.keep:g}, seed {self.seed}"
        )


class ArtefactSpec(BaseModel):
    """Everything that decides an artefact, which must exist before a job. Its digest is the artefact's name.

    `scope` is "reference" (shared by all targets), "target", or "device" for what is measured on one, without a
    dataset; `seed` is the job's artefact seed. `recipe` holds what differs from the defaults, and versions; the harness
    adds the digest of the dataset to it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    kind: str
    scope: str = Field(pattern="^(reference|target|device)$")
    dataset: str
    network: str
    width: float
    seed: int
    recipe: dict[str, Any]

    @classmethod
    def of(cls, job: Job, kind: str, scope: str, epochs: int, **more: Any) -> ArtefactSpec:
        """Return the spec of an artefact that a job needs, trained for `epochs` by its recipe on the scope's dataset.

        The learning rate is that of random starts. A reference-scope artefact does not depend on the target.
        `more` is added to the recipe; a method adds its `method_version` to the artefacts that it makes itself.
        """
        protocol = job.protocol
        reference = protocol.reference if scope == "reference" else None
        recipe = {name: getattr(protocol, name) for name in (*_RECIPE_DEFAULTS, "precision", "threads")}
        recipe["validation_images"] = protocol.validation_images
        if reference:
            recipe["warmup_epochs"] = reference.warmup_epochs
            recipe["validation_images"] = reference.validation_images or protocol.validation_images
            recipe["precision"] = reference.precision or protocol.precision
        recipe |= {
            "protocol_version": job.protocol_version,
            "learning_rate": protocol.learning_rate.random,
            "epochs": epochs,
            "images": reference.images if reference else protocol.train_images,
        }
        recipe |= more
        return cls(
            kind=kind,
            scope=scope,
            dataset=reference.dataset if reference else job.target,
            network=job.network,
            width=job.width,
            seed=artefact_seed(job.seed),
            recipe={name: value for name, value in recipe.items() if _differs(name, value)},
        )

    @property
    def settings(self) -> dict[str, Any]:
        """The recipe with the defaults spelled out."""
        return _RECIPE_DEFAULTS | self.recipe

    @property
    def digest(self) -> str:
        """The name of the artefact: 16 hexadecimal digits of the SHA-256 of the spec's canonical JSON."""
        return digest_of_json(self.model_dump(mode="json"))


# The values that a recipe leaves out, because they are the protocol's defaults.
_RECIPE_DEFAULTS: dict[str, Any] = {
    name: Protocol.model_fields[name].default
    for name in ("batch_size", "momentum", "weight_decay", "label_smoothing", "warmup_epochs", "mode")
}


def _differs(name: str, value: Any) -> bool:
    return name not in _RECIPE_DEFAULTS or bool(value != _RECIPE_DEFAULTS[name])
