"""Masks that meet a budget and pass gradients: the priced threshold (DESIGN.md, section 4)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stampbench.measure.cost import CostModel
from stampbench.pruning.allocate import allocate

BISECTIONS = 60


@dataclass(frozen=True)
class SoftCost:
    """MACs as a polynomial in real-valued widths: Σ positions · w_in · w_out over layers."""

    positions: Tensor
    readers: Tensor
    writers: Tensor
    fixed: Tensor
    owner: Tensor

    @classmethod
    def of(cls, cost: CostModel, device: torch.device | str = "cpu") -> SoftCost:
        """The polynomial of a cost model; sides without a group read their width from `fixed`."""
        index = {name: position for position, name in enumerate(cost.widths)}
        fixed: list[int] = []

        def side(group: str | None, width: int) -> int:
            if group is not None:
                return index[group]
            fixed.append(width)
            return len(index) + len(fixed) - 1

        readers = [side(layer.in_group, layer.in_fixed) for layer in cost.layers]
        writers = [side(layer.out_group, layer.out_fixed) for layer in cost.layers]
        positions = [layer.positions for layer in cost.layers]
        owner = [index[name] for name, width in cost.widths.items() for _ in range(width)]
        return cls(
            torch.tensor(positions, dtype=torch.float64, device=device),
            torch.tensor(readers, device=device),
            torch.tensor(writers, device=device),
            torch.tensor(fixed, dtype=torch.float64, device=device),
            torch.tensor(owner, device=device),
        )

    @property
    def groups(self) -> int:
        """How many groups have a width."""
        return int(self.owner.max()) + 1

    def widths(self, mask: Tensor) -> Tensor:
        """Σ of a mask (channels,) over each group, float64 (groups,)."""
        return torch.zeros(self.groups, dtype=torch.float64, device=mask.device).index_add(0, self.owner, mask.double())

    def macs(self, widths: Tensor) -> Tensor:
        """MACs at real widths (groups,)."""
        sides = torch.cat([widths, self.fixed])
        return (self.positions * sides[self.readers] * sides[self.writers]).sum()

    def prices(self, widths: Tensor) -> Tensor:
        """∂MACs/∂w of every group: what one more channel costs, (groups,)."""
        sides = torch.cat([widths, self.fixed])
        price = torch.zeros_like(sides)
        price.index_add_(0, self.readers, self.positions * sides[self.writers])
        price.index_add_(0, self.writers, self.positions * sides[self.readers])
        return price[: self.groups]


class PricedThreshold(torch.autograd.Function):
    """τ(l) at which the soft mask σ((l - τ) / T) has the MACs of the budget; ∂τ/∂l_i = c_i m'_i / Σ_j c_j m'_j."""

    @staticmethod
    def forward(ctx, logits: Tensor, cost: SoftCost, macs: float, temperature: float) -> Tensor:  # type: ignore[no-untyped-def, override]
        """Bisection on τ; the soft MACs fall as τ rises."""
        values = logits.detach().double()
        low, high = values.min() - 40 * temperature, values.max() + 40 * temperature
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            above = cost.macs(cost.widths(torch.sigmoid((values - middle) / temperature))) > macs
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        threshold = (low + high) / 2
        mask = torch.sigmoid((values - threshold) / temperature)
        felt = cost.prices(cost.widths(mask))[cost.owner] * mask * (1 - mask)
        ctx.save_for_backward((felt / felt.sum().clamp_min(torch.finfo(felt.dtype).tiny)).to(logits.dtype))
        return threshold.to(logits.dtype)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def, override]
        """The implicit function theorem on MACs(l, τ) = budget."""
        (share,) = ctx.saved_tensors
        return gradient * share, None, None, None


def soft_mask(logits: Tensor, cost: SoftCost, macs: float, temperature: float) -> Tensor:
    """m = σ((l - τ) / T), (channels,), whose soft MACs are `macs`; gradients feel every channel's price through τ."""
    threshold = PricedThreshold.apply(logits, cost, macs, temperature)
    return torch.sigmoid((logits - threshold) / temperature)


def relaxed_mask(
    logits: Mapping[str, Tensor], cost: CostModel, soft: SoftCost, keep: float, temperature: float, floor: float
) -> dict[str, Tensor]:
    """A 0/1 gate (width,) for every group within the budget, whose gradient is the soft mask's (straight through)."""
    limit = keep * cost.macs()
    hard = allocate({name: logit.detach() for name, logit in logits.items()}, cost, math.floor(limit), floor=floor).keep
    flat = soft_mask(torch.cat([logits[name] for name in cost.widths]), soft, limit, temperature)
    parts = flat.split(list(cost.widths.values()))
    return {name: hard[name].to(part) + part - part.detach() for name, part in zip(cost.widths, parts, strict=True)}


def logistic_noise(logits: Mapping[str, Tensor], scale: float, stream: torch.Generator) -> dict[str, Tensor]:
    """Logits plus `scale` × a standard logistic draw each: the difference of two Gumbel draws."""
    noisy = {}
    for name, logit in logits.items():
        uniform = torch.rand(logit.shape, generator=stream).clamp(1e-6, 1 - 1e-6).to(logit)
        noisy[name] = logit + scale * torch.logit(uniform)
    return noisy
