"""The contract of networks. One file holds a network, and a line in `stampbench.registry` names its factory.

- The factory takes `classes`, `width` and `widths`. Without `widths`, every width is its paper's times `width`. With
  them, `widths[group]` is the width of every channel group, by the name that `stampbench.pruning.groups` gives it: that
  of its first producing convolution.
- Leaf modules are those of `UNDERSTOOD`, of exactly these classes, and one linear classifier named `head`. Parameters
  and buffers belong to them alone. Dropout is not among them, as it draws from the global random state.
- A convolution is plain (`groups=1`) or depthwise (`groups` = inputs = outputs), and a batch norm with scale, shift and
  running statistics follows it at once. Each runs once in a forward pass.
- Channels couple by residual additions and depthwise convolutions. Concatenation and splitting are not understood.
  What lies between a batch norm and the next convolution maps every channel to itself, and zero to zero. Before `head`,
  global pooling leaves one value a channel.

`stampbench.networks.check` refuses whatever breaks this, by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, Protocol

import torch
from torch import nn

UNDERSTOOD: tuple[type[nn.Module], ...] = (
    nn.Conv2d,
    nn.BatchNorm2d,
    nn.ReLU,
    nn.ReLU6,
    nn.Identity,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.Flatten,
)


class Network(nn.Module):
    """Base of every network: normalised images (N, 3, H, W) to logits (N, classes)."""

    head: nn.Linear

    def initialise_body(self, stream: torch.Generator) -> None:
        """Give every parameter but the head's its initial value, and every batch norm fresh statistics.

        By default, convolutions are Kaiming-normal (fan-out, ReLU: He et al., arXiv 1502.01852, eq. 14), drawn in the
        order of the modules; a channel of a depthwise one fans out to itself alone. Biases are 0 and batch norms
        neutral. All random numbers come from `stream`.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # Of a depthwise weight (C, 1, k, k) torch takes C k² as fan-out, and as fan-in the k² that are meant.
                mode: Literal["fan_in", "fan_out"] = "fan_out" if module.groups == 1 else "fan_in"
                nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu", generator=stream)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.BatchNorm2d):
                module.reset_running_stats()
                nn.init.ones_(module.weight)
                nn.init.zeros_(module.bias)


class Factory(Protocol):
    """A function, or a class, that makes a network: the registry names it."""

    def __call__(self, classes: int, width: float, widths: Mapping[str, int] | None = None) -> Network:
        """Return a network; it may be built on any device, "meta" too. Raises KeyError if a group has no width."""
        ...


def scaled(base: int, width: float) -> int:
    """Return a width under the multiplier, at least one channel."""
    return max(1, round(base * width))
