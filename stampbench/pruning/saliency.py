"""From a method's scores to its plan: the part that all saliency methods share."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from stampbench.contract import Budget, Context, Plan, SaliencyMethod, Task
from stampbench.data.augmentation import normalise, resize
from stampbench.measure.cost import CostModel
from stampbench.pruning.allocate import allocate, fractional_ranks
from stampbench.pruning.groups import channel_groups

SCORING_BATCH = 128


def plan_by_saliency(method: SaliencyMethod, network: nn.Module, task: Task, budget: Budget, context: Context) -> Plan:
    """Scores the channels, ranks them within groups or across, and keeps the best that fit the budget."""
    groups = channel_groups(network, task.input_size)
    cost = CostModel.of(network, groups, task.input_size)
    scores = method.scores(network, groups, scoring_batches(task, context), context)
    ranked = fractional_ranks(scores) if method.uniform else scores
    allocation = allocate(ranked, cost, math.floor(budget.keep * cost.macs()), context.round_to, context.floor)
    return Plan(allocation.keep, notes={"floored": allocation.floored})


def scoring_batches(task: Task, context: Context) -> Iterator[tuple[Tensor, Tensor]]:
    """Training images without augmentation, normalised, in batches drawn from the stream "scoring-batches"."""
    order = torch.randperm(len(task.train), generator=context.generator("scoring-batches"))
    for chosen in order.to(task.train.labels.device).split(SCORING_BATCH):
        images = resize(task.train.images[chosen], task.input_size)
        yield normalise(images, task.mean, task.std), task.train.labels[chosen]
