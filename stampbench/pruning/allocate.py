"""The allocation of a budget by scores: never above the budget, and as close below it as the ranking allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from stampbench.errors import BudgetError
from stampbench.pruning.resources.base import Pricing


@dataclass(frozen=True)
class Allocation:
    """The kept channels of each group, bool (width,), their cost, the rest of the budget, and the groups at the floor.

    `used` and `unused` are in the pricing's unit. A group in `floored` keeps as few channels as the floor permits.
    """

    keep: dict[str, Tensor]
    used: int
    unused: int
    floored: list[str]


def allocate(
    scores: Mapping[str, Tensor],
    pricing: Pricing,
    budget: int,
    round_to: int = 1,
    floor: float = 0.0,
    most: Mapping[str, int] | None = None,
) -> Allocation:
    """Keep the best-scored channels of all groups together while their cost fits `budget`, in the pricing's unit.

    `scores` holds a finite float (width,) per group; the highest are kept; ties go to the earlier group and channel.
    Widths are multiples of `round_to`, or the dense width. Every group keeps at least one channel and the share
    `floor`, rounded up to such a width, and at most as many as `most` says, where it is given: an earlier allocation's
    widths. The unused budget is less than the next `round_to` channels in rank would cost, if there are any.

    Raises `BudgetError` if even the floors exceed the budget, ValueError for missing, misshapen or non-finite scores.
    """
    _validate(scores, pricing.widths)
    names, largest = list(pricing.widths), most or pricing.widths
    owner = torch.cat([torch.full((pricing.widths[name],), index) for index, name in enumerate(names)])
    ranked = owner[torch.cat([scores[name].double().cpu() for name in names]).argsort(descending=True, stable=True)]
    smallest = least_widths(pricing.widths, round_to, floor)

    def widths_of(count: int) -> dict[str, int]:
        chosen = torch.bincount(ranked[:count], minlength=len(names)).tolist()
        return {
            name: min(largest[name], max(smallest[name], _rounded_down(n, pricing.widths[name], round_to)))
            for name, n in zip(names, chosen, strict=True)
        }

    refuse_least_above(budget, pricing, round_to, floor)
    widths = widths_of(_largest(lambda count: pricing.cost(widths_of(count)) <= budget, len(ranked)))
    keep = {name: _best(scores[name], width) for name, width in widths.items()}
    used = pricing.cost(widths)
    floored = [name for name in names if widths[name] == smallest[name] < pricing.widths[name]]
    return Allocation(keep, used, budget - used, floored)


def least_widths(widths: Mapping[str, int], round_to: int, floor: float) -> dict[str, int]:
    """Return the least width of each group: a channel or the share `floor`, rounded up to a multiple of `round_to`."""
    return {name: _rounded_up(max(1, math.ceil(floor * width)), width, round_to) for name, width in widths.items()}


def refuse_least_above(budget: int, pricing: Pricing, round_to: int, floor: float) -> None:
    """Raise `BudgetError` if the network of least widths costs more than `budget`, in the pricing's unit."""
    least = pricing.cost(least_widths(pricing.widths, round_to, floor))
    if least > budget:
        raise BudgetError(
            f"the smallest network that keeps every group alive needs {least:,} {pricing.label}, which is "
            f"{least / pricing.cost():.1%} of the dense network's; the budget is {budget:,}: raise the budget, or "
            "lower round_to or the floor"
        )


def allocate_weights(scores: Mapping[str, Tensor], keep: float, uniform: bool = False) -> dict[str, Tensor]:
    """Return bool masks that keep exactly ⌊keep × weights⌋ weights: the best-scored of all parameters together.

    With `uniform`, weights are ranked within their parameter. Ties go to the earlier parameter and weight.
    """
    flat = {name: score.flatten() for name, score in scores.items()}
    ranked = torch.cat(list((fractional_ranks(flat) if uniform else flat).values()))
    kept = torch.zeros(len(ranked), dtype=torch.bool)
    kept[_top(ranked, math.floor(keep * len(ranked)))] = True
    parts = kept.split([len(score) for score in flat.values()])
    return {name: part.view(score.shape) for (name, score), part in zip(scores.items(), parts, strict=True)}


def fractional_ranks(scores: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return each channel's rank within its group as a fraction, best = 1; ranked globally, they prune uniformly."""
    ranks = {}
    for name, score in scores.items():
        order = score.argsort(descending=True, stable=True)
        rank = torch.empty(len(score), dtype=torch.float64)
        rank[order.cpu()] = 1 - torch.arange(len(score), dtype=torch.float64) / len(score)
        ranks[name] = rank
    return ranks


def _largest(fits: Callable[[int], bool], most: int) -> int:
    """Return the largest count in [0, most] that fits, for a predicate that is monotone and holds at 0."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _rounded_down(count: int, width: int, round_to: int) -> int:
    return count if count == width else count // round_to * round_to


def _rounded_up(count: int, width: int, round_to: int) -> int:
    return min(width, -(-count // round_to) * round_to)


def _top(values: Tensor, count: int) -> Tensor:
    """Return the indices of the `count` largest values; ties go to the earlier. A threshold is cheaper than a sort."""
    if count == 0:
        return torch.empty(0, dtype=torch.int64)
    threshold = values.kthvalue(len(values) - count + 1).values
    above = (values > threshold).nonzero().flatten()
    ties = (values == threshold).nonzero().flatten()
    return torch.cat([above, ties[: count - len(above)]])


def _best(score: Tensor, count: int) -> Tensor:
    keep = torch.zeros(len(score), dtype=torch.bool)
    keep[score.cpu().argsort(descending=True, stable=True)[:count]] = True
    return keep


def _validate(scores: Mapping[str, Tensor], widths: Mapping[str, int]) -> None:
    if scores.keys() != widths.keys():
        raise ValueError(f"scores are for groups {sorted(scores)}, the network has {sorted(widths)}")
    for name, score in scores.items():
        if score.shape != (widths[name],):
            raise ValueError(f"group {name!r} has {widths[name]} channels, its scores have shape {tuple(score.shape)}")
        if not torch.isfinite(score).all():
            raise ValueError(f"group {name!r} has scores that are not finite")
