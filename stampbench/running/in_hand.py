"""Pruning of a network that somebody has in hand, without a suite: `stampbench.prune`."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
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
from stampbench.mistakes import mistakes
from stampbench.networks.check import checked_module
from stampbench.pruning.compact import compact, widths_of
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import classifier_of
from stampbench.pruning.resources.base import Resource, limit_at
from stampbench.running.checkpoint import Checkpoint
from stampbench.running.context import JobContext

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
    chosen, counted = _method(method, options), _resource(resource)
    _refuse_numbers(keep, seed)
    with torch.inference_mode(False), torch.enable_grad():
        dense = _with_gradients(network)
        task = _task(images, labels, mean, std, next(dense.parameters()).device)
        groups = checked_module(dense, task.input_size)
        if why := chosen.serves(dense, groups):
            raise NetworkError(f"method {method!r} does not serve this network: {why}")
        _refuse_other_logits(dense, task)
        context = _context(task.train.images.device, task.input_size, counted, seed)
        budget = Budget(resource=resource, keep=float(keep) if chosen.prunes else 1.0)
        plan = chosen.plan(dense, task, budget, {}, context)
        pricing = counted.pricing(CostModel.of(dense, groups, task.input_size))
        if pricing.cost(widths_of(plan.keep)) > limit_at(budget.keep, pricing):
            raise BudgetError(f"the plan of {method!r} keeps more than {keep:g} of the {resource}")
        small = compact(dense, groups, plan.keep, task.input_size)
    for (_, kept), (_, given) in zip(small.named_parameters(), network.named_parameters(), strict=True):
        kept.requires_grad_(given.requires_grad)
    return small


def _refuse_numbers(keep: float, seed: int) -> None:
    if not isinstance(keep, Real) or isinstance(keep, bool) or not 0 < keep <= 1:
        raise UserError(f"keep is the share that is left, above 0 and at most 1, and not {keep!r}")
    if not isinstance(seed, Integral) or isinstance(seed, bool) or seed < 0:
        raise UserError(f"seed is an integer, 0 or larger, and not {seed!r}")


def _with_gradients(network: nn.Module) -> nn.Module:
    """Return a copy of the network whose parameters take gradients, which couplings are found by."""
    if not isinstance(network, nn.Module) or next(network.parameters(), None) is None:
        raise NetworkError(f"network is a torch.nn.Module with parameters, and not {type(network).__name__}")
    for name, tensor in network.state_dict().items():
        if tensor.is_meta or (tensor.is_floating_point() and tensor.dtype != torch.float32):
            held = "no values" if tensor.is_meta else str(tensor.dtype)
            raise NetworkError(f"{name!r} of the network holds {held}; load its weights, as float32")
        if not tensor.isfinite().all():
            raise NetworkError(f"{name!r} of the network is not finite; train it again, with a lower learning rate")
    return copy.deepcopy(network).requires_grad_(True)


def _method(name: str, options: Mapping[str, Any] | None) -> Method:
    if not isinstance(name, str) or not isinstance(options or {}, Mapping):
        raise UserError("method is a name of `list methods`, and options map the names of its options to values")
    found: type[Method] = registry.METHODS.load(name)
    if Granularity.CHANNEL not in found.granularities:
        raise UserError(f"method {name!r} removes single weights, not channels")
    if found.artefacts is not Method.artefacts:
        raise UserError(
            f"method {name!r} must train something of its own first, for a network that it builds itself; name the "
            "network in a suite (docs/suite.md), or use `python -m stampbench try`"
        )
    try:
        return found(found.Options.model_validate(dict(options or {}), strict=True))
    except ValidationError as error:
        raise UserError(
            f"options of method {name!r} are refused:\n{mistakes(error, set(found.Options.model_fields))}"
        ) from error


def _resource(name: str) -> Resource:
    if not isinstance(name, str):
        raise UserError(f"resource is a name of `list resources`, and not {name!r}")
    found = registry.RESOURCES.load(name)
    if found.timing is not None:
        raise UserError(f"{name!r} is predicted from a table of layers, which suites measure; use macs or params here")
    counted: Resource = found()
    return counted


def _task(images: Any, labels: Any, mean: Any, std: Any, device: torch.device) -> Task:
    """Return the task of these images, on the device. Raises `UserError` for what is not as `prune` asks."""
    try:
        pixels, classes = torch.as_tensor(images), torch.as_tensor(labels)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"images and labels are tensors, arrays or lists of numbers: {error}") from error
    if pixels.dtype != torch.uint8:
        raise UserError(f"images are uint8, 0 to 255, and not {pixels.dtype}; multiply floats in [0, 1] by 255 first")
    if pixels.dim() != 4 or pixels.shape[1] != 3 or pixels.shape[2] != pixels.shape[3] or not len(pixels):
        raise UserError(f"images have the shape (N, 3, H, H), N > 0, and not {tuple(pixels.shape)}")
    whole = classes.dtype in (torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64)
    if classes.shape != (len(pixels),) or not whole or int(classes.min()) < 0:
        raise UserError(f"labels are one integer ≥ 0 for each of the {len(pixels)} images")
    own_mean, own_std = channel_statistics(pixels.cpu())
    taken = {"mean": own_mean if mean is None else _three(mean), "std": own_std if std is None else _three(std)}
    for name, values in taken.items():
        if len(values) != 3 or not all(isinstance(value, Real) and 0 <= float(value) <= 1 for value in values):
            raise UserError(f"{name} is three numbers in [0, 1], one for each colour, and not {values}")
    if min(taken["std"]) <= 0:
        raise UserError("all images have the same value in some colour, or std holds a zero: they cannot be normalised")
    train = Split(pixels.to(device), classes.long().to(device))
    nothing = Split(train.images[:0], train.labels[:0])
    return Task(train, nothing, int(classes.max()) + 1, pixels.shape[-1], taken["mean"], taken["std"])


def _three(values: Any) -> tuple[Any, ...]:
    return tuple(values) if isinstance(values, Iterable) else (values,)


def _refuse_other_logits(network: nn.Module, task: Task) -> None:
    logits = classifier_of(network).out_features
    if task.classes > logits:
        raise UserError(f"label {task.classes - 1} means {task.classes} classes, and the network has {logits} outputs")


def _context(device: torch.device, input_size: int, counted: Resource, seed: int) -> JobContext:
    """Return a context with a suite's defaults: full precision, any width, and a floor of 5 % of each group."""
    dataset = resolve(NAME, {NAME: CustomDataset(path=Path(), size=input_size)})
    nothing_saved = Checkpoint(Path(NAME))
    return JobContext(device, "fp32", 1, 0.05, dataset, seed, counted, PhaseClock(device), nothing_saved)
