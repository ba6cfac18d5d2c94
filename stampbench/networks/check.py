"""Refuses, by name, a network that breaks the contract of `stampbench.networks.contract`."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from itertools import chain

import torch
from torch import Tensor, nn

from stampbench.errors import NetworkError, UserError
from stampbench.networks.contract import UNDERSTOOD, Network
from stampbench.networks.initial import build, initialise
from stampbench.pruning.compact import compact, widths_of
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import Group, blank_image, channel_groups, classifier_of, is_depthwise
from stampbench.pruning.masks import channel_gates

CLASSES = 2
# What rounding may change an output by, as a share of the largest.
TOLERANCE = 1e-4


@cache
def checked(name: str, width: float, input_size: int) -> tuple[Network, tuple[Group, ...]]:
    """Return the network of that name, without weights ("meta" device), and its groups, if it keeps the contract.

    Raises `NetworkError` otherwise. A process checks each network once.
    """
    with _explained(f"network {name!r}"):
        try:
            network = build(name, CLASSES, width)
        except KeyError as error:
            raise NetworkError(f"its factory asks for the width of {error}, though no widths were given") from error
        if type(getattr(network, "head", None)) is not nn.Linear:
            raise NetworkError("it has no linear classifier named 'head'")
        refuse_unknown_modules(network)
        _initialise(network)
        groups, small = _understood(network, input_size)
        _refuse_other_widths(name, small, _every_other(groups))
    return network.to("meta"), groups


def checked_module(network: nn.Module, input_size: int) -> tuple[Group, ...]:
    """Return the groups of a network in hand, with its weights, if it keeps the contract but for having a factory.

    Its classifier may have another name than `head` if it is the only linear layer. The network stays as it is. Raises
    `NetworkError` otherwise.
    """
    with _explained(f"the {type(network).__name__}"):
        refuse_unknown_modules(network)
        return _understood(copy.deepcopy(network), input_size)[0]


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Say which network it is that breaks the contract, and where the contract stands."""
    try:
        yield
    except NetworkError as error:
        raise NetworkError(f"{what} cannot be used: {error}; see stampbench/networks/contract.py") from error
    except UserError:  # it was not found, or not imported, and says so
        raise
    except Exception as error:  # whatever the network's own code raises in a forward pass
        said = f"{type(error).__name__}: {error}"
        raise NetworkError(f"{what} cannot be used: {said}; see stampbench/networks/contract.py") from error


def _understood(network: nn.Module, input_size: int) -> tuple[tuple[Group, ...], nn.Module]:
    """Return the groups of a network and the network without every other channel, whose outputs are those of gates."""
    groups = channel_groups(network, input_size)
    if not groups:
        raise NetworkError("it has no convolution whose channels could be pruned")
    CostModel.of(network, groups, input_size)
    return groups, _compared_with_gates(network, groups, input_size)


def refuse_unknown_modules(network: nn.Module) -> None:
    """Raise `NetworkError` for the first module that is not understood, and for a missing classifier."""
    classifier = classifier_of(network)
    for path, module in network.named_modules():
        if module is not classifier and (why := _not_understood(module)):
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


def _every_other(groups: tuple[Group, ...]) -> dict[str, Tensor]:
    return {group.name: torch.arange(group.width) % 2 == 0 for group in groups}


@torch.no_grad()
def _compared_with_gates(network: nn.Module, groups: tuple[Group, ...], input_size: int) -> nn.Module:
    """Return the network without every other channel, in eval mode; refuse it if its output is not that of gates."""
    keep = _every_other(groups)
    small = compact(network, groups, keep, input_size).eval()
    images = torch.randn(2, 3, input_size, input_size, generator=torch.Generator().manual_seed(1))
    images = images.to(blank_image(network, input_size))
    gates = {group: kept.to(images) for group, kept in keep.items()}
    with channel_gates(network.eval(), groups, gates):
        gated: Tensor = network(images)
    difference = float((small(images) - gated).abs().max() / gated.abs().max())
    if not difference <= TOLERANCE:
        raise NetworkError(
            f"its output changes by {difference:.1%} when channels that are gated to zero are removed: something "
            "between a batch norm and the next convolution mixes channels, or does not map zero to zero"
        )
    return small


def _refuse_other_widths(name: str, small: nn.Module, keep: Mapping[str, Tensor]) -> None:
    """Refuse a factory that does not build the widths that are left."""
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
