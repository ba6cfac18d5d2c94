"""Fabricated protocols, jobs, records, speed measurements and toy methods; no file and no torch needed.

Every function has complete defaults; keyword arguments replace fields. `TOY_METHODS` are registry targets for
tests that expand suites: `monkeypatch.setattr(registry, "METHODS", Registry("method", TOY_METHODS))`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import Field

from stampbench.contract import Budget, Granularity, Method, Options, Start
from stampbench.job import Job, LearningRates, Protocol, Reference
from stampbench.record import Accuracy, ArtefactUse, Cost, DataUse, Provenance, Record, Seconds, Speed, Timing

DENSE_WIDTHS = {"features.0": 16, "features.1": 32}
DENSE_PARAMS, DENSE_MACS = 200_000, 4_000_000


class ToyDense(Method):
    name = "dense"
    version = 1
    card = "Keeps everything."
    prunes = False


class ToyMagnitude(Method):
    name = "magnitude"
    version = 2
    card = "Keeps the largest."

    class Options(Options):
        scope: str = "uniform"
        rounds: int = 1
        rescale: bool = False
        share: float = 1.0
        of: dict[str, int] = Field(default_factory=dict)


class ToyRandom(Method):
    name = "random"
    version = 1
    card = "Keeps any."


TOY_METHODS = {
    "dense": "tests.factories:ToyDense",
    "magnitude": "tests.factories:ToyMagnitude",
    "random": "tests.factories:ToyRandom",
}


def protocol(**changes: Any) -> Protocol:
    fields: dict[str, Any] = {
        "train_images": 1000,
        "validation_images": 100,
        "epochs": 2,
        "learning_rate": LearningRates(random=0.1, reference=0.05, target=0.05),
        "precision": "fp32",
        "threads": 1,
        "reference": Reference(dataset="tinyimagenet", epochs=1),
    }
    return Protocol.model_validate(fields | changes)


def job(method: str = "magnitude", *, seed: int = 0, keep: float = 0.25, **changes: Any) -> Job:
    """A job on cifar10; `dense` gets the budget that keeps everything."""
    fields: dict[str, Any] = {
        "target": "cifar10",
        "network": "vgg19",
        "width": 0.25,
        "method": method,
        "method_version": "1",
        "data_versions": {"cifar10": 1, "tinyimagenet": 1},
        "start": Start.REFERENCE,
        "granularity": Granularity.CHANNEL,
        "budget": Budget(keep=1.0 if method == "dense" else keep),
        "seed": seed,
        "protocol": protocol(),
    }
    return Job.model_validate(fields | changes)


def provenance(**changes: Any) -> Provenance:
    fields: dict[str, Any] = {
        "versions": {"python": "3.11.7", "torch": "2.15.0"},
        "device": "cpu",
        "cpu": "Toy CPU",
        "capability": "AVX2",
        "threads": 1,
        "executor": "inline",
        "git_commit": "0" * 40,
        "dirty": False,
        "source_digest": "5" * 16,
        "constraints_digest": None,
        "fingerprint": "f" * 16,
        "finished": "2026-01-02T03:04:05+00:00",
    }
    return Provenance.model_validate(fields | changes)


def seconds(*, pretrain: float = 0.0, prune: float = 0.5, train: float = 30.0, **changes: Any) -> Seconds:
    fields: dict[str, Any] = {
        "pretrain": pretrain,
        "prune": prune,
        "train": train,
        "total": pretrain + prune + train,
        "evaluate": 1.0,
        "reference": 100.0,
        "outside": 0.2,
        "phases": {"prune": prune, "train": train, "evaluate": 1.0},
        "epochs": [train / 2, train / 2],
    }
    return Seconds.model_validate(fields | changes)


def cost(keep: float = 0.25, **changes: Any) -> Cost:
    """Keeps that share of the MACs, and its square root of the channels and parameters."""
    fields: dict[str, Any] = {
        "params": round(DENSE_PARAMS * keep**0.5),
        "dense_params": DENSE_PARAMS,
        "macs": round(DENSE_MACS * keep),
        "dense_macs": DENSE_MACS,
        "budget_unused": 0,
        "widths": {group: max(1, round(width * keep**0.5)) for group, width in DENSE_WIDTHS.items()},
        "floored": [],
    }
    return Cost.model_validate(fields | changes)


def data_use(name: str = "cifar10", **changes: Any) -> DataUse:
    fields: dict[str, Any] = {
        "name": name,
        "display_name": f"{name}-1000",
        "train": 900,
        "validation": 100,
        "test": 5000,
        "source": "parquet",
        "digest": "d" * 16,
    }
    return DataUse.model_validate(fields | changes)


def reference_use(seed: int = 0, *, seconds: float = 100.0, reused: bool = False) -> ArtefactUse:
    """The reference network of one artefact seed."""
    return ArtefactUse(kind="pretrained", scope="reference", digest=f"{seed:016x}", seconds=seconds, reused=reused)


def record(of: Job | None = None, *, top1: float = 0.7, top5: float | None = None, **changes: Any) -> Record:
    """A finished record of a job; `top1` and `top5` are shares in [0, 1]."""
    of = of or job()
    fields: dict[str, Any] = {
        "key": of.key,
        "job": of,
        "status": "done",
        "accuracy": Accuracy(top1=top1, top5=top5, validation_top1=[top1 / 2, top1], train_loss=[2.0, 1.0]),
        "cost": cost(of.budget.keep),
        "seconds": seconds(),
        "peak_memory_mib": 256.0,
        "artefacts": [reference_use(of.seed % 3)],
        "digests": {"initial_weights": "a" * 16, "batch_order": "b" * 16, "augmentation": "c" * 16},
        "data": {of.target: data_use(of.target)},
        "provenance": provenance(),
    }
    return Record.model_validate(fields | changes)


def failed(of: Job | None = None, reason: str = "diverged loss", *, status: str = "failed") -> Record:
    """A record without results: failed, skipped or timeout, with its reason."""
    of = of or job()
    return Record.model_validate(
        {"key": of.key, "job": of, "status": status, "reason": reason, "provenance": provenance()}
    )


def timing(dense: Sequence[float] = (2.0, 2.2, 2.1), compact: Sequence[float] = (1.0, 1.1, 1.05)) -> Timing:
    return Timing(batch_size=128, dense=list(dense), compact=list(compact))


def speed(key: str = "5eed5eed5eed5eed", **changes: Any) -> Speed:
    """A speed measurement: training, latency and inference all twice as fast as dense, where not changed."""
    fields: dict[str, Any] = {
        "key": key,
        "network": "vgg19",
        "classes": 10,
        "input_size": 32,
        "widths": cost().widths,
        "dense_widths": DENSE_WIDTHS,
        "precision": "fp32",
        "train_step": timing(),
        "latency": timing(),
        "inference": timing(),
        "provenance": provenance(),
    }
    return Speed.model_validate(fields | changes)
