"""A sub-network run on slices of the dense network's tensors: it costs what it keeps, and gradients reach the dense."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call

from stampbench.pruning.groups import Group

STATISTICS = ("running_mean", "running_var")
# Slices are filled up to multiples of this with silenced channels: every new shape has its kernels made anew, and odd
# ones are slow.
STEP = 16


def cropped_forward(network: nn.Module, groups: Sequence[Group], gates: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Logits of the network without the channels of gate zero; gates are (width,) for every group, bool or float.

    Equals the gated network's, and so do all gradients, those of gates included: a channel gated to zero before its
    ReLU has none. Where no ReLU follows, it has one, so gates that require gradients leave such groups whole. In train
    mode batch norm's running statistics of kept channels move alike.
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    sliced = {group.name: _sliced(group, gates[group.name]) for group in groups}
    for group in groups:
        _crop(tensors, group, sliced[group.name], gates[group.name])
    with _narrowed(network, groups, sliced):
        logits: Tensor = functional_call(network, tensors, (images,))
    if network.training:
        _write_statistics(network, groups, sliced, tensors)
    return logits


def _sliced(group: Group, gate: Tensor) -> Tensor:
    """Return the indices of the kept channels, and of the first others up to a multiple of `STEP`, ascending."""
    keep = gate != 0 if group.rectified or not gate.requires_grad else torch.ones_like(gate, dtype=torch.bool)
    count = min(len(keep), -(-int(keep.sum()) // STEP) * STEP)
    return keep.to(torch.int8).argsort(descending=True, stable=True)[:count].sort().values


def _crop(tensors: dict[str, Tensor], group: Group, sliced: Tensor, gate: Tensor) -> None:
    written = [f"{name}.{part}" for name in group.producers + group.depthwise for part in ("weight", "bias")]
    written += [f"{name}.{part}" for name in group.norms for part in ("weight", "bias", *STATISTICS)]
    for name in written:
        if name in tensors:
            tensors[name] = tensors[name].index_select(0, sliced)
    # The gate of a norm's output is a factor of its scale and shift; it silences what only fills up.
    for name in (f"{norm}.{part}" for norm in group.gated for part in ("weight", "bias")):
        tensors[name] = tensors[name] * gate[sliced].to(tensors[name])
    for name in group.consumers:
        tensors[f"{name}.weight"] = tensors[f"{name}.weight"].index_select(1, sliced)


@contextmanager
def _narrowed(network: nn.Module, groups: Sequence[Group], sliced: Mapping[str, Tensor]) -> Iterator[None]:
    """Depthwise convolutions have as many groups inside as their weights have filters: the call swaps tensors alone."""
    convolutions = [(network.get_submodule(name), group) for group in groups for name in group.depthwise]
    for module, group in convolutions:
        module.groups = len(sliced[group.name])  # type: ignore[assignment]
    try:
        yield
    finally:
        for module, group in convolutions:
            module.groups = group.width  # type: ignore[assignment]


@torch.no_grad()
def _write_statistics(
    network: nn.Module, groups: Sequence[Group], sliced: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> None:
    for group in groups:
        for name in (f"{norm}.{part}" for norm in group.norms for part in STATISTICS):
            network.get_buffer(name).index_copy_(0, sliced[group.name], tensors[name])
