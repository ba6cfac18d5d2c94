"""Chooses the networks that a table of layers visits, and fits what each block takes to all of these visits."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import product

import torch
from torch import Tensor

from stampbench.errors import NetworkError

# The shares of every group's width that are measured: most that plans choose, above all a half, as kernels favour 64
# and 128 channels. Their number is prime, which `directions` needs.
SHARES = tuple(part / 16 for part in (*range(1, 11), 12, 14, 16))
POINTS = len(SHARES)
VECTOR = 8
# How often the seconds of blocks and the factors of visits are fitted in turn; the last times change next to nothing.
FITS = 30
# The groups that set a block's input and output width; None for a width that is fixed.
Sides = tuple[str | None, str | None]
# The point of every group in one network.
Visit = Mapping[str, int]


def points_of(width: int, round_to: int) -> list[int]:
    """Return the widths to measure of a group, ascending: multiples of `round_to`, and the dense width.

    Kernels work on vectors of 8 channels and take longer for other widths. Where plans may have any width, most are
    others, so those are measured.
    """
    near = [max(1, round(share * width / round_to)) * round_to for share in SHARES[:-1]]
    if round_to % VECTOR:
        near = [point if point % VECTOR else point - round_to for point in near]
    return [*(min(point, width) for point in near), width]


def visits_of(groups: Sequence[str], sides: Sequence[Sides], rounds: int, stream: random.Random) -> list[Visit]:
    """Return the point of every group in every network to visit, in random order.

    The networks of a round show every block at every pair of points once. From round to round a block meets others at
    other points, which is how `block_seconds` tells the block from the moment.
    """
    steps = directions(groups, sides)
    found: list[Visit] = []
    for _ in range(rounds):
        places = {group: stream.sample(range(POINTS), POINTS) for group in groups}
        for i, j in product(range(POINTS), repeat=2):
            found.append({group: places[group][position((i, j), steps[group])] for group in groups})
    stream.shuffle(found)
    return found


def directions(groups: Sequence[str], sides: Sequence[Sides]) -> dict[str, tuple[int, int]]:
    """Return a direction (a, b) per group, so that points² networks show every block at every pair of widths.

    In network (i, j), a group is at place (a·i + b·j) mod points. The two groups of a block have directions that are
    linearly independent modulo the prime number of points, so that the networks reach all pairs, each once. Raises
    `NetworkError` if there are not enough directions.
    """
    found: dict[str, int] = {}
    choice = [(1, 0), *((slope, 1) for slope in range(POINTS))]
    for group in groups:
        beside = {other for pair in sides if group in pair for other in pair if other in found}
        free = [index for index in range(len(choice)) if index not in {found[other] for other in beside if other}]
        if not free:
            raise NetworkError(f"{group!r} shares blocks with more than {POINTS} groups; its time cannot be predicted")
        found[group] = free[0]
    return {group: choice[index] for group, index in found.items()}


def position(pair: tuple[int, int], direction: tuple[int, int]) -> int:
    """Return the place at which a group of that direction is in that network."""
    return sum(step * number for step, number in zip(direction, pair, strict=True)) % POINTS


def block_seconds(
    visits: Sequence[Visit], sides: Sequence[Sides], grid: Mapping[str, Sequence[int]], seconds: Tensor
) -> Tensor:
    """Return every block's seconds at every pair of points, (blocks, points, points), by `seconds` (visits, blocks).

    What was measured at a visit is taken for the seconds of its blocks at the widths of their points, which `grid`
    holds, times a factor of the visit: a shared machine is faster or slower for all of them. The blocks' seconds are
    means over all visits at the same widths, and the factors medians over blocks, each given the other, in turn.
    """
    first: dict[str | None, list[int]] = {
        group: [points.index(width) for width in points] for group, points in grid.items()
    }
    first[None] = [0] * POINTS
    at = torch.tensor(
        [
            [_cell(block, *(first[g][visit[g] if g else 0] for g in side)) for block, side in enumerate(sides)]
            for visit in visits
        ]
    )
    counts = torch.bincount(at.flatten(), minlength=len(sides) * POINTS**2).clamp_min(1)
    factors = torch.ones(len(visits), 1, dtype=torch.float64)
    for _ in range(FITS):
        means = torch.bincount(at.flatten(), (seconds / factors).flatten(), minlength=len(counts)) / counts
        factors = (seconds / means[at]).quantile(0.5, dim=1, keepdim=True)
        factors = factors / factors.mean()
    found = means.view(len(sides), POINTS, POINTS)
    return torch.stack([found[block][first[r]][:, first[w]] for block, (r, w) in enumerate(sides)])


def _cell(block: int, read: int, write: int) -> int:
    return (block * POINTS + read) * POINTS + write
