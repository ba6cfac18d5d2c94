"""Compact networks against their dense selves at 1/4 of the MACs: `nox -s benchmarks`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from stampbench import seeding
from stampbench.measure.hardware import preferred_precision
from stampbench.networks.initial import build, initialise, place
from stampbench.pruning.allocate import allocate, fractional_ranks
from stampbench.pruning.compact import compact
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import channel_groups
from stampbench.training import autocast
from tests.benchmarks.interleaved import compare

CPU, CLASSES, SIZE, KEEP = torch.device("cpu"), 10, 32, 0.25
TRAIN_BATCH, INFERENCE_BATCH = 128, 256


def made(network: str, width: float, widths: dict[str, int] | None = None) -> nn.Module:
    module = build(network, CLASSES, width, widths)
    initialise(module, *(seeding.generator("benchmark", part, 0) for part in ("initial-weights", "head")))
    return place(module, CPU)


def uniform_plan(network: str, width: float, round_to: int) -> tuple[dict[str, torch.Tensor], float]:
    """About the same share of every group within 1/4 of the MACs; and the share of the MACs that this is."""
    module = made(network, width)
    cost = CostModel.of(module, channel_groups(module, SIZE), SIZE)
    stream = seeding.generator("benchmark", "scores", 0)
    scores = fractional_ranks({name: torch.rand(size, generator=stream) for name, size in cost.widths.items()})
    plan = allocate(scores, cost, int(KEEP * cost.macs()), round_to)
    return plan.keep, plan.macs / cost.macs()


def training_step(module: nn.Module, precision: str) -> Callable[[], None]:
    images, labels = pictures(TRAIN_BATCH), torch.arange(TRAIN_BATCH) % CLASSES
    optimizer = torch.optim.SGD(module.train().parameters(), lr=1e-3, momentum=0.9, fused=True)

    def step() -> None:
        with autocast(CPU, precision):
            logits = module(images)
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(logits.float(), labels).backward()
        optimizer.step()

    return step


def inference(module: nn.Module, precision: str) -> Callable[[], None]:
    images = pictures(INFERENCE_BATCH)
    module.eval()

    @torch.no_grad()
    def infer() -> None:
        with autocast(CPU, precision):
            module(images)

    return infer


def pictures(count: int) -> torch.Tensor:
    stream = seeding.generator("benchmark", "pictures", 0)
    return torch.randn(count, 3, SIZE, SIZE, generator=stream).to(memory_format=torch.channels_last)


@pytest.mark.benchmark
@pytest.mark.parametrize("round_to", [1, 8])
@pytest.mark.parametrize("width", [1.0, 0.25])
@pytest.mark.parametrize("network", ["vgg19", "resnet18"])
@pytest.mark.parametrize("work", [training_step, inference])
def test_compact_against_dense(
    work: Callable[..., Any], network: str, width: float, round_to: int, rounds: int, benchmark: Any
) -> None:
    """The goals at full width and widths of 8: 0.6 of the MAC ratio in training, 0.7 in inference."""
    keep, share = uniform_plan(network, width, round_to)
    precision = preferred_precision(cuda=False)
    small = made(network, width, {name: int(kept.sum()) for name, kept in keep.items()})
    batch = TRAIN_BATCH if work is training_step else INFERENCE_BATCH
    label = f"{work.__name__.replace('_', ' ')}, {network} × {width:g}, widths of {round_to}"
    info = {"network": network, "width": width, "precision": precision, "batch": batch, "macs": share}
    pair = (work(small, precision), work(made(network, width), precision))
    compare(benchmark, *pair, rounds, what=label, reference="the dense network", **info)


@pytest.mark.benchmark
@pytest.mark.parametrize("network", ["vgg19", "resnet18"])
def test_compaction_against_a_training_step(network: str, width: float, rounds: int, benchmark: Any) -> None:
    module, precision = made(network, width), preferred_precision(cuda=False)
    groups, (keep, _) = channel_groups(module, SIZE), uniform_plan(network, width, 1)
    step = training_step(made(network, width), precision)
    info = {"network": network, "width": width, "precision": precision, "batch": TRAIN_BATCH}
    names = {"what": f"compaction, {network} × {width:g}", "reference": "a training step, dense"}
    compare(benchmark, lambda: compact(module, groups, keep, SIZE), step, rounds, **names, **info)
