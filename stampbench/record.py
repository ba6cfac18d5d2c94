"""The record of a job: its results, its costs, and where every number comes from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from stampbench.job import Job

RECORD_SCHEMA, SPEED_SCHEMA = 2, 1
# The kind of the artefact that a start's weights come from; all other kinds are a method's own.
PRETRAINED = "pretrained"


# Values that no job can have are refused, so that whoever reads a record may compute with all that it holds.
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[int, Field(gt=0, lt=2**63)]
# A century, in seconds.
Duration = Annotated[float, Field(ge=0, le=3.2e9)]
Sample = Annotated[float, Field(gt=0, le=3.2e9)]
Key = Annotated[str, Field(pattern="^[0-9a-f]{16}$")]
Name = Annotated[str, Field(max_length=500)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Accuracy(_Part):
    """Accuracies, as shares in [0, 1], and losses.

    `top1` and `top5` are of the test images, measured once after the last epoch. `validation_top1` and `train_loss`
    have one value per epoch.
    """

    top1: Share
    top5: Share | None
    validation_top1: list[Share]
    train_loss: list[float]


class Cost(_Part):
    """The trainable parameters, and the MACs for one image, of the pruned network and of the dense one.

    `budget_unused` is what the plan leaves of its budget, in the budget's resource; `floored` names the groups that the
    floor kept alive. `predicted_share` is what the plan uses of a resource that is predicted from a table, as a share
    of the dense network's; the measured share is that of the record's `speed`.
    """

    params: Count
    dense_params: Positive
    macs: Count
    dense_macs: Positive
    budget_unused: Count
    widths: dict[str, Positive]
    floored: list[str]
    predicted_share: Share | None = None


class Seconds(_Part):
    """Wall-clock seconds. `total` = `pretrain` + `prune` + `train`; it excludes all else.

    `pretrain` charges target-scope artefacts in full, reused or not; `reference` is the time of reference-scope
    artefacts. `phases` holds every phase of the job as clocked; `outside` is the job's time in none of them.
    """

    pretrain: Duration
    prune: Duration
    train: Duration
    total: Duration
    evaluate: Duration
    reference: Duration
    outside: float
    phases: dict[str, Duration]
    epochs: list[Duration]


class ArtefactUse(_Part):
    """An artefact that the job used, with the seconds that making it took; `reused` if it existed already.

    `digest` is that of its spec, and `tensors` that of what it holds, which older records do not tell.
    """

    kind: str
    scope: str
    digest: str
    tensors: str | None = None
    seconds: Duration
    reused: bool


class DataUse(_Part):
    """A dataset as a job used it: the images in each role, its source, and the digest of its decoded arrays."""

    name: str
    display_name: Name
    train: Count
    validation: Count
    test: Count
    source: str
    digest: str


class Provenance(_Part):
    """The versions, device and code behind a record; neither the host nor the user is named.

    `fingerprint` names the numerics: two records with the same one must agree in every bit if both are
    `deterministic` and of the same `cpu_generation`. `exclusive` says whether the job had its machine to
    itself, and `keeps_memory` whether the process kept freed memory for its next step.
    """

    versions: dict[str, str]
    device: Name
    cpu: Name
    capability: str
    threads: int
    executor: str
    git_commit: str | None
    dirty: bool | None
    source_digest: str
    constraints_digest: str | None
    fingerprint: str
    finished: str
    deterministic: bool = True
    cpu_generation: str = ""
    exclusive: bool = True
    keeps_memory: bool = False
    openmp: dict[str, str] = Field(default_factory=dict, description="variables that say how threads wait, if set")


class Gpu(_Part):
    """The state of a GPU right after the work that was timed: NVML's clocks, and the reasons that throttled them."""

    driver: str
    sm_clock_mhz: int
    memory_clock_mhz: int
    throttle_reasons: list[str]


class Record(_Part):
    """The outcome of one job. One that failed, was skipped or ran out of time has a `reason` instead of results."""

    schema_version: int = RECORD_SCHEMA
    key: str
    job: Job
    status: Literal["done", "failed", "skipped", "timeout"]
    reason: str | None = None
    accuracy: Accuracy | None = None
    cost: Cost | None = None
    seconds: Seconds | None = None
    peak_memory_mib: float | None = None
    gpu: Gpu | None = None
    yardstick: list[Sample] = Field(default_factory=list, description="seconds of a fixed step, around training")
    speed: Key | None = Field(default=None, description="key of the speed measurement of these widths on this device")
    artefacts: list[ArtefactUse] = Field(default_factory=list)
    digests: dict[str, str] = Field(default_factory=dict)
    data: dict[str, DataUse] = Field(default_factory=dict)
    notes: dict[str, Any] = Field(default_factory=dict)
    provenance: Provenance

    @model_validator(mode="after")
    def _whole(self) -> Record:
        if self.status == "done" and not (self.accuracy and self.cost and self.seconds):
            raise ValueError("a record that is done needs accuracy, cost and seconds")
        return self


class Timing(_Part):
    """The samples, in seconds, of one kind of step, timed in turns on the dense and the compact network."""

    batch_size: Positive
    dense: list[Sample]
    compact: list[Sample]


class Speed(_Part):
    """The speed of a network at given widths beside its dense form, on one device, in one process."""

    schema_version: int = SPEED_SCHEMA
    key: Key
    network: str
    classes: Positive
    input_size: Positive
    widths: dict[str, Positive]
    dense_widths: dict[str, Positive]
    precision: str
    train_step: Timing
    latency: Timing
    inference: Timing
    gpu: Gpu | None = None
    provenance: Provenance
