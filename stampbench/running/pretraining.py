"""Pretrained networks: the artefacts behind the reference and target starts."""

from __future__ import annotations

from collections.abc import Callable

import torch

from stampbench import seeding
from stampbench.contract import Artefact, Checkpoint, Task
from stampbench.data.catalogue import Dataset
from stampbench.data.loader import evaluation_batches, training_batches
from stampbench.job import ArtefactSpec, Job, Start
from stampbench.measure.phases import PhaseClock
from stampbench.networks.initial import build, initialise, place
from stampbench.record import PRETRAINED
from stampbench.training import Recipe, Trainer, fit

KIND = PRETRAINED


def spec_of(job: Job) -> ArtefactSpec | None:
    """Return the spec of the pretrained network that the job starts from, or None for random weights."""
    if job.start is Start.REFERENCE and job.protocol.reference:
        return ArtefactSpec.of(job, KIND, "reference", job.protocol.reference.epochs)
    return ArtefactSpec.of(job, KIND, "target", job.protocol.epochs) if job.start is Start.TARGET else None


def pretrain(
    spec: ArtefactSpec,
    task: Task,
    dataset: Dataset,
    device: torch.device,
    report: Callable[[int, float, float], None],
    checkpoint: Checkpoint,
) -> Artefact:
    """Train the spec's network from fresh weights; the artefact holds its state dict and the seconds of training.

    `report` is called after each epoch with its number (from 1), its mean loss and its validation accuracy. A run that
    was killed goes on from the checkpoint; the seconds are those of all its epochs.
    """
    values = spec.settings

    def stream(purpose: str) -> torch.Generator:
        return seeding.generator(f"pretraining/{purpose}", spec.dataset, spec.seed)

    network = build(spec.network, task.classes, spec.width)
    initialise(network, stream("initial-weights"), stream("head"))
    place(network, device)
    loader = training_batches(task, dataset, values["batch_size"], stream)
    history = fit(
        Trainer(network, loader, Recipe.of_spec(spec)),
        lambda: evaluation_batches(task.validation, dataset, task.mean, task.std, 256),
        PhaseClock(device),
        report,
        checkpoint,
    )
    notes = {"train_images": len(task.train), "validation_top1": history.accuracy, "train_loss": history.loss}
    return Artefact(network.state_dict(), sum(history.seconds), notes)
