"""Measures a table of layers: the seconds of every block of a network, taken inside whole networks of many widths.

A block is a convolution or linear layer with what runs until the next one begins: batch norm, ReLU, pooling, addition.
It is timed forward and, in training steps, backward, among its neighbours and with their traffic in the caches. Whole
networks, timed in turn with the dense one now and then meanwhile, calibrate the table.
"""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice, pairwise
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from stampbench.measure.calibration import TOGETHER, Whole, calibrated, median_error, random_widths, whole_networks
from stampbench.measure.speed import alternated, made_up_images, network_at, step_of
from stampbench.measure.visits import SHARES, Sides, Visit, block_seconds, points_of, visits_of
from stampbench.measure.yardstick import yardstick
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import Group
from stampbench.pruning.resources.layer_table import FIXED, LayerTable, never_falling

ROUNDS, SAMPLES = 3, 2
# The networks that calibrate a table, and the steps of each.
WHOLE, WHOLE_STEPS = 72, 7
# A moment is quiet while the yardstick takes at most so many times as long as at best. A table that is measured in
# others prices small networks too high.
QUIET = 1.5


def measure_layers(
    name: str,
    network: nn.Module,
    groups: Sequence[Group],
    input_size: int,
    round_to: int,
    timing: str,
    precision: str,
    device: torch.device,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[LayerTable, dict[str, Any]]:
    """Return the table of the network's layers for that timing of `Speed` ("train_step" or "latency"), and notes.

    `network` is dense; its weights are not read. Points² networks are visited in each of `ROUNDS` rounds, after busy
    moments have passed. `WHOLE` random networks, a few at a time all along, calibrate the table. `progress` is told how
    many of the networks, of how many, are measured.
    """
    head = network.get_submodule("head")
    assert isinstance(head, nn.Linear)
    cost = CostModel.of(network, groups, input_size)
    grid = {group.name: points_of(group.width, round_to) for group in groups}
    sides = _sides(network, cost)
    visits = visits_of(list(grid), list(sides.values()), ROUNDS, random.Random(0))
    found, yardsticks = list[dict[str, float]](), list[float]()
    images = made_up_images(timing, input_size, device)

    def network_of(widths: Mapping[str, int]) -> nn.Module:
        return network_at(name, head.out_features, widths, device)

    def step_at(widths: Mapping[str, int]) -> Callable[[], None]:
        return step_of(timing, network_of(widths), images, precision)

    def timed(steps: Sequence[Callable[[], None]]) -> list[list[float]]:
        next(moments)
        return alternated(steps, 2, WHOLE_STEPS, device)

    moments = quiet_moments(lambda: median(yardstick(device)), len(visits))
    drawn = list(random_widths(cost.widths, round_to, WHOLE, random.Random(0)))
    wholes, whole = whole_networks(step_at, cost.widths, drawn, timed), list[Whole]()
    # The host's moods last for minutes, so networks that are measured in one of them would bend every share.
    every = math.ceil(len(visits) * TOGETHER / WHOLE)
    for measured, visit in enumerate(visits):
        progress(measured + len(whole), len(visits) + WHOLE)
        yardsticks.append(next(moments))
        module = network_of({group: points[visit[group]] for group, points in grid.items()})
        samples = list(timed_blocks(module, images, timing, precision))
        found.append({name: median(sample[name] for sample in samples) for name in sides})
        if measured % every == 0:
            whole += islice(wholes, TOGETHER)
    whole += wholes
    table = calibrated(_table(found, visits, grid, sides), cost, whole)
    notes = {"points": list(SHARES), "samples": ROUNDS * SAMPLES, "yardstick": [min(yardsticks), max(yardsticks)]}
    return table, notes | {"median_error": median_error(table, cost, whole)}


def quiet_moments(yardstick_seconds: Callable[[], float], patience: int) -> Iterator[float]:
    """Wait for moments at which the machine is not busy, and yield the yardstick's seconds at each, without end.

    After `patience` busy moments every moment is taken as it comes, so that a machine that stays busy is measured too.
    """
    fastest = math.inf
    while True:
        seconds = yardstick_seconds()
        fastest = min(fastest, seconds)
        if seconds > QUIET * fastest and patience:
            patience -= 1
        else:
            yield seconds


def timed_blocks(module: nn.Module, images: Tensor, timing: str, precision: str) -> Iterator[dict[str, float]]:
    """Yield the seconds of every block, and of the whole step as "", for some steps after one that is not timed."""
    step = step_of(timing, module, images, precision)
    for index in range(1 + SAMPLES):
        with _marked(module, images.device) as marks:
            marks.add("")
            step()
            marks.add("")
        if index:
            yield marks.seconds()


@dataclass
class Marks:
    """The moments at which blocks begin: a block's name, and a time or, on a GPU, an event on its stream."""

    device: torch.device
    moments: list[tuple[str, Any]] = field(default_factory=list)

    def add(self, name: str) -> None:
        """Mark this moment as the beginning of a block, or with "" as that of something else."""
        if self.device.type == "cuda":
            moment: Any = torch.cuda.Event(enable_timing=True)
            moment.record()
        else:
            moment = time.perf_counter()
        self.moments.append((name, moment))

    def seconds(self) -> dict[str, float]:
        """Return the seconds of every block, from each of its marks to the next mark, and of everything as ""."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        found = {"": self._between(self.moments[0][1], self.moments[-1][1])}
        for (name, begun), (_, ended) in pairwise(self.moments):
            if name:
                found[name] = found.get(name, 0.0) + self._between(begun, ended)
        return found

    def _between(self, begun: Any, ended: Any) -> float:
        return float(begun.elapsed_time(ended) / 1000 if self.device.type == "cuda" else ended - begun)


@contextmanager
def _marked(module: nn.Module, device: torch.device) -> Iterator[Marks]:
    """Mark where each block begins, forward and backward, and where the optimiser begins."""
    marks = Marks(device)
    handles = [register_optimizer_step_pre_hook(lambda *_: marks.add(""))]

    def mark_backward(output: Tensor, name: str) -> None:
        if output.requires_grad:
            output.register_hook(lambda _gradient: marks.add(name))

    for name, layer in _layers(module):
        handles.append(layer.register_forward_pre_hook(lambda *_, name=name: marks.add(name)))
        handles.append(layer.register_forward_hook(lambda _m, _i, output, name=name: mark_backward(output, name)))
    try:
        yield marks
    finally:
        for handle in handles:
            handle.remove()


def _layers(network: nn.Module) -> list[tuple[str, nn.Module]]:
    return [(name, module) for name, module in network.named_modules() if isinstance(module, nn.Conv2d | nn.Linear)]


def _sides(network: nn.Module, cost: CostModel) -> dict[str, Sides]:
    """Return the groups of every block's input and output width, by the name of its layer; None for a fixed width.

    A block whose input and output belong to one group is a function of that width alone.
    """
    pairs = zip(_layers(network), cost.layers, strict=True)
    return {
        name: (None if layer.in_group == layer.out_group else layer.in_group, layer.out_group)
        for (name, _), layer in pairs
    }


def _table(
    found: Sequence[Mapping[str, float]],
    visits: Sequence[Visit],
    grid: Mapping[str, Sequence[int]],
    sides: Mapping[str, Sides],
) -> LayerTable:
    seconds = torch.tensor([[each[name] for name in sides] for each in found], dtype=torch.float64)
    groups = list(grid)
    indices = [[FIXED if group is None else groups.index(group) for group in side] for side in sides.values()]
    reads, writes = torch.tensor(indices).unbind(1)
    blocks = never_falling(block_seconds(visits, list(sides.values()), grid, seconds))
    return LayerTable(torch.tensor(list(grid.values())), reads, writes, blocks, torch.zeros(2, dtype=torch.float64))
