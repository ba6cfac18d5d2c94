"""Named tensors of a checkpoint: the parts under a prefix, and the moments that an optimiser gathers."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names start with a prefix, named without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def moments(optimizer: torch.optim.Optimizer, prefix: str) -> dict[str, Tensor]:
    """Return the optimiser's moments, named "<prefix>.<index of the parameter>.<moment>"."""
    state = optimizer.state_dict()["state"]
    return {f"{prefix}.{index}.{key}": value for index, found in state.items() for key, value in found.items()}


def restore_moments(optimizer: torch.optim.Optimizer, prefix: str, saved: Mapping[str, Tensor]) -> None:
    """Put back the moments of an optimiser of one parameter group; tensors of other names are passed over."""
    parameters = optimizer.param_groups[0]["params"]
    found: dict[int, dict[str, Tensor]] = {}
    for path, value in saved.items():
        if path.startswith(f"{prefix}."):
            _, index, key = path.split(".")
            like = parameters[int(index)]
            # A fused step ignores strides, so moments must have the memory layout of their parameter.
            placed = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            found.setdefault(int(index), {})[key] = placed
    optimizer.load_state_dict(optimizer.state_dict() | {"state": found})
