"""A job: everything that decides a number, and nothing else. Its digest is the key of its record."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from stampbench.contract import Budget, Granularity, Start
from stampbench.seeding import digest_of_json

PROTOCOL_VERSION = 1

Precision = Literal["fp32", "bf16"]
Mode = Literal["strict", "fast"]


class LearningRates(BaseModel):
    """Peak learning rate for each start, set by the dense network on development targets, never per method."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    random: float = Field(gt=0)
    reference: float = Field(gt=0)
    target: float = Field(gt=0)

    def of(self, start: Start) -> float:
        """The rate for networks that begin at this start."""
        return float(getattr(self, start.value))


class Reference(BaseModel):
    """How the reference network is made: `images` of the dataset (None: all) for some epochs.

    `validation_images` of them are held out (None: as many as of the target). The warm-up is its own: suites and
    schedules with another one share the network.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    dataset: str
    epochs: int = Field(gt=0)
    images: int | None = Field(None, gt=0)
    validation_images: int | None = Field(None, gt=0, exclude_if=lambda count: count is None)
    warmup_epochs: float = Field(1.0, ge=0, exclude_if=lambda epochs: epochs == 1)


class Protocol(BaseModel):
    """The recipe and the conditions shared by every method of a suite.

    `train_images` counts those the target lends (None: all), validation included. `floor` is the least share of a
    group's channels that a plan keeps, `round_to` divides kept widths. `reference` and `head_steps` (steps taken from
    reference weights before data-driven scores) are None and 0 in jobs that they cannot touch. `mode` "strict" takes
    deterministic algorithms alone, "fast" whichever are fastest: its bits need not repeat.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    train_images: int | None = Field(None, gt=0)
    validation_images: int = Field(gt=0)
    epochs: int = Field(gt=0, le=10_000)
    batch_size: int = Field(128, ge=2, le=2**16)
    learning_rate: LearningRates
    momentum: float = Field(0.9, ge=0, lt=1)
    weight_decay: float = Field(5e-4, ge=0)
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    warmup_epochs: float = Field(1.0, ge=0)
    precision: Precision
    threads: int = Field(gt=0, le=1024)
    round_to: int = Field(1, gt=0)
    floor: float = Field(0.05, ge=0, lt=1)
    head_steps: int = Field(0, ge=0)
    reference: Reference | None = None
    mode: Mode = Field("strict", exclude_if=lambda mode: mode == "strict")


class Job(BaseModel):
    """One cell and seed of a suite."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    protocol_version: int = PROTOCOL_VERSION
    target: str
    network: str
    width: float = Field(gt=0)
    method: str
    method_version: int
    options: dict[str, Any] = Field(default_factory=dict)
    start: Start
    granularity: Granularity
    budget: Budget
    seed: int = Field(ge=0)
    protocol: Protocol

    @property
    def key(self) -> str:
        """16 hexadecimal digits of the SHA-256 of the canonical JSON."""
        return digest_of_json(self.model_dump(mode="json"))

    @property
    def identity(self) -> str:
        """Like the key but blind to versions: a record of this identity and another key is stale."""
        return digest_of_json(self.model_dump(mode="json", exclude={"protocol_version", "method_version"}))

    @property
    def label(self) -> str:
        """For people: method, start, target, network, share kept, seed."""
        return (
            f"{self.method} ({self.start}) on {self.target}, {self.network} × {self.width:g}, "
            f"{self.budget.kind} {self.budget.keep:g}, seed {self.seed}"
        )
