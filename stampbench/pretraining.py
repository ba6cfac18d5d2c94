"""Pretrained networks: the artefacts behind the reference and target starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from stampbench import seeding
from stampbench.contract import Artefact, ArtefactSpec, Start
from stampbench.data import catalogue, packed
from stampbench.data.catalogue import CustomDataset
from stampbench.data.loader import EpochLoader, evaluation_batches
from stampbench.data.split import make_task
from stampbench.job import Job
from stampbench.measure.phases import PhaseClock
from stampbench.networks.initial import build, initialise, place
from stampbench.training import Recipe, Trainer, fit

KIND = "pretrained"


def spec_of(job: Job, custom: Mapping[str, CustomDataset]) -> ArtefactSpec | None:
    """The pretrained network that the job starts from, or None for random weights.

    It is trained from fresh weights, so at their learning rate. The reference one depends on nothing of the target's.
    """
    protocol = job.protocol
    if job.start is Start.RANDOM:
        return None
    reference = protocol.reference if job.start is Start.REFERENCE else None
    dataset = reference.dataset if reference else job.target
    recipe: dict[str, Any] = protocol.model_dump(
        mode="json",
        include={
            "batch_size",
            "momentum",
            "weight_decay",
            "label_smoothing",
            "warmup_epochs",
            "precision",
            "threads",
            "validation_images",
        },
    )
    recipe |= {
        "protocol_version": job.protocol_version,
        "learning_rate": protocol.learning_rate.random,
        "epochs": reference.epochs if reference else protocol.epochs,
        "images": reference.images if reference else protocol.train_images,
        "data": packed.load(dataset, custom).manifest.digest,
    }
    return ArtefactSpec(
        kind=KIND,
        scope="reference" if reference else "target",
        dataset=dataset,
        network=job.network,
        width=job.width,
        seed=seeding.artefact_seed(job.seed),
        recipe=recipe,
    )


def pretrain(
    spec: ArtefactSpec,
    custom: Mapping[str, CustomDataset],
    device: torch.device,
    report: Callable[[int, float, float], None],
) -> Artefact:
    """Trains the network of the spec from fresh weights; its tensors are the state dict, its seconds the training's."""
    values, dataset = spec.recipe, catalogue.resolve(spec.dataset, custom)
    data = packed.load(spec.dataset, custom)
    # A job draws its target's split by its artefact seed, so nothing here has seen its validation images.
    task, _ = make_task(data, dataset, values["images"], values["validation_images"], spec.seed, device)

    def stream(purpose: str) -> torch.Generator:
        return seeding.generator(f"pretraining/{purpose}", spec.dataset, spec.seed)

    network = build(spec.network, task.classes, spec.width)
    initialise(network, stream("initial-weights"), stream("head"))
    place(network, device)
    loader = EpochLoader(
        task.train, dataset, task.mean, task.std, values["batch_size"], stream("batch-order"), stream("augmentation")
    )
    recipe = Recipe(**{name: values[name] for name in Recipe.__dataclass_fields__})
    clock = PhaseClock(device)
    history = fit(
        Trainer(network, loader, recipe),
        lambda: evaluation_batches(task.validation, dataset, task.mean, task.std, 256),
        clock,
        report,
    )
    notes = {
        "train_images": len(task.train),
        "validation_top1": history.accuracy,
        "train_loss": history.loss,
        "display_name": data.manifest.display_name,
    }
    return Artefact(network.state_dict(), clock.seconds["train"], notes)
