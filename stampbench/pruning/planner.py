"""Plans from scores: the part that all saliency methods share."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stampbench.contract import Budget, Context, Plan, SaliencyMethod, Task
from stampbench.data.augmentation import normalise, resize
from stampbench.job import WEIGHTS
from stampbench.pruning.allocate import allocate, allocate_weights, fractional_ranks
from stampbench.pruning.compact import Shrinking
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.masks import apply_weight_masks, prunable_weights
from stampbench.pruning.resources.base import limit_at

SCORING_BATCH = 128


@dataclass(frozen=True)
class ScoringBatches:
    """Training images without augmentation, shuffled by the stream "scoring-batches" in the same order at every pass.

    Iterating yields normalised float32 images (N, 3, size, size) and their int64 labels (N,), 128 at a time.
    """

    task: Task
    context: Context
    method: SaliencyMethod | None = None

    @property
    def input_size(self) -> int:
        """The number of pixels along a side of the images."""
        return self.task.input_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield one pass over the images. Raises TypeError for a method that does not say that it reads them."""
        if self.method is not None and not self.method.needs_data:
            raise TypeError(f"{self.method.name} reads images, so its class must say `needs_data = True`")
        train = self.task.train
        order = torch.randperm(len(train), generator=self.context.generator("scoring-batches"))
        for start in range(0, len(order), SCORING_BATCH):
            chosen = order[start : start + SCORING_BATCH].to(train.labels.device)
            images = resize(train.images[chosen], self.input_size)
            yield normalise(images, self.task.mean, self.task.std), train.labels[chosen]


def plan_by_scores(method: SaliencyMethod, network: nn.Module, task: Task, budget: Budget, context: Context) -> Plan:
    """Return the plan that keeps the channels or, for a budget of weights, the single weights of highest score."""
    make = weight_plan if budget.resource == WEIGHTS else channel_plan
    return make(method, network, task, budget, context)


def channel_plan(method: SaliencyMethod, network: nn.Module, task: Task, budget: Budget, context: Context) -> Plan:
    """Score channels, rank them within groups or across all, and keep the best that fit, round by round."""
    size, batches = task.input_size, ScoringBatches(task, context, method)
    groups = channel_groups(network, size)
    pricing = context.resource.pricing(CostModel.of(network, groups, size))
    keep = {group.name: torch.ones(group.width, dtype=torch.bool) for group in groups}
    shrinking, floored = Shrinking(network, groups, size), list[str]()
    for share in schedule(budget.keep, method.rounds):
        found = method.scores(shrinking.keep_only(keep), shrinking.groups, batches, context)
        scores = _on_all_channels(found, keep)
        ranked = fractional_ranks(scores) if method.uniform else scores
        limit = limit_at(share, pricing)
        # Without these limits, what a round leaves of its budget would bring removed channels back in the next.
        alive = {name: int(kept.sum()) for name, kept in keep.items()}
        allocation = allocate(ranked, pricing, limit, context.round_to, context.floor, alive)
        keep, floored = allocation.keep, allocation.floored
    return Plan(keep, notes={"floored": floored})


def weight_plan(method: SaliencyMethod, network: nn.Module, task: Task, budget: Budget, context: Context) -> Plan:
    """Score single weights, rank them within layers or across all, and keep the best, round by round."""
    batches = ScoringBatches(task, context, method)
    masks = {name: torch.ones(w.shape, dtype=torch.bool) for name, w in prunable_weights(network).items()}
    current = copy.deepcopy(network)
    device = next(current.parameters()).device
    for share in schedule(budget.keep, method.rounds):
        apply_weight_masks(current, {name: mask.to(device) for name, mask in masks.items()})
        scores = {n: s.detach().double().cpu() for n, s in method.weight_scores(current, batches, context).items()}
        if not all(torch.isfinite(score).all() for score in scores.values()):
            raise ValueError(f"{method.name} gave scores that are not finite")
        alive = {name: score.masked_fill(~masks[name], -math.inf) for name, score in scores.items()}
        masks = allocate_weights(alive, share, method.uniform)
    return Plan(masks, notes={"emptied": [name for name, mask in masks.items() if not mask.any()]})


def schedule(keep: float, rounds: int) -> list[float]:
    """Return the share kept after each round k = 1 … n: keep^(k / n) (Tanaka et al., arXiv 2006.05467, algorithm 1)."""
    return [keep ** (k / rounds) for k in range(1, rounds)] + [keep]


def _on_all_channels(scores: Mapping[str, Tensor], keep: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return scores for all channels: those of kept channels in their places, and removed ones below every other."""
    lowest = min(score.min().item() for score in scores.values())
    # SynFlow's scores may exceed 2⁵³, where one less is the same float.
    below = lowest - abs(lowest) - 1
    spread = {}
    for name, kept in keep.items():
        spread[name] = torch.full((len(kept),), below, dtype=torch.float64)
        spread[name][kept] = scores[name].detach().double().cpu()
    return spread
