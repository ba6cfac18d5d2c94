"""Masks that leave the network's shape alone: gates on channels, and masks on weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from stampbench.pruning.groups import Group


@contextmanager
def channel_gates(network: nn.Module, groups: Sequence[Group], gates: Mapping[str, Tensor]) -> Iterator[None]:
    """Multiplies the channels of every group by its gate (width,), after batch norm and before ReLU, at every producer.

    Where depthwise convolutions follow a producer, the gate is behind the last of them. Zeroed gates make the network
    compute what it would without these channels. Gates may require gradients.
    """
    handles = []
    for group in groups:
        for name in group.gated:

            def multiply(_m: nn.Module, _i: object, output: Tensor, gate: Tensor = gates[group.name]) -> Tensor:
                return output * gate.view(1, -1, 1, 1).to(output.dtype)

            handles.append(network.get_submodule(name).register_forward_hook(multiply))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def unit_gates(network: nn.Module, groups: Sequence[Group]) -> dict[str, Tensor]:
    """Return a gate of ones (width,) for every group, requiring gradients, of the network's dtype and device."""
    like = next(network.parameters())
    return {g.name: torch.ones(g.width, dtype=like.dtype, device=like.device, requires_grad=True) for g in groups}


def prunable_weights(network: nn.Module) -> dict[str, Tensor]:
    """Return the weights of convolutions and linear layers, by name; biases and batch norms are never pruned."""
    layers = ((n, m) for n, m in network.named_modules() if isinstance(m, nn.Conv2d | nn.Linear))
    return {f"{name}.weight": module.weight for name, module in layers}


@torch.no_grad()
def apply_weight_masks(
    network: nn.Module, masks: Mapping[str, Tensor], optimizer: torch.optim.Optimizer | None = None
) -> None:
    """Zeroes masked weights in place and, with an optimiser, their momentum, which would revive them."""
    for name, mask in masks.items():
        parameter = network.get_parameter(name)
        parameter.mul_(mask)
        momentum = optimizer.state[parameter].get("momentum_buffer") if optimizer else None
        if momentum is not None:
            momentum.mul_(mask)
