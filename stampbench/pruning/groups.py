"""Channel groups: the channels that must be removed together, found by torch-pruning's dependency graph."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch_pruning as tp
from torch import nn

from stampbench.errors import NetworkError

RELUS = ("ReluBackward0", "HardtanhBackward0")


@dataclass(frozen=True)
class Group:
    """Coupled channels, by module name. `name` is the first producer's, in the network's order.

    Producers are convolutions whose outputs carry the channels, depthwise the convolutions that filter each of them
    alone, norms the batch norms behind both, consumers the convolutions and linear layers that read the channels.
    `gated` are the norms whose outputs leave the group, not only through its depthwise convolutions: zeroed there, a
    channel is gone. `rectified` tells that a ReLU follows each of them, so that a gate of zero has no gradient.
    """

    name: str
    width: int
    producers: tuple[str, ...]
    depthwise: tuple[str, ...]
    norms: tuple[str, ...]
    consumers: tuple[str, ...]
    gated: tuple[str, ...]
    rectified: bool


def module_key(name: str) -> str:
    """Return a module's name as a key of `nn.ModuleDict`, which allows no dots."""
    return name.replace(".", "/")


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
    """Return an image of zeros (1, 3, size, size), of the network's dtype and device."""
    like = next(network.parameters())
    return torch.zeros(1, 3, input_size, input_size, dtype=like.dtype, device=like.device)


def is_depthwise(module: nn.Module) -> bool:
    """Return whether a module filters every channel alone; a convolution of one channel counts as a plain one."""
    return isinstance(module, nn.Conv2d) and 1 < module.groups == module.in_channels == module.out_channels


def classifier_of(network: nn.Module) -> nn.Linear:
    """Return `network.head` or, without one, the only linear layer. Raises `NetworkError` where there is neither."""
    linear = [module for module in network.modules() if type(module) is nn.Linear]
    head = getattr(network, "head", linear[0] if len(linear) == 1 else None)
    if type(head) is not nn.Linear:
        raise NetworkError("it has no linear classifier named 'head'")
    return head


def channel_groups(network: nn.Module, input_size: int) -> tuple[Group, ...]:
    """Return the prunable groups in the network's order; the classifier's outputs are not among them.

    Raises `NetworkError` where channels couple in a way that is not understood.
    """
    names = {module: name for name, module in network.named_modules()}
    order = {name: position for position, name in enumerate(names.values())}
    with evaluation_mode(network):
        graph = dependency_graph(network, input_size)
        found = graph.get_all_groups(ignored_layers=[classifier_of(network)])
        groups = [_group(graph, group, names, order) for group in found]
    return tuple(sorted(groups, key=lambda group: order[group.name]))


def _group(
    graph: tp.DependencyGraph, found: tp.dependency.Group, names: dict[nn.Module, str], order: dict[str, int]
) -> Group:
    members: dict[str, set[nn.Module]] = {"producers": set(), "depthwise": set(), "norms": set(), "consumers": set()}
    for dependency, _ in found:
        module, prune = dependency.target.module, dependency.handler
        if is_depthwise(module):
            members["depthwise"].add(module)
        elif prune == tp.prune_conv_out_channels:
            members["producers"].add(module)
        elif prune == tp.prune_batchnorm_out_channels:
            members["norms"].add(module)
        elif prune in (tp.prune_conv_in_channels, tp.prune_linear_in_channels):
            members["consumers"].add(module)
    ways = {module: _ways_out(graph.module2node[module]) for module in members["norms"]}
    members["gated"] = {module for module, way in ways.items() if way}
    named = {role: tuple(sorted((names[m] for m in found), key=order.__getitem__)) for role, found in members.items()}
    group = Group(
        name=named["producers"][0] if named["producers"] else "",
        width=len(found[0].idxs),
        rectified=all(all(way) for way in ways.values()),
        **named,
    )
    _refuse_other_couplings(graph, group, {names[module]: module for module in names})
    return group


def _refuse_other_couplings(graph: tp.DependencyGraph, group: Group, modules: dict[str, nn.Module]) -> None:
    if not group.producers:
        raise NetworkError(f"the depthwise convolution {group.depthwise[0]!r} reads no channels that could be pruned")
    for name in group.producers + group.depthwise:
        if not all(isinstance(after.module, nn.BatchNorm2d) for after in graph.module2node[modules[name]].outputs):
            raise NetworkError(f"the convolution {name!r} has no batch norm right behind it")
    for name in group.consumers:
        module = modules[name]
        inputs = module.in_channels if isinstance(module, nn.Conv2d) else module.in_features
        if inputs != group.width:
            raise NetworkError(
                f"{name!r} reads {inputs} values, but the group {group.name!r} has {group.width} channels: "
                "concatenation, splitting and flattening before global pooling are not understood"
            )


def _ways_out(norm: tp.dependency.Node) -> set[bool]:
    """Return, of every way from a batch norm to a consumer, whether there is a ReLU on it.

    Ways through another batch norm or a depthwise convolution, which belong to the same group, are left out.
    """
    ways: set[bool] = set()
    seen, waiting = set(), [(node, False) for node in norm.outputs]
    while waiting:
        node, rectified = waiting.pop()
        if (node, rectified) in seen or isinstance(node.module, nn.BatchNorm2d) or is_depthwise(node.module):
            continue
        seen.add((node, rectified))
        if isinstance(node.module, nn.Conv2d | nn.Linear):
            ways.add(rectified)
        else:
            rectified = rectified or node.grad_fn.name() in RELUS
            waiting += [(after, rectified) for after in node.outputs]
    return ways
