"""A step of a sub-network on slices of the dense one, as meta-training takes it, against gates at full width."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call

from stampbench import seeding
from stampbench.measure.hardware import preferred_precision
from stampbench.pruning.cropped import cropped_forward
from stampbench.pruning.groups import Group, channel_groups
from stampbench.training import autocast
from tests.benchmarks.interleaved import compare
from tests.benchmarks.test_compact import CPU, SIZE, made, pictures

BATCH, MASKS = 64, 8


def step(module: nn.Module, logits: Callable[[], torch.Tensor], precision: str) -> None:
    """Forward and backward."""
    labels = torch.arange(BATCH) % 10
    with autocast(CPU, precision):
        found = logits()
    module.zero_grad(set_to_none=True)
    nn.functional.cross_entropy(found.float(), labels).backward()


def gated_forward(
    module: nn.Module, groups: Sequence[Group], gates: Mapping[str, torch.Tensor], images: torch.Tensor
) -> torch.Tensor:
    """The same function of the same gates, every channel computed."""
    tensors = dict(module.named_parameters())
    for group in groups:
        for name in (f"{norm}.{part}" for norm in group.norms for part in ("weight", "bias")):
            tensors[name] = tensors[name] * gates[group.name].to(tensors[name])
    logits: torch.Tensor = functional_call(module, tensors, (images,))
    return logits


@pytest.mark.benchmark
@pytest.mark.parametrize("keep", [0.5, 0.25, 0.0625])
@pytest.mark.parametrize(("network", "width"), [("vgg19", 0.25), ("resnet18", 0.25), ("vgg19", 1.0)])
def test_cropped_against_gated(network: str, width: float, keep: float, rounds: int, benchmark: Any) -> None:
    """Uniform widths for `keep` of the MACs; other channels in each of eight masks, taken in turn."""
    module, precision, images = made(network, width).train(), preferred_precision(cuda=False), pictures(BATCH)
    groups, stream = channel_groups(module, SIZE), seeding.generator("benchmark", "masks", 0)
    masks = [
        {group.name: torch.rand(group.width, generator=stream).argsort() < group.width * keep**0.5 for group in groups}
        for _ in range(MASKS)
    ]

    def cropped() -> None:
        for gates in masks:
            step(module, lambda gates=gates: cropped_forward(module, groups, gates, images), precision)

    def gated() -> None:
        for gates in masks:
            step(module, lambda gates=gates: gated_forward(module, groups, gates, images), precision)

    info = {"network": network, "width": width, "precision": precision, "batch": BATCH, "macs": keep}
    names = {"what": f"cropped step, {network} × {width:g}", "reference": "gated step, full width"}
    compare(benchmark, cropped, gated, rounds, **names, **info)
