"""The prices of channels: what the generator reads of a resource, and made-up resources for meta-training."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from stampbench.pruning.cost import CostModel
from stampbench.pruning.resources.base import Pricing
from stampbench.pruning.resources.polynomial import Polynomial

BISECTIONS = 40
LEAST_SHARE = 1e-6
# Made-up prices: how much layers differ at random, the largest share of what channels cost alone, and the dense cost.
SPREAD, MOST_LINEAR, DENSE_COST = 0.7, 0.6, 1e12


def price_shares(pricing: Pricing, keep: float) -> Tensor:
    """Return each group's share of the price at a budget, as log(groups × share), float64 (groups,).

    A group's price is its width times ∂cost/∂width, at the uniform widths that cost the share `keep` of the dense
    network. It says what the group's channels cost, whatever the resource's unit, and is 0 where all groups cost alike.
    """
    relaxed, dense = pricing.relaxed(), torch.tensor(list(pricing.widths.values()), dtype=torch.float64)
    limit, low, high = keep * relaxed.cost(dense), 0.0, 1.0
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if relaxed.cost(middle * dense) > limit else (middle, high)
    widths = (low + high) / 2 * dense
    prices = (widths * relaxed.prices(widths)).clamp_min(0)
    return (len(dense) * prices / prices.sum()).clamp_min(LEAST_SHARE).log()


def made_up_pricing(cost: CostModel, stream: torch.Generator) -> Polynomial:
    """Return a price list that no device has, in the range of real ones.

    A layer's price is positions^α for each weight, with α from below 0 (parameters) to above 1 (MACs), and a price for
    each channel that it writes, as batch norm and ReLU have, or none; layers differ at random besides.
    """
    chance = torch.rand(2, generator=stream, dtype=torch.float64).tolist()
    exponent, linear = 1.5 * chance[0] - 0.25, max(0.0, 1.25 * chance[1] - 0.25)
    noise = (SPREAD * torch.randn(2, len(cost.layers), generator=stream, dtype=torch.float64)).exp().tolist()
    scale = [layer.positions**exponent for layer in cost.layers]
    products = [layer.kernel * s * n for layer, s, n in zip(cost.layers, scale, noise[0], strict=True)]
    singles = [s * n for s, n in zip(scale, noise[1], strict=True)]
    share = linear * MOST_LINEAR
    terms = [
        *_scaled(products, [(layer.reads, layer.writes) for layer in cost.layers], cost, 1 - share),
        *_scaled(singles, [(1, layer.writes) for layer in cost.layers], cost, share),
    ]
    return Polynomial(tuple(terms), cost.widths, "made-up units")


def _scaled(
    prices: list[float], sides: list[tuple[str | int, str | int]], cost: CostModel, share: float
) -> list[tuple[int, str | int, str | int]]:
    """Return the terms of these prices, scaled to add up to a share of the dense cost."""
    sizes = [math.prod(side if isinstance(side, int) else cost.widths[side] for side in pair) for pair in sides]
    factor = share * DENSE_COST / sum(price * size for price, size in zip(prices, sizes, strict=True))
    return [(round(price * factor), *pair) for price, pair in zip(prices, sides, strict=True)]
