"""The stages of a job that are the same for every method: the start, the plan carried out, and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice

import torch
from torch import nn

from stampbench import seeding
from stampbench.contract import Artefact, BudgetError, Granularity, Plan, Start, Task, Weights
from stampbench.data import packed
from stampbench.data.catalogue import Dataset
from stampbench.data.loader import EpochLoader, evaluation_batches, training_batches
from stampbench.data.split import make_task, test_split
from stampbench.data.task import Split
from stampbench.job import Job
from stampbench.measure import speed
from stampbench.measure.gpu import gpu_state
from stampbench.measure.phases import PhaseClock
from stampbench.measure.yardstick import yardstick
from stampbench.networks.initial import build, initialise, initialise_head, place
from stampbench.pruning.compact import compact, widths_of
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import Group
from stampbench.pruning.masks import apply_weight_masks
from stampbench.pruning.resources.base import Pricing, limit_at
from stampbench.record import Accuracy, ArtefactUse, Cost, DataUse, Gpu, Seconds
from stampbench.running import layer_times
from stampbench.running.workplace import Workplace
from stampbench.training import Recipe, Trainer, evaluate, fit

EVALUATION_BATCH = 256
# Top-5 accuracy says something where there are at least so many classes.
LEAST_FOR_TOP5 = 100


@dataclass(frozen=True)
class Images:
    """The images of a job: its task, the test images, and what is recorded of both."""

    task: Task
    test: Split
    use: DataUse
    split_digest: str


@dataclass(frozen=True)
class Trained:
    """The outcome of training and testing; `epochs` are the seconds of each epoch."""

    accuracy: Accuracy
    epochs: list[float]
    yardstick: list[float]
    gpu: Gpu | None


def images_of(job: Job, dataset: Dataset, workplace: Workplace) -> Images:
    """Load the target, and draw the job's training and validation images; all are placed on the device."""
    data, protocol = packed.load(job.target, workplace.custom), job.protocol
    # Drawn by the artefact seed: a target-pretrained start has trained on these images and on no others.
    seed, counts = seeding.artefact_seed(job.seed), (protocol.train_images, protocol.validation_images)
    task, split_digest = make_task(data, dataset, *counts, seed, workplace.device)
    test = test_split(data, workplace.device)
    use = DataUse(
        name=job.target,
        display_name=data.manifest.display_name,
        train=len(task.train),
        validation=len(task.validation),
        test=len(test),
        source=data.manifest.source,
        digest=data.manifest.digest,
    )
    return Images(task, test, use, split_digest)


def train_and_test(
    trainer: Trainer, images: Images, dataset: Dataset, clock: PhaseClock, report: Callable[[int, float, float], None]
) -> Trained:
    """Train between two readings of the yardstick, then use the test images, once."""
    task, device = images.task, images.test.images.device

    def batches(split: Split) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        return evaluation_batches(split, dataset, task.mean, task.std, EVALUATION_BATCH)

    with clock.phase("yardstick"):
        before = yardstick(device)
    history = fit(trainer, lambda: batches(task.validation), clock, report)
    gpu = gpu_state(device)
    with clock.phase("yardstick"):
        after = yardstick(device)
    with clock.phase("evaluate"):
        top1, top5 = evaluate(trainer.network, batches(images.test), trainer.recipe.precision)
    accuracy = Accuracy(
        top1=top1,
        top5=top5 if task.classes >= LEAST_FOR_TOP5 else None,
        validation_top1=history.accuracy,
        train_loss=history.loss,
    )
    return Trained(accuracy, history.seconds, before + after, gpu)


def start_network(
    job: Job, task: Task, pretrained: Artefact | None, device: torch.device
) -> tuple[nn.Module, dict[str, str]]:
    """Return the dense network that pruning starts from, and digests of its weights and of its head.

    The head belongs to the start: drawn for random and reference weights, trained for target weights.
    """
    network = build(job.network, task.classes, job.width)
    body, head = (seeding.generator(purpose, job.target, job.seed) for purpose in ("initial-weights", "head"))
    if pretrained is None:
        initialise(network, body, head)
    else:
        tensors = dict(pretrained.tensors)
        if job.start is Start.REFERENCE:
            initialise_head(network, head)
            tensors |= {name: t for name, t in network.state_dict().items() if name.startswith("head.")}
        network.load_state_dict(tensors)
    place(network, device)
    state = network.state_dict()
    digests = {
        "initial_weights": seeding.digest_of(*(t for name, t in state.items() if not name.startswith("head."))),
        "head": seeding.digest_of(*(t for name, t in state.items() if name.startswith("head."))),
    }
    return network, digests


def loader_of(job: Job, task: Task, dataset: Dataset, prefix: str = "") -> EpochLoader:
    """Return the training batches of the job: the same for every method of its target and seed."""

    def stream(part: str) -> torch.Generator:
        return seeding.generator(prefix + part, job.target, job.seed)

    return training_batches(task, dataset, job.protocol.batch_size, stream)


def head_steps(network: nn.Module, job: Job, task: Task, dataset: Dataset) -> None:
    """Take the first steps of head and weights: the same for every method that reads data from reference weights."""
    protocol, steps = job.protocol, job.protocol.head_steps
    loader = loader_of(job, task, dataset, "head-steps/")
    epochs = max(1, math.ceil(steps / len(loader)))
    trainer = Trainer(network, loader, Recipe.of(protocol, protocol.learning_rate.reference, epochs))
    network.train()
    batches = chain.from_iterable(loader.epoch() for _ in range(epochs))
    for images, labels in islice(batches, steps):
        trainer.step(images, labels)


def realise(
    network: nn.Module, groups: Sequence[Group], plan: Plan, job: Job, task: Task
) -> tuple[nn.Module, Mapping[str, torch.Tensor] | None]:
    """Remove channels, or mask weights, by the plan. Return the network, and masks that training must hold."""
    if isinstance(plan.weights, Mapping):
        network.load_state_dict(plan.weights)
    body, head = (seeding.generator(purpose, job.target, job.seed) for purpose in ("initial-weights", "head"))
    if job.granularity is Granularity.WEIGHT:
        if plan.weights is Weights.FRESH:
            initialise(network, body, head)
        masks = {name: mask.to(next(network.parameters()).device) for name, mask in plan.keep.items()}
        apply_weight_masks(network, masks)
        return network, masks
    if plan.weights is Weights.FRESH:
        small: nn.Module = build(job.network, task.classes, job.width, widths_of(plan.keep))
        initialise(small, body, head)
    else:
        small = compact(network, groups, plan.keep, task.input_size)
    return place(small, next(network.parameters()).device), None


def cost_of(job: Job, cost: CostModel, pricing: Pricing, plan: Plan) -> Cost:
    """Return what the pruned network costs. Raise `BudgetError` if that is more than the budget."""
    if job.granularity is Granularity.WEIGHT:
        kept = sum(int(mask.sum()) for mask in plan.keep.values())
        prunable = sum(mask.numel() for mask in plan.keep.values())
        budget, used, widths = math.floor(job.budget.keep * prunable), kept, dict(cost.widths)
        params, macs = cost.params() - (prunable - kept), cost.macs()
    else:
        widths = widths_of(plan.keep)
        params, macs = cost.params(widths), cost.macs(widths)
        budget, used = limit_at(job.budget.keep, pricing), pricing.cost(widths)
    if used > budget:
        raise BudgetError(f"the plan uses {used:,} {job.budget.resource}, its budget is {budget:,}")
    return Cost(
        params=params,
        dense_params=cost.params(),
        macs=macs,
        dense_macs=cost.macs(),
        budget_unused=budget - used,
        widths=widths,
        floored=list(plan.notes.get("floored", [])),
        predicted_share=used / pricing.cost() if job.budget.table else None,
    )


def seconds_of(clock: PhaseClock, uses: list[ArtefactUse], epochs: list[float]) -> Seconds:
    """Add up the clock's phases; artefacts of the target are charged in full, reused or not."""
    phases = clock.seconds
    pretrain = sum(use.seconds for use in uses if use.scope == "target")
    prune = sum(value for name, value in phases.items() if name.split("/")[0] == "prune")
    return Seconds(
        pretrain=pretrain,
        prune=prune,
        train=phases["train"],
        total=pretrain + prune + phases["train"],
        evaluate=phases["evaluate"],
        reference=sum(use.seconds for use in uses if use.scope == "reference"),
        outside=clock.outside(),
        phases=phases,
        epochs=epochs,
    )


def measured_speed(
    job: Job, task: Task, widths: Mapping[str, int], dense_widths: Mapping[str, int], workplace: Workplace
) -> str:
    """Return the key of the speed at these widths on this device; measure it if it was not."""
    precision, budgeted = job.protocol.precision, layer_times.timing_of(job)
    key = speed.speed_key(job.network, task.classes, task.input_size, widths, precision, workplace.exclusive, budgeted)
    if not workplace.speeds.has_speed(key):
        workplace.speeds.put_speed(
            speed.measure(
                job.network,
                task.classes,
                task.input_size,
                widths,
                dense_widths,
                precision,
                workplace.device,
                workplace.executor,
                workplace.exclusive,
                budgeted,
            )
        )
    return key
