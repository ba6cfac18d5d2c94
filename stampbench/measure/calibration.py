"""Calibrates a table of layers, so that it predicts the shares of whole networks, timed beside the dense one."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median

import torch
from scipy.optimize import nnls
from torch import Tensor

from stampbench.measure.comparable import share_of_time
from stampbench.pruning.cost import CostModel
from stampbench.pruning.resources.layer_table import NANOSECONDS, LayerTable, TablePricing

# How many networks take turns with the dense one at a time.
TOGETHER = 4
# The relative error of a whole network's measured share, and the deviation of resolutions' factors, as found on VGG-19.
NOISE, SPREAD = 0.045, 0.14
# A network's widths, with the seconds of the dense network's steps and of its own.
Whole = tuple[Mapping[str, int], tuple[Sequence[float], Sequence[float]]]


def random_widths(
    dense: Mapping[str, int], round_to: int, count: int, stream: random.Random
) -> Iterator[dict[str, int]]:
    """Yield random widths: a level for the whole network, and half of it more or less for every group."""
    for _ in range(count):
        level = stream.uniform(0.1, 1)
        shares = {name: min(1.0, level * stream.uniform(0.5, 1.5)) for name in dense}
        rounded = {name: max(1, round(shares[name] * width / round_to)) * round_to for name, width in dense.items()}
        yield {name: min(rounded[name], width) for name, width in dense.items()}


def whole_networks(
    step_at: Callable[[Mapping[str, int]], Callable[[], None]],
    dense: Mapping[str, int],
    drawn: Sequence[Mapping[str, int]],
    timed: Callable[[Sequence[Callable[[], None]]], list[list[float]]],
) -> Iterator[Whole]:
    """Yield widths, with the seconds of the dense network's steps and of theirs, which take turns.

    `step_at` makes the step of a network of given widths, and `timed` times steps in turn.
    """
    first = step_at(dense)
    for begin in range(0, len(drawn), TOGETHER):
        some = drawn[begin : begin + TOGETHER]
        whole, *small = timed([first, *map(step_at, some)])
        yield from ((widths, (whole, taken)) for widths, taken in zip(some, small, strict=True))


def calibrated(table: LayerTable, cost: CostModel, whole: Sequence[Whole]) -> LayerTable:
    """Return the table with its blocks scaled, and with seconds outside them, so that it predicts whole steps.

    One scale is fitted to all blocks, then a factor to those of every resolution, then the scale again.
    """
    factors = resolution_factors(levelled(table, cost, whole), cost, whole)
    return levelled(replace(table, seconds=table.seconds * factors[:, None, None]), cost, whole)


def levelled(table: LayerTable, cost: CostModel, whole: Sequence[Whole]) -> LayerTable:
    """Return the table with one scale for all blocks, and with seconds outside them.

    The share of the dense step that whole networks take, the dense one among them, is fitted by a constant, the sum of
    the blocks and the parameters, none with a negative factor, by least squares of relative errors. The dense step
    itself is predicted as it was measured.
    """
    pricing = TablePricing(table, cost.params_form, "")
    usual = median(seconds for _, (dense, _) in whole for seconds in dense)
    rows = []
    for widths, (dense, small) in [*whole, (cost.widths, ([1.0], [1.0]))]:
        share = share_of_time(dense, small)
        rows.append([1 / share, pricing.cost(widths) / pricing.cost() / share, cost.params(widths) / share])
    (constant, factor, each), _ = nnls(torch.tensor(rows, dtype=torch.float64).numpy(), [1.0] * len(rows))
    scale = factor * usual / (pricing.cost() / NANOSECONDS)
    rest = torch.tensor([constant * usual, each * usual], dtype=torch.float64)
    outside = float(rest[0] + rest[1] * cost.params())
    return replace(anchored(table, scale, max(0.0, usual - outside)), rest=rest)


def median_error(table: LayerTable, cost: CostModel, whole: Sequence[Whole]) -> float:
    """Return the median relative error, without sign, of the predicted shares of whole networks."""
    pricing = TablePricing(table, cost.params_form, "")
    shares = [(pricing.cost(widths) / pricing.cost(), share_of_time(*times)) for widths, times in whole]
    return median(abs(predicted / measured - 1) for predicted, measured in shares)


def resolution_factors(table: LayerTable, cost: CostModel, whole: Sequence[Whole]) -> Tensor:
    """Return a factor per block, float64 (blocks,), the same for all blocks of a resolution and not negative.

    Blocks that are marked one by one do not add up to whole steps equally well at every resolution. The factors are
    fitted to the relative errors of whole networks, by ridge regression towards 1.
    """
    positions = torch.tensor([layer.positions for layer in cost.layers])
    levels, level_of = positions.unique(return_inverse=True)
    masks = [(level_of == level)[:, None, None] for level in range(len(levels))]
    alone = [without_rest(replace(table, seconds=table.seconds * mask)) for mask in masks]
    parts = [TablePricing(blocks, cost.params_form, "") for blocks in alone]
    pricing = TablePricing(table, cost.params_form, "")
    rows, wanted = [], []
    for widths, (dense, small) in whole:
        predicted = pricing.cost(widths)
        rows.append([part.cost(widths) / predicted for part in parts])
        error = share_of_time(dense, small) * pricing.cost() / predicted - 1
        wanted.append(error + sum(rows[-1]))
    weight = NOISE / SPREAD
    ridge = torch.cat([torch.tensor(rows, dtype=torch.float64), weight * torch.eye(len(parts), dtype=torch.float64)])
    factors, _ = nnls(ridge.numpy(), [*wanted, *[weight] * len(parts)])
    return torch.from_numpy(factors)[level_of]


def without_rest(table: LayerTable) -> LayerTable:
    """Return the table with no seconds outside its blocks."""
    return replace(table, rest=torch.zeros_like(table.rest))


def anchored(table: LayerTable, scale: float, dense: float) -> LayerTable:
    """Return the table with its blocks scaled; at dense widths they add up to `dense` seconds, the most that they take.

    Every share is one of the dense step, which whole networks are timed beside. A few visits tell it less well, and
    what they get wrong would bend all shares alike.
    """
    widest = torch.cat([table.grid == table.grid[:, -1:], torch.ones(1, table.grid.shape[1], dtype=torch.bool)])
    there = widest[table.reads][:, :, None] & widest[table.writes][:, None, :]
    blocks = (table.seconds * there).sum((1, 2)) / there.sum((1, 2))
    most = (dense * blocks / blocks.sum())[:, None, None]
    return replace(table, seconds=torch.where(there, most, (scale * table.seconds).minimum(most)))
