"""Networks by name, and their initial weights, all from generators that the caller names."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from stampbench import registry
from stampbench.errors import NetworkError
from stampbench.networks.contract import Factory, Network


def build(name: str, classes: int, width: float, widths: Mapping[str, int] | None = None) -> Network:
    """Return a network on the CPU with undefined weights: call `initialise`, or load a state dict.

    Raises `NetworkError` if the factory of that name fails or makes no `Network`, KeyError if it misses a width.
    """
    factory: Factory = registry.NETWORKS.load(name)
    try:
        with torch.device("meta"):
            network = factory(classes, width, widths)
    except KeyError:  # a group without a width, which the caller explains
        raise
    except Exception as error:
        called = f"{name!r} was called with classes={classes}, width={width:g} and widths={widths and dict(widths)}"
        raise NetworkError(f"network {called}, and raised {type(error).__name__}: {error}") from error
    if not isinstance(network, Network):
        raise NetworkError(
            f"network {name!r} is a {type(network).__name__}; derive it from stampbench.networks.contract.Network"
        )
    return network.to_empty(device="cpu")


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """Move the network to the device, with its weights channels last, and return it."""
    return network.to(device).to(memory_format=torch.channels_last)


def initialise(network: nn.Module, body: torch.Generator, head: torch.Generator) -> None:
    """Give a `Network` its initial weights, as it says itself, and its head those of `initialise_head`."""
    assert isinstance(network, Network)
    network.initialise_body(body)
    initialise_head(network, head)


def initialise_head(network: nn.Module, generator: torch.Generator) -> None:
    """Draw the weights of the classifier `network.head` from N(0, 0.01²); biases are 0, as in the VGG papers' code."""
    head = network.get_submodule("head")
    assert isinstance(head, nn.Linear)
    nn.init.normal_(head.weight, std=0.01, generator=generator)
    nn.init.zeros_(head.bias)
