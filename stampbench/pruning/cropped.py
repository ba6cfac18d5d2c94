"""A sub-network run on slices of the dense network's tensors: it costs what it keeps, and gradients reach the dense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from stampbench.pruning.groups import Group

STATISTICS = ("running_mean", "running_var")


def cropped_forward(network: nn.Module, groups: Sequence[Group], keep: Mapping[str, Tensor], images: Tensor) -> Tensor:
    """Logits of the network without the channels whose bool `keep` (width,) is false, at most all of a group.

    Equals the gated network's, in train mode too: batch norm's running statistics of kept channels move alike.
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    kept = {group.name: keep[group.name].nonzero().flatten() for group in groups}
    for group in groups:
        _crop(tensors, group, kept[group.name])
    logits: Tensor = functional_call(network, tensors, (images,))
    if network.training:
        _write_statistics(network, groups, kept, tensors)
    return logits


def _crop(tensors: dict[str, Tensor], group: Group, kept: Tensor) -> None:
    written = [f"{name}.{part}" for name in group.producers for part in ("weight", "bias")]
    written += [f"{name}.{part}" for name in group.norms for part in ("weight", "bias", *STATISTICS)]
    for name in written:
        if name in tensors:
            tensors[name] = tensors[name].index_select(0, kept)
    for name in group.consumers:
        tensors[f"{name}.weight"] = tensors[f"{name}.weight"].index_select(1, kept)


@torch.no_grad()
def _write_statistics(
    network: nn.Module, groups: Sequence[Group], kept: Mapping[str, Tensor], tensors: Mapping[str, Tensor]
) -> None:
    for group in groups:
        for name in (f"{norm}.{part}" for norm in group.norms for part in STATISTICS):
            network.get_buffer(name).index_copy_(0, kept[group.name], tensors[name])
