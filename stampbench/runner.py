"""One job to one record: the protocol, readable from top to bottom."""

from __future__ import annotations

import math
import os
import traceback
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal, Protocol

import torch
from torch import nn

from stampbench import pretraining, registry, seeding
from stampbench.artefacts import Artefacts, digest_of_spec
from stampbench.checkpoint import Checkpoint
from stampbench.contract import (
    Artefact,
    ArtefactSpec,
    BudgetError,
    Granularity,
    Method,
    Plan,
    Start,
    Task,
    Weights,
)
from stampbench.data import catalogue, packed
from stampbench.data.catalogue import CustomDataset, Dataset
from stampbench.data.loader import EpochLoader, evaluation_batches, training_batches
from stampbench.data.split import make_task, test_split
from stampbench.errors import DataError, UserError
from stampbench.job import Job
from stampbench.measure import memory, speed
from stampbench.measure.cost import CostModel
from stampbench.measure.gpu import gpu_state
from stampbench.measure.phases import PhaseClock
from stampbench.measure.provenance import provenance
from stampbench.measure.yardstick import yardstick
from stampbench.networks.check import checked
from stampbench.networks.initial import build, initialise, initialise_head, place
from stampbench.progress import Observer
from stampbench.pruning.compact import compact, widths_of
from stampbench.pruning.groups import Group, channel_groups
from stampbench.pruning.masks import apply_weight_masks
from stampbench.record import Accuracy, ArtefactUse, Cost, DataUse, Record, Seconds, Speed
from stampbench.training import Recipe, Trainer, evaluate, fit

EVALUATION_BATCH = 256


class Speeds(Protocol):
    """The speed measurements so far: the pool's, or what a worker knows of them."""

    def has_speed(self, key: str) -> bool:
        """Whether the speed of that key was measured."""
        ...

    def put_speed(self, speed: Speed) -> None:
        """Keeps a measurement."""
        ...


@dataclass(frozen=True)
class Bench:
    """What jobs run on: speeds measured before, the artefacts, the user's own datasets, a device, who watches."""

    speeds: Speeds
    artefacts: Artefacts
    custom: Mapping[str, CustomDataset]
    device: torch.device
    observer: Observer
    executor: str


@dataclass(frozen=True)
class JobContext:
    """The `Context` of one job: streams keyed by its target and seed, and its clock."""

    device: torch.device
    precision: str
    round_to: int
    floor: float
    dataset: Dataset
    seed: int
    clock: PhaseClock
    checkpoint: Checkpoint

    def generator(self, purpose: str) -> torch.Generator:
        """A stream of the methods' own: no purpose of theirs can meet one of the harness's."""
        return seeding.generator(f"method/{purpose}", self.dataset.name, self.seed)

    def loader(self, task: Task, batch_size: int, purpose: str) -> EpochLoader:
        """Training batches from two streams of the methods' own."""
        return training_batches(task, self.dataset, batch_size, lambda part: self.generator(f"{purpose}/{part}"))

    def phase(self, name: str) -> AbstractContextManager[None]:
        """A named phase of the job's clock."""
        return self.clock.phase(name)


def run(job: Job, bench: Bench) -> Record:
    """Runs a job, or skips it. Whatever goes wrong in it becomes a failed record; only `UserError` is raised."""
    configure(job)
    try:
        if why := unserved(job, method_of(job), bench.custom):
            return failed(job, why, bench, "skipped")
        return _run(job, bench)
    except UserError:
        raise
    except Exception as error:
        return failed(job, reason(error), bench)


def failed(job: Job, why: str, bench: Bench, status: Literal["failed", "skipped"] = "failed") -> Record:
    """The record of a job that has no result."""
    made = provenance(bench.device, job.protocol.precision, bench.executor)
    return Record(key=job.key, job=job, status=status, reason=why, provenance=made)


def unserved(job: Job, method: Method, custom: Mapping[str, CustomDataset]) -> str | None:
    """Return the reason why the job's method cannot serve its network, or None.

    Raises `NetworkError` for a network that breaks the contract.
    """
    return method.serves(*checked(job.network, job.width, catalogue.resolve(job.target, custom).input_size))


def reason(error: Exception) -> str:
    """What an exception says, and where it was raised."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({place.name}, line {place.lineno})"


def configure(job: Job) -> None:
    """The process-wide settings of a job: its threads, and in strict mode algorithms whose bits repeat."""
    strict = job.protocol.mode == "strict"
    torch.set_num_threads(job.protocol.threads)
    # cuBLAS repeats its bits only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(strict)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not strict
    # This kind of attention has no backward pass whose bits repeat.
    torch.backends.cuda.enable_mem_efficient_sdp(not strict)


def _run(job: Job, bench: Bench) -> Record:
    protocol, device = job.protocol, bench.device
    method = method_of(job)
    uses, artefacts = prepare(job, bench)

    memory.reset_peak(device)
    clock = PhaseClock(device)
    dataset = catalogue.resolve(job.target, bench.custom)
    context = _context(job, dataset, job.seed, clock, bench, job.key)
    with clock.phase("data"):
        data = packed.load(job.target, bench.custom)
        # Drawn by the artefact seed: a target-pretrained start has trained on these images and on no others.
        split_seed = seeding.artefact_seed(job.seed)
        task, split_digest = make_task(
            data, dataset, protocol.train_images, protocol.validation_images, split_seed, device
        )
        test = test_split(data, device)
    with clock.phase("start"):
        network, digests = _start(job, task, artefacts.pop(pretraining.KIND, None), device)
        loader = _loader(job, task, dataset)
    with clock.phase("prune"):
        if method.needs_data and job.start is Start.REFERENCE:
            _head_steps(network, job, task, dataset)
        groups = channel_groups(network, task.input_size)
        cost = CostModel.of(network, groups, task.input_size)
        plan = method.plan(network, task, job.budget, artefacts, context)
        costs = _cost(job, cost, plan)
        pruned, masks = _realise(network, groups, plan, job, task)
    trainer = Trainer(pruned, loader, Recipe.of(protocol, protocol.learning_rate.of(job.start), protocol.epochs), masks)
    with clock.phase("yardstick"):
        before = yardstick(device)
    history = fit(
        trainer,
        lambda: evaluation_batches(task.validation, dataset, task.mean, task.std, EVALUATION_BATCH),
        clock,
        lambda epoch, loss, top1: bench.observer.epoch(job.label, epoch, protocol.epochs, loss, top1),
    )
    gpu = gpu_state(device)
    with clock.phase("yardstick"):
        after = yardstick(device)
    with clock.phase("evaluate"):
        batches = evaluation_batches(test, dataset, task.mean, task.std, EVALUATION_BATCH)
        top1, top5 = evaluate(pruned, batches, protocol.precision)
    peak = memory.peak_mib(device)
    seconds = _seconds(clock, uses, history.seconds)
    return Record(
        key=job.key,
        job=job,
        status="done",
        accuracy=Accuracy(
            top1=top1,
            top5=top5 if task.classes >= 100 else None,
            validation_top1=history.accuracy,
            train_loss=history.loss,
        ),
        cost=costs,
        seconds=seconds,
        peak_memory_mib=peak,
        gpu=gpu,
        yardstick=before + after,
        speed=_measured_speed(job, task, costs.widths, cost.widths, bench),
        artefacts=uses,
        digests=digests | loader.digests() | {"split": split_digest},
        data={
            job.target: DataUse(
                name=job.target,
                display_name=data.manifest.display_name,
                train=len(task.train),
                validation=len(task.validation),
                test=len(test),
                source=data.manifest.source,
                digest=data.manifest.digest,
            )
        },
        notes=dict(plan.notes),
        provenance=provenance(device, protocol.precision, bench.executor),
    )


def method_of(job: Job) -> Method:
    """The job's method with its options."""
    found: type[Method] = registry.METHODS.load(job.method)
    return found(found.Options.model_validate(job.options))


def _context(job: Job, dataset: Dataset, seed: int, clock: PhaseClock, bench: Bench, name: str) -> JobContext:
    protocol, checkpoint = job.protocol, _checkpoint(bench, name)
    shape = (protocol.precision, protocol.round_to, protocol.floor)
    return JobContext(bench.device, *shape, dataset, seed, clock, checkpoint)


def _checkpoint(bench: Bench, name: str) -> Checkpoint:
    return Checkpoint(bench.artefacts.cache / "checkpoints" / f"{name}.safetensors")


def prepare(job: Job, bench: Bench, last: str | None = None) -> tuple[list[ArtefactUse], dict[str, Artefact]]:
    """What the job rests on, by kind, made outside the job's clock where it is missing; up to the digest `last`."""
    method = method_of(job)
    uses: list[ArtefactUse] = []
    artefacts: dict[str, Artefact] = {}
    for spec in needed_artefacts(job, method, bench.custom, bench.artefacts):
        digest = digest_of_spec(spec)
        made, reused = bench.artefacts.ensure(
            spec,
            lambda spec=spec: _make(spec, job, method, artefacts, bench),  # type: ignore[misc]
            provenance(bench.device, job.protocol.precision, bench.executor),
        )
        artefacts[spec.kind] = made
        _checkpoint(bench, digest).remove()
        uses.append(ArtefactUse(kind=spec.kind, scope=spec.scope, digest=digest, seconds=made.seconds, reused=reused))
        if digest == last:
            break
    return uses, artefacts


def needed_artefacts(
    job: Job, method: Method, custom: Mapping[str, CustomDataset], artefacts: Artefacts
) -> list[ArtefactSpec]:
    """The specs of what the job rests on, in the order in which it is made, each with the digest of its dataset.

    A job that is to be skipped rests on nothing.
    Where a dataset is not at hand, an artefact that was made from it elsewhere will do; without either, `DataError`.
    """
    if unserved(job, method, custom):
        return []
    start = pretraining.spec_of(job)
    specs = [*([start] if start else []), *method.artefacts(job)]
    return [_with_data(spec, custom, artefacts) for spec in specs]


def _with_data(spec: ArtefactSpec, custom: Mapping[str, CustomDataset], artefacts: Artefacts) -> ArtefactSpec:
    try:
        digest = packed.manifest(spec.dataset, custom).digest
    except DataError:
        made = artefacts.of_any_data(spec)
        if made is None:
            raise
        return made
    return spec.model_copy(update={"recipe": spec.recipe | {"data": digest}})


def _make(spec: ArtefactSpec, job: Job, method: Method, artefacts: Mapping[str, Artefact], bench: Bench) -> Artefact:
    label = f"{spec.kind} {spec.network} × {spec.width:g} on {spec.dataset}, seed {spec.seed}"
    bench.observer.artefact_started(label)
    values, dataset = spec.recipe, catalogue.resolve(spec.dataset, bench.custom)
    # A job draws its target's split by its artefact seed, so nothing here has seen its validation images.
    task, _ = make_task(
        packed.load(spec.dataset, bench.custom),
        dataset,
        values["images"],
        values["validation_images"],
        spec.seed,
        bench.device,
    )
    if spec.kind == pretraining.KIND:
        made = pretraining.pretrain(
            spec,
            task,
            dataset,
            bench.device,
            lambda epoch, loss, top1: bench.observer.epoch(label, epoch, int(values["epochs"]), loss, top1),
        )
    else:
        context = _context(job, dataset, spec.seed, PhaseClock(bench.device), bench, digest_of_spec(spec))
        made = method.prepare(spec, task, artefacts, context)
    bench.observer.artefact_finished(label)
    return made


def _start(job: Job, task: Task, pretrained: Artefact | None, device: torch.device) -> tuple[nn.Module, dict[str, str]]:
    """The dense network that pruning starts from, and digests of its weights and of its head.

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


def _loader(job: Job, task: Task, dataset: Dataset, prefix: str = "") -> EpochLoader:
    def stream(part: str) -> torch.Generator:
        return seeding.generator(prefix + part, job.target, job.seed)

    return training_batches(task, dataset, job.protocol.batch_size, stream)


def _head_steps(network: nn.Module, job: Job, task: Task, dataset: Dataset) -> None:
    """The same first steps of head and weights for every method that reads the data from reference weights."""
    protocol, steps = job.protocol, job.protocol.head_steps
    loader = _loader(job, task, dataset, "head-steps/")
    epochs = max(1, math.ceil(steps / len(loader)))
    trainer = Trainer(network, loader, Recipe.of(protocol, protocol.learning_rate.reference, epochs))
    network.train()
    batches = chain.from_iterable(loader.epoch() for _ in range(epochs))
    for images, labels in islice(batches, steps):
        trainer.step(images, labels)


def _realise(
    network: nn.Module, groups: Sequence[Group], plan: Plan, job: Job, task: Task
) -> tuple[nn.Module, Mapping[str, torch.Tensor] | None]:
    """The plan carried out: channels removed, or weights masked; and the masks that training must hold."""
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


def _cost(job: Job, cost: CostModel, plan: Plan) -> Cost:
    """What the pruned network costs. Raises `BudgetError` if that is more than the budget."""
    if job.granularity is Granularity.WEIGHT:
        kept = sum(int(mask.sum()) for mask in plan.keep.values())
        prunable = sum(mask.numel() for mask in plan.keep.values())
        budget, used, widths = math.floor(job.budget.keep * prunable), kept, dict(cost.widths)
        params, macs = cost.params() - (prunable - kept), cost.macs()
    else:
        widths = widths_of(plan.keep)
        params, macs = cost.params(widths), cost.macs(widths)
        budget, used = math.floor(job.budget.keep * cost.macs()), macs
    if used > budget:
        raise BudgetError(f"the plan uses {used:,} {job.budget.kind}, its budget is {budget:,}")
    return Cost(
        params=params,
        dense_params=cost.params(),
        macs=macs,
        dense_macs=cost.macs(),
        macs_unused=budget - used,
        widths=widths,
        floored=list(plan.notes.get("floored", [])),
    )


def _seconds(clock: PhaseClock, uses: list[ArtefactUse], epochs: list[float]) -> Seconds:
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


def _measured_speed(
    job: Job, task: Task, widths: Mapping[str, int], dense_widths: Mapping[str, int], bench: Bench
) -> str:
    """The key of the speed at these widths on this device, measured if it has not been."""
    precision = job.protocol.precision
    key = speed.speed_key(job.network, task.classes, task.input_size, widths, precision, bench.executor)
    if not bench.speeds.has_speed(key):
        bench.speeds.put_speed(
            speed.measure(
                job.network,
                task.classes,
                task.input_size,
                widths,
                dense_widths,
                precision,
                bench.device,
                bench.executor,
            )
        )
    return key
