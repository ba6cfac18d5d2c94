"""Masks that meet a budget and pass gradients, by a priced threshold (docs/design.md, section 7)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from stampbench.pruning.allocate import allocate
from stampbench.pruning.resources.base import Pricing, RelaxedPricing, limit_at

BISECTIONS = 60


@dataclass(frozen=True)
class SoftCost:
    """The cost of soft masks (channels,); the sum of a mask over a group is the width that is priced."""

    pricing: RelaxedPricing
    owner: Tensor

    @classmethod
    def of(cls, pricing: Pricing, device: torch.device | str = "cpu") -> SoftCost:
        """Return the soft cost under a pricing; `owner` is the index of every channel's group."""
        owner = [index for index, width in enumerate(pricing.widths.values()) for _ in range(width)]
        return cls(pricing.relaxed(device), torch.tensor(owner, device=device))

    @property
    def groups(self) -> int:
        """The number of groups."""
        return int(self.owner.max()) + 1

    def widths(self, mask: Tensor) -> Tensor:
        """Return the sum of a mask (channels,) over each group, float64 (groups,)."""
        return torch.zeros(self.groups, dtype=torch.float64, device=mask.device).index_add(0, self.owner, mask.double())


class PricedThreshold(torch.autograd.Function):
    """The threshold τ(l) at which m = σ((l - τ) / T) costs the budget; ∂τ/∂l_i = c_i m'_i / Σ_j c_j m'_j."""

    @staticmethod
    def forward(ctx, logits: Tensor, cost: SoftCost, budget: float, temperature: float) -> Tensor:  # type: ignore[no-untyped-def, override]
        """Bisect on τ: the soft cost falls as τ rises."""
        values = logits.detach().double()
        low, high = values.min() - 40 * temperature, values.max() + 40 * temperature
        for _ in range(BISECTIONS):
            middle = (low + high) / 2
            above = cost.pricing.cost(cost.widths(torch.sigmoid((values - middle) / temperature))) > budget
            low, high = torch.where(above, middle, low), torch.where(above, high, middle)
        threshold = (low + high) / 2
        mask = torch.sigmoid((values - threshold) / temperature)
        marginal = cost.pricing.prices(cost.widths(mask))[cost.owner] * mask * (1 - mask)
        ctx.save_for_backward((marginal / marginal.sum().clamp_min(torch.finfo(marginal.dtype).tiny)).to(logits.dtype))
        return threshold.to(logits.dtype)

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx, gradient: Tensor):  # type: ignore[no-untyped-def, override]
        """Apply the implicit function theorem to cost(l, τ) = budget."""
        (share,) = ctx.saved_tensors
        return gradient * share, None, None, None


def soft_mask(logits: Tensor, cost: SoftCost, budget: float, temperature: float) -> Tensor:
    """Return m = σ((l - τ) / T), (channels,), which costs `budget`; gradients hold every channel's price through τ."""
    threshold = PricedThreshold.apply(logits, cost, budget, temperature)
    return torch.sigmoid((logits - threshold) / temperature)


def relaxed_mask(
    logits: Mapping[str, Tensor], pricing: Pricing, soft: SoftCost, keep: float, temperature: float, floor: float
) -> dict[str, Tensor]:
    """Return a 0/1 gate (width,) for every group within the budget, whose gradient is the soft mask's."""
    fixed = {name: logit.detach() for name, logit in logits.items()}
    hard = allocate(fixed, pricing, limit_at(keep, pricing), floor=floor).keep
    flat = soft_mask(torch.cat([logits[name] for name in pricing.widths]), soft, keep * pricing.cost(), temperature)
    parts = flat.split(list(pricing.widths.values()))
    # The straight-through estimator uses the hard gates forward and the soft ones backward.
    return {name: hard[name].to(part) + part - part.detach() for name, part in zip(pricing.widths, parts, strict=True)}


def logistic_noise(logits: Mapping[str, Tensor], scale: float, stream: torch.Generator) -> dict[str, Tensor]:
    """Return logits plus `scale` × a standard logistic draw each, which is the difference of two Gumbel draws."""
    noisy = {}
    for name, logit in logits.items():
        uniform = torch.rand(logit.shape, generator=stream).clamp(1e-6, 1 - 1e-6).to(logit)
        noisy[name] = logit + scale * torch.logit(uniform)
    return noisy
