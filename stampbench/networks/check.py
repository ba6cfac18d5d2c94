"""Refuses, by name, a network that breaks the contract of `stampbench.networks.contract`."""

from __future__ import annotations

import math
from functools import cache
from itertools import chain

import torch
from torch import Tensor, nn

from stampbench.errors import NetworkError
from stampbench.networks.contract import UNDERSTOOD, Network
from stampbench.networks.initial import build, initialise
from stampbench.pruning.compact import compact, widths_of
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import Group, channel_groups, is_depthwise
from stampbench.pruning.masks import channel_gates

CLASSES = 2
# What rounding may change an output by, as a share of the largest.
TOLERANCE = 1e-4


@cache
def checked(name: str, width: float, input_size: int) -> tuple[Network, tuple[Group, ...]]:
    """Return the network of that name, without weights ("meta" device), and its groups, if it keeps the contract.

    Raises `NetworkError` otherwise. A process checks each network once.
    """
    network = build(name, CLASSES, width)
    try:
        refuse_unknown_modules(network)
        _initialise(network)
        groups = channel_groups(network, input_size)
        if not groups:
            raise NetworkError("it has no convolution whose channels could be pruned")
        CostModel.of(network, groups, input_size)
        _compare_with_compact(name, network, groups, input_size)
    except NetworkError as error:
        raise NetworkError(f"network {name!r} cannot be used: {error}; see stampbench/networks/contract.py") from error
    return network.to("meta"), groups


def refuse_unknown_modules(network: nn.Module) -> None:
    """Raise `NetworkError` for the first module that is not understood, and for a missing `head`."""
    if type(getattr(network, "head", None)) is not nn.Linear:
        raise NetworkError("it has no linear classifier named 'head'")
    for path, module in network.named_modules():
        if path != "head" and (why := _not_understood(module)):
            raise NetworkError(f"the {type(module).__name__} {path!r} {why}" if path else f"it {why}")


def _not_understood(module: nn.Module) -> str | None:
    known = f"{', '.join(kind.__name__ for kind in UNDERSTOOD)} and a Linear named 'head'"
    if type(module) is nn.Conv2d and module.groups != 1 and not is_depthwise(module):
        return f"has groups={module.groups}, so it is neither plain nor depthwise"
    if type(module) is nn.BatchNorm2d and not (module.affine and module.track_running_stats):
        return "lacks scale and shift, or running statistics"
    if type(module) in UNDERSTOOD:
        return None
    if type(module) is not nn.Sequential and not list(module.children()):
        return f"is not understood; understood are {known}"
    for name, _ in chain(module.named_parameters(recurse=False), module.named_buffers(recurse=False)):
        return f"holds {name!r} itself, while tensors may belong to {known} alone"
    return None


def _initialise(network: Network) -> None:
    """Initialise, refuse what stays undefined, then make every batch norm and bias matter to the output."""
    state = network.state_dict()
    for tensor in state.values():
        tensor.fill_(math.nan if tensor.is_floating_point() else 0)
    stream = torch.Generator().manual_seed(0)
    initialise(network, stream, stream)
    undefined = [name for name, tensor in state.items() if not tensor.isfinite().all()]
    if undefined:
        raise NetworkError(f"its `initialise_body` leaves {undefined[0]!r} undefined")
    for name, tensor in state.items():
        if tensor.dim() == 1 or name == "head.weight":
            tensor.uniform_(0.5, 1.5, generator=stream)


@torch.no_grad()
def _compare_with_compact(name: str, network: Network, groups: tuple[Group, ...], input_size: int) -> None:
    """Remove every other channel: the output must be that of gates, and the factory must build what is left."""
    keep = {group.name: torch.arange(group.width) % 2 == 0 for group in groups}
    small = compact(network, groups, keep, input_size).eval()
    images = torch.randn(2, 3, input_size, input_size, generator=torch.Generator().manual_seed(1))
    with channel_gates(network.eval(), groups, {group: kept.float() for group, kept in keep.items()}):
        gated: Tensor = network(images)
    difference = float((small(images) - gated).abs().max() / gated.abs().max())
    if not difference <= TOLERANCE:
        raise NetworkError(
            f"its output changes by {difference:.1%} when channels that are gated to zero are removed: something "
            "between a batch norm and the next convolution mixes channels, or does not map zero to zero"
        )
    widths = widths_of(keep)
    try:
        rebuilt = build(name, CLASSES, 1.0, widths)
    except KeyError as error:
        raise NetworkError(f"its factory asks for the width of {error}; its groups are {', '.join(widths)}") from error
    shapes, expected = ({n: t.shape for n, t in made.state_dict().items()} for made in (rebuilt, small))
    if shapes != expected:
        wrong = next(n for n in {**expected, **shapes} if expected.get(n) != shapes.get(n))
        raise NetworkError(
            f"its factory does not keep to `widths`: {wrong!r} is {shapes.get(wrong)}, not {expected.get(wrong)}"
        )
