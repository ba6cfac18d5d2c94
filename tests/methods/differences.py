"""Central differences in float64: the oracle of every gradient-based score."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.pruning.strategies import lively


def derivative(function: Callable[[], float], tensor: Tensor, index: tuple[int, ...], step: float = 1e-5) -> float:
    """∂function/∂tensor[index], by moving that entry in place; error O(step²)."""
    original, values = tensor[index].item(), []
    for sign in (1, -1):
        with torch.no_grad():
            tensor[index] = original + sign * step
        values.append(function())
    with torch.no_grad():
        tensor[index] = original
    return (values[0] - values[1]) / (2 * step)


def calm(name: str) -> nn.Module:
    """A lively network in float64 whose logits are small, so that its loss is smooth on the scale of a step."""
    network = lively(name).double()
    with torch.no_grad():
        network.head.weight.mul_(0.02)
    return network


def some_indices(tensor: Tensor, count: int, seed: int = 0) -> list[tuple[int, ...]]:
    """A few random positions."""
    stream = torch.Generator().manual_seed(seed)
    flat = torch.randint(tensor.numel(), (count,), generator=stream)
    return [tuple(int(i) for i in torch.unravel_index(position, tensor.shape)) for position in flat]
