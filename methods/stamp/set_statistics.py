"""Features of a set's images in the reference network, and statistics of every channel over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stampbench.pruning.groups import Group, evaluation_mode
from stampbench.pruning.masks import channel_gates, unit_gates
from stampbench.training import autocast

STATISTICS = (
    "mean activation",
    "deviation of activations",
    "class separability",
    "gate gradient",
    "size of the gate gradient",
    "L1 norm",
    "batch norm's scale",
)
L1_NORM = STATISTICS.index("L1 norm")
SMALL = 1e-6


@dataclass(frozen=True)
class SetView:
    """A set as the generator reads it: penultimate features (n, features), labels (n,), and statistics of each group.

    `statistics` are (width, 7); each column has mean 0 and deviation 1 over the group's channels. `levels` (7,) are the
    means of the columns before they were standardised.
    """

    features: Tensor
    labels: Tensor
    statistics: Mapping[str, Tensor]
    levels: Mapping[str, Tensor]


def view_set(
    network: nn.Module, groups: Sequence[Group], images: Tensor, labels: Tensor, precision: str = "fp32"
) -> SetView:
    """View normalised float32 images (n, 3, H, W), n ≥ 1, by one forward and one backward pass in eval mode."""
    gates = unit_gates(network, groups)
    with evaluation_mode(network), channel_gates(network, groups, gates), _recorded(network, groups) as seen:
        with autocast(images.device, precision):
            network(images)
        features = seen.pop("head")
        loss = F.cross_entropy(class_mean_logits(features, labels), labels.unique(return_inverse=True)[1])
        gradients = torch.autograd.grad(loss, list(gates.values()), allow_unused=True)
    statistics, levels = {}, {}
    for group, gradient in zip(groups, gradients, strict=True):
        sensitivity = torch.zeros(group.width, device=images.device) if gradient is None else gradient
        raw = _statistics(network, group, seen[group.name], labels, sensitivity)
        levels[group.name] = raw.mean(0)
        statistics[group.name] = standardise(raw)
    return SetView(features.detach(), labels, statistics, levels)


def class_mean_logits(features: Tensor, labels: Tensor) -> Tensor:
    """Return logits (n, classes present) by distance to class means, in units of the features' total variance."""
    _, index, counts = labels.unique(return_inverse=True, return_counts=True)
    means = features.new_zeros(len(counts), features.shape[1])
    means = means.index_add(0, index, features.detach()) / counts[:, None]
    fixed = features.detach()
    # Below this share of the features' size, variance is rounding, as with a single image.
    least = torch.finfo(fixed.dtype).eps ** 2 * fixed.square().sum(1).mean() + torch.finfo(fixed.dtype).tiny
    variance = (fixed - fixed.mean(0)).square().sum(1).mean().clamp_min(least)
    return -4 * torch.cdist(features, means).square() / variance


def standardise(values: Tensor) -> Tensor:
    """Return the columns with mean 0 and deviation 1 over the first dimension; constant columns become 0."""
    centred = values - values.mean(0)
    return centred / centred.square().mean(0).sqrt().clamp_min(SMALL)


@torch.no_grad()
def _statistics(network: nn.Module, group: Group, pooled: Tensor, labels: Tensor, gradient: Tensor) -> Tensor:
    """Return the statistics (width, 7) before they are standardised; ratios are logarithms, as they span decades."""
    filters = torch.stack([_weight(network, name).abs().sum((1, 2, 3)) for name in group.producers]).sum(0)
    scales = torch.stack([_weight(network, name).abs() for name in group.norms]).sum(0)
    size = gradient.abs() / gradient.abs().mean().clamp_min(SMALL * SMALL)
    columns = [
        _log(pooled.mean(0)),
        _log(pooled.std(0, correction=0)),
        separability(pooled, labels),
        gradient / gradient.abs().mean().clamp_min(SMALL * SMALL),
        (size + 1e-3).log(),
        _log(filters),
        _log(scales),
    ]
    return torch.stack(columns, dim=1)


def separability(values: Tensor, labels: Tensor) -> Tensor:
    """Return the log of between-class over within-class variance (width,) of values (n, width)."""
    _, index, counts = labels.unique(return_inverse=True, return_counts=True)
    means = values.new_zeros(len(counts), values.shape[1]).index_add(0, index, values)
    means = means / counts[:, None]
    within = (values - means[index]).square().mean(0)
    between = (means[index] - values.mean(0)).square().mean(0)
    found: Tensor = ((between + SMALL) / (within + SMALL)).log()
    return found


@contextmanager
def _recorded(network: nn.Module, groups: Sequence[Group]) -> Iterator[dict[str, Tensor]]:
    """Yield each group's activations, pooled over positions (n, width), by its name, and the head's input as "head"."""
    seen: dict[str, Tensor] = {}

    def pool(name: str, output: Tensor) -> None:
        pooled = _widened(F.relu(output)).mean((2, 3)).detach()
        seen[name] = seen[name] + pooled if name in seen else pooled

    def keep_input(_module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen["head"] = _widened(inputs[0])

    handles = [network.get_submodule("head").register_forward_pre_hook(keep_input)]
    for group in groups:
        for norm in group.norms:
            hook = lambda _m, _i, output, name=group.name: pool(name, output)  # noqa: E731
            handles.append(network.get_submodule(norm).register_forward_hook(hook))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


def _widened(values: Tensor) -> Tensor:
    """Return bf16 values as float32, and others unchanged."""
    return values.float() if values.dtype is torch.bfloat16 else values


def _weight(network: nn.Module, name: str) -> Tensor:
    return network.get_parameter(f"{name}.weight")


def _log(values: Tensor) -> Tensor:
    return (values + SMALL).log()
