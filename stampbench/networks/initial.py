"""Initial weights, all from generators that the caller names."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from stampbench import registry


def build(name: str, classes: int, width: float, widths: Mapping[str, int] | None = None) -> nn.Module:
    """A network on the CPU with undefined weights: call `initialise`, or load a state dict."""
    factory = registry.NETWORKS.load(name)
    with torch.device("meta"):
        network: nn.Module = factory(classes, width, widths)
    return network.to_empty(device="cpu")


def place(network: nn.Module, device: torch.device) -> nn.Module:
    """The network itself, moved to the device, its weights channels last."""
    return network.to(device).to(memory_format=torch.channels_last)


def initialise(network: nn.Module, body: torch.Generator, head: torch.Generator) -> None:
    """Kaiming-normal (fan-out, ReLU) convolutions, neutral batch norms (He et al., arXiv 1502.01852, eq. 14)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu", generator=body)
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            nn.init.ones_(module.weight)
            nn.init.zeros_(module.bias)
    initialise_head(network, head)


def initialise_head(network: nn.Module, generator: torch.Generator) -> None:
    """The classifier `network.head`: weights from N(0, 0.01²), biases 0, as in the VGG papers' code."""
    head = network.get_submodule("head")
    assert isinstance(head, nn.Linear)
    nn.init.normal_(head.weight, std=0.01, generator=generator)
    nn.init.zeros_(head.bias)
