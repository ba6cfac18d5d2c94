"""Adaptation takes a few gradient steps on the target, then commits the mask (docs/design.md, section 7)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain, cycle, islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stampbench.contract import MASK_NOTE, Artefact, Budget, Context, Task
from stampbench.moments import part
from stampbench.pruning.allocate import Allocation, allocate
from stampbench.pruning.resources.base import limit_at

from .mask_generator import mean_logits
from .meta_training import (
    BATCH,
    GENERATOR,
    NETWORK,
    Mask,
    Shape,
    gated_logits,
    make_generator,
)
from .set_statistics import SetView, view_set
from .sets import LabelledSet

if TYPE_CHECKING:
    from . import StampOptions

WEIGHT_RATE, MOMENTUM, GENERATOR_RATE = 0.02, 0.9, 1e-3
# A function from normalised float32 images (n, 3, H, W) to float32 logits (n, classes).
Forward = Callable[[Tensor], Tensor]


def adapt(
    options: StampOptions,
    network: nn.Module,
    task: Task,
    budget: Budget,
    made: Artefact,
    sets: Sequence[LabelledSet],
    weights: Mapping[str, Tensor],
    context: Context,
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Any]]:
    """Return the channels to keep, the adapted state dict of the dense network, and notes.

    `network` is the start: the reference network with the target's head. It makes the features and statistics of the
    `sets`; then `weights`, if there are any, replace the weights of its body.
    """
    shape = Shape.of(network, task.input_size, context.floor, context.resource)
    generator = load_generator(options, shape, network, made, context)
    with context.phase("prune/views"):
        views = [view_set(network, shape.groups, *drawn, context.precision) for drawn in sets]
    prices = cache(shape.price_shares)
    shuffle = permutations(shape, context) if options.shuffled else None
    adapted = copy.deepcopy(network)
    load_into(adapted, {**network.state_dict(), **weights})

    def logits(seen: Sequence[SetView] = views) -> dict[str, Tensor]:
        found = mean_logits(generator, seen, budget.keep, prices)
        return found if shuffle is None else {name: logit[shuffle[name]] for name, logit in found.items()}

    one_by_one = cycle(views)

    def under_generated_mask(images: Tensor) -> Tensor:
        gates = shape.gates(logits([next(one_by_one)]), budget.keep)
        return gated_logits(adapted, shape.groups, gates, images, context.precision)

    with context.phase("prune/steps"):
        if options.frozen_mask:
            mask = committed(logits, shape, budget, context).keep
            frozen = under_mask(adapted, mask, shape, context)
            losses = descend(adapted, frozen, options.adaptation_steps, task, context)
        else:
            rule = torch.optim.Adam(generator.parameters(), lr=GENERATOR_RATE)
            losses = descend(adapted, under_generated_mask, options.adaptation_steps, task, context, rule)
    allocation = committed(logits, shape, budget, context)
    notes = {"adaptation_loss": losses, "floored": allocation.floored, MASK_NOTE: hexadecimal(allocation.keep)}
    return allocation.keep, adapted.state_dict(), notes


def under_mask(network: nn.Module, mask: Mask, shape: Shape, context: Context) -> Forward:
    """Return the forward pass of the network under a fixed mask."""
    placed = {name: kept.to(context.device) for name, kept in mask.items()}
    return lambda images: gated_logits(network, shape.groups, placed, images, context.precision)


def descend(
    network: nn.Module,
    forward: Forward,
    steps: int,
    task: Task,
    context: Context,
    rule: torch.optim.Optimizer | None = None,
) -> list[float]:
    """Train the network in place for some steps, and return the loss of each step.

    `forward` runs the network; `rule`, if given, is the optimizer of what generates the mask.
    """
    if not steps:
        return []
    network.train()
    weights = torch.optim.SGD(network.parameters(), lr=WEIGHT_RATE, momentum=MOMENTUM)
    optimizers = [weights] if rule is None else [weights, rule]
    loader = context.loader(task, BATCH, "stamp/adaptation")
    epochs = math.ceil(steps / len(loader))
    losses = []
    for images, labels in islice(chain.from_iterable(loader.epoch() for _ in range(epochs)), steps):
        loss = F.cross_entropy(forward(images), labels)
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in optimizers:
            optimizer.step()
        losses.append(loss.detach())
    found: list[float] = torch.stack(losses).tolist()
    return found


@torch.no_grad()
def committed(logits: Callable[[], Mapping[str, Tensor]], shape: Shape, budget: Budget, context: Context) -> Allocation:
    """Return the allocation under the budget of the present logits, without noise."""
    limit = limit_at(budget.keep, shape.pricing)
    return allocate(logits(), shape.pricing, limit, context.round_to, context.floor)


def load_generator(
    options: StampOptions, shape: Shape, network: nn.Module, made: Artefact, context: Context
) -> nn.Module:
    """Return the meta-trained generator on the job's device."""
    head = network.get_submodule("head")
    assert isinstance(head, nn.Linear)
    generator = make_generator(options, shape.groups, head.in_features)
    load_into(generator, part(made.tensors, GENERATOR))
    return generator.to(context.device)


def load_into(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load an artefact's tensors. Raise `ValueError`, and load nothing, if it was made for another network."""
    expected = {name: tensor.shape for name, tensor in module.state_dict().items()}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    differing = [name for name in sorted(expected.keys() | found.keys()) if expected.get(name) != found.get(name)]
    if differing:
        shapes = [list(side.get(differing[0], ["missing"])) for side in (found, expected)]
        raise ValueError(
            f"the artefact was made for another network or width: {differing[0]} has shape {shapes[0]} in it and "
            f"{shapes[1]} here, and shapes differ for {len(differing) - 1} more; meta-train for this network"
        )
    module.load_state_dict(dict(tensors))


def body(made: Artefact) -> dict[str, Tensor]:
    """Return the shared weights of an artefact, without the reference's head."""
    return {name: t for name, t in part(made.tensors, NETWORK).items() if not name.startswith("head.")}


def permutations(shape: Shape, context: Context) -> dict[str, Tensor]:
    """Return a random order of every group's channels: widths stay, and the choice within a group becomes random."""
    stream = context.generator("stamp/shuffle")
    return {name: torch.randperm(width, generator=stream) for name, width in shape.pricing.widths.items()}


def hexadecimal(keep: Mapping[str, Tensor]) -> dict[str, str]:
    """Return a plan's masks as hexadecimal numbers, short enough for a record; the first channel is the highest bit."""
    return {name: f"{int(''.join(str(int(kept)) for kept in mask.tolist()), 2):x}" for name, mask in keep.items()}
