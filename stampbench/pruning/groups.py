"""Channel groups: the channels that must be removed together, found by torch-pruning's dependency graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch_pruning as tp
from torch import nn


@dataclass(frozen=True)
class Group:
    """Coupled channels, by module name. `name` is the first producer's, in the network's order.

    Producers are convolutions whose outputs carry the channels, norms the batch norms behind them, consumers the
    convolutions and linear layers that read them.
    """

    name: str
    width: int
    producers: tuple[str, ...]
    norms: tuple[str, ...]
    consumers: tuple[str, ...]


@contextmanager
def evaluation_mode(network: nn.Module) -> Iterator[None]:
    """Eval mode inside, every module's own mode restored after."""
    modes = {module: module.training for module in network.modules()}
    network.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def dependency_graph(network: nn.Module, input_size: int) -> tp.DependencyGraph:
    """torch-pruning's graph of a network, which is left in eval mode by the library: callers restore the mode."""
    with torch.enable_grad():
        return tp.DependencyGraph().build_dependency(network, example_inputs=blank_image(network, input_size))


def blank_image(network: nn.Module, input_size: int) -> torch.Tensor:
    """An image of zeros (1, 3, size, size), of the network's dtype and device."""
    like = next(network.parameters())
    return torch.zeros(1, 3, input_size, input_size, dtype=like.dtype, device=like.device)


def channel_groups(network: nn.Module, input_size: int) -> tuple[Group, ...]:
    """The network's prunable groups in its own order; the classifier's outputs are not among them."""
    names = {module: name for name, module in network.named_modules()}
    order = {name: position for position, name in enumerate(names.values())}
    with evaluation_mode(network):
        graph = dependency_graph(network, input_size)
        found = graph.get_all_groups(ignored_layers=[network.get_submodule("head")])
        groups = [_group(network, group, names, order) for group in found]
    return tuple(sorted(groups, key=lambda group: order[group.name]))


def _group(network: nn.Module, found: tp.dependency.Group, names: dict[nn.Module, str], order: dict[str, int]) -> Group:
    producers, norms, consumers = set(), set(), set()
    for dependency, _ in found:
        module, prune = dependency.target.module, dependency.handler
        if prune == tp.prune_conv_out_channels:
            producers.add(names[module])
        elif prune == tp.prune_batchnorm_out_channels:
            norms.add(names[module])
        elif prune in (tp.prune_conv_in_channels, tp.prune_linear_in_channels):
            consumers.add(names[module])
    ordered = [tuple(sorted(kind, key=order.__getitem__)) for kind in (producers, norms, consumers)]
    first = network.get_submodule(ordered[0][0])
    assert isinstance(first, nn.Conv2d)
    return Group(names[first], first.out_channels, *ordered)
