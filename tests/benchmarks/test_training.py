"""The harness's training loop against an idiomatic one, and its data path alone: `nox -s benchmarks`."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from stampbench import seeding
from stampbench.contract import Split, Task
from stampbench.data import catalogue
from stampbench.data.loader import EpochLoader, training_batches
from stampbench.measure.hardware import preferred_precision
from stampbench.networks.initial import build, initialise, place
from stampbench.training import Recipe, Trainer
from tests.benchmarks import idiomatic
from tests.benchmarks.interleaved import compare

CPU, BATCH, STEPS, CLASSES = torch.device("cpu"), 128, 20, 10


def photographs() -> Task:
    """Twenty batches of generated images of CIFAR-10's shape."""
    stream = seeding.generator("benchmark", "images", 0)
    images = torch.randint(256, (STEPS * BATCH, 3, 32, 32), dtype=torch.uint8, generator=stream)
    split = Split(images, torch.arange(len(images)) % CLASSES)
    return Task(split, split, CLASSES, 32, (0.5,) * 3, (0.25,) * 3)


def dense(network: str, width: float) -> nn.Module:
    """Freshly initialised, in torch's own memory format."""
    module = build(network, CLASSES, width)
    initialise(module, *(seeding.generator("benchmark", part, 0) for part in ("initial-weights", "head")))
    return module


def harness(network: nn.Module, loader: EpochLoader, precision: str) -> Trainer:
    """The harness's trainer, for as many epochs as any benchmark takes."""
    recipe = Recipe(1000, BATCH, 0.05, 0.9, 5e-4, 0.0, 1.0, precision)
    return Trainer(place(network, CPU), loader, recipe)


def batches(task: Task) -> EpochLoader:
    return training_batches(task, catalogue.DATASETS["cifar10"], BATCH, partial(_stream, seed=0))


def _stream(purpose: str, seed: int) -> torch.Generator:
    return seeding.generator(purpose, "benchmark", seed)


@pytest.mark.benchmark
@pytest.mark.parametrize("network", ["vgg19", "resnet18"])
def test_epoch_against_an_idiomatic_loop(network: str, rounds: int, benchmark: Any) -> None:
    """The goal is a ratio of at most 1/2: twice the images a second."""
    task, precision = photographs(), preferred_precision(cuda=False)
    ours = harness(dense(network, 0.25), batches(task), precision)
    theirs = idiomatic.epochs(dense(network, 0.25), task, BATCH)
    info = {"network": network, "width": 0.25, "precision": precision, "batch": BATCH, "images": STEPS * BATCH}
    what = {"what": f"epoch, {network} × 0.25", "reference": "idiomatic loop, fp32"}
    compare(benchmark, ours.epoch, theirs, rounds, **what, **info)


@pytest.mark.benchmark
def test_data_path_against_the_epoch_it_feeds(rounds: int, benchmark: Any) -> None:
    """The goal is a ratio of at most 0.05."""
    task, precision = photographs(), preferred_precision(cuda=False)
    trainer, alone = harness(dense("vgg19", 0.25), batches(task), precision), batches(task)

    def data_path() -> None:
        for _ in alone.epoch():
            pass

    info = {"network": "vgg19", "width": 0.25, "precision": precision, "batch": BATCH, "images": STEPS * BATCH}
    compare(benchmark, data_path, trainer.epoch, rounds, what="data path", reference="epoch, vgg19 × 0.25", **info)
