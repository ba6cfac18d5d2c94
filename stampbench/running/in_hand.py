"""Pruning of a network that somebody has in hand, without a suite: `stampbench.prune`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from stampbench import registry
from stampbench.contract import Budget, BudgetError, Granularity, Method, Split, Task
from stampbench.data.catalogue import CustomDataset, resolve
from stampbench.data.packed import channel_statistics
from stampbench.errors import NetworkError, UserError
from stampbench.measure.phases import PhaseClock
from stampbench.networks.check import checked_module
from stampbench.pruning.compact import compact, widths_of
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import classifier_of
from stampbench.pruning.resources.base import Resource
from stampbench.running.checkpoint import Checkpoint
from stampbench.running.context import JobContext
from stampbench.suite import mistakes

# The streams of draws are those of this name and the seed.
NAME = "in-hand"


def prune(
    network: nn.Module,
    images: Tensor | np.ndarray,
    labels: Tensor | np.ndarray | Sequence[int],
    method: str = "magnitude",
    keep: float = 0.25,
    resource: str = "macs",
    *,
    options: Mapping[str, Any] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    seed: int = 0,
) -> nn.Module:
    """Return a copy of a network without the channels that a method removes; the network itself stays as it is.

    The copy is on the same device and in the same mode, and keeps the weights of the channels that are left: train it
    on. The same arguments give the same bits. `network` keeps the contract of `stampbench/networks/contract.py`, but
    for having a factory; its classifier may have any name if it is the only linear layer.

    `images` are uint8 (N, 3, H, H) and `labels` integers (N,), of the data that the network is for; methods that need
    no images look at their size alone. `mean` and `std`, three numbers each in [0, 1], are what the network's inputs
    are normalised by; by default, the images' own. `method` is a name of `list methods`, `options` are its options.
    `keep` is the share of the `resource`, "macs" or "params", that is left. All that is random is drawn from `seed`.

    Raises `NetworkError` for a network that is not understood or that the method does not serve, `BudgetError` for a
    share that no widths meet, and `UserError` for all other arguments that cannot be used.
    """
    chosen, counted = _method(method, options or {}), _resource(resource)
    if not (isinstance(keep, int | float) and 0 < keep <= 1):
        raise UserError(f"keep is the share that is left, above 0 and at most 1, and not {keep!r}")
    task = _task(images, labels, mean, std, next(network.parameters()).device)
    if broken := [name for name, tensor in network.state_dict().items() if not tensor.isfinite().all()]:
        raise NetworkError(f"{broken[0]!r} of the network is not finite; train it again, with a lower learning rate")
    groups = checked_module(network, task.input_size)
    if why := chosen.serves(network, groups):
        raise NetworkError(f"method {method!r} does not serve this network: {why}")
    _refuse_other_logits(network, task)
    context = _context(task.train.images.device, task.input_size, counted, seed)
    budget = Budget(resource=resource, keep=keep if chosen.prunes else 1.0)
    plan = chosen.plan(network, task, budget, {}, context)
    pricing = counted.pricing(CostModel.of(network, groups, task.input_size))
    if pricing.cost(widths_of(plan.keep)) > math.floor(budget.keep * pricing.cost()):
        raise BudgetError(f"the plan of {method!r} keeps more than {keep:g} of the {resource}")
    return compact(network, groups, plan.keep, task.input_size)


def _method(name: str, options: Mapping[str, Any]) -> Method:
    found: type[Method] = registry.METHODS.load(name)
    if Granularity.CHANNEL not in found.granularities:
        raise UserError(f"method {name!r} removes single weights, not channels")
    if found.artefacts is not Method.artefacts:
        raise UserError(
            f"method {name!r} must train something of its own first, for a network that it builds itself; name the "
            "network in a suite (docs/suite.md), or use `python -m stampbench try`"
        )
    try:
        return found(found.Options.model_validate(dict(options), strict=True))
    except ValidationError as error:
        raise UserError(
            f"options of method {name!r} are refused:\n{mistakes(error, set(found.Options.model_fields))}"
        ) from error


def _resource(name: str) -> Resource:
    found = registry.RESOURCES.load(name)
    if found.timing is not None:
        raise UserError(f"{name!r} is predicted from a table of layers, which suites measure; use macs or params here")
    counted: Resource = found()
    return counted


def _task(images: Any, labels: Any, mean: Any, std: Any, device: torch.device) -> Task:
    """Return the task of these images, on the device. Raises `UserError` for what is not as `prune` asks."""
    pixels, classes = torch.as_tensor(images), torch.as_tensor(labels)
    if pixels.dtype != torch.uint8:
        raise UserError(f"images are uint8, 0 to 255, and not {pixels.dtype}; multiply floats in [0, 1] by 255 first")
    if pixels.dim() != 4 or pixels.shape[1] != 3 or pixels.shape[2] != pixels.shape[3] or not len(pixels):
        raise UserError(f"images have the shape (N, 3, H, H), N > 0, and not {tuple(pixels.shape)}")
    if classes.shape != (len(pixels),) or classes.is_floating_point() or int(classes.min()) < 0:
        raise UserError(f"labels are one integer ≥ 0 for each of the {len(pixels)} images")
    own_mean, own_std = channel_statistics(pixels.cpu())
    taken = {"mean": own_mean if mean is None else tuple(mean), "std": own_std if std is None else tuple(std)}
    for name, values in taken.items():
        if len(values) != 3 or not all(math.isfinite(value) for value in values):
            raise UserError(f"{name} is three numbers, one for each colour, and not {values}")
    if min(taken["std"]) <= 0:
        raise UserError("all images have the same value in some colour, or std holds a zero: they cannot be normalised")
    train = Split(pixels.to(device), classes.long().to(device))
    nothing = Split(train.images[:0], train.labels[:0])
    return Task(train, nothing, int(classes.max()) + 1, pixels.shape[-1], taken["mean"], taken["std"])


def _refuse_other_logits(network: nn.Module, task: Task) -> None:
    logits = classifier_of(network).out_features
    if task.classes > logits:
        raise UserError(f"label {task.classes - 1} means {task.classes} classes, and the network has {logits} outputs")


def _context(device: torch.device, input_size: int, counted: Resource, seed: int) -> JobContext:
    """Return a context with a suite's defaults: full precision, any width, and a floor of 5 % of each group."""
    dataset = resolve(NAME, {NAME: CustomDataset(path=Path(), size=input_size)})
    nothing_saved = Checkpoint(Path(NAME))
    return JobContext(device, "fp32", 1, 0.05, dataset, seed, counted, PhaseClock(device), nothing_saved)
