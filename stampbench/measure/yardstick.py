"""A fixed piece of work, in torch alone, whose duration shows how fast this machine is at the moment."""

from __future__ import annotations

import time

import torch
from torch import nn

from stampbench.measure.phases import synchronize

BATCH, CHANNELS, SIZE, LAYERS, ROUNDS = 64, 32, 16, 4, 5


def yardstick(device: torch.device) -> list[float]:
    """Return the seconds of five training steps of four 3×3 convolutions with batch norm, fp32, after an untimed one.

    No random number is drawn. The work must never change, so that times in units of it can be compared between runs.
    """
    with torch.device("meta"):
        pairs = [(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1), nn.BatchNorm2d(CHANNELS)) for _ in range(LAYERS)]
    network = nn.Sequential(*(layer for pair in pairs for layer in pair)).to_empty(device=device)
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            tensor.fill_(1)
    images = torch.linspace(-1, 1, BATCH * CHANNELS * SIZE * SIZE, device=device).view(BATCH, CHANNELS, SIZE, SIZE)
    return [_seconds(network, images, device) for _ in range(ROUNDS + 1)][1:]


def _seconds(network: nn.Module, images: torch.Tensor, device: torch.device) -> float:
    synchronize(device)
    start = time.perf_counter()
    network.zero_grad(set_to_none=True)
    network(images).square().mean().backward()
    synchronize(device)
    return time.perf_counter() - start
