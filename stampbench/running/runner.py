"""The protocol, which turns one job into one record, readable from top to bottom."""

from __future__ import annotations

import os
import traceback
from typing import Literal

import torch

from stampbench import seeding
from stampbench.contract import Start
from stampbench.data import catalogue, packed
from stampbench.data.loader import evaluation_batches
from stampbench.data.split import make_task, test_split
from stampbench.errors import UserError
from stampbench.job import Job
from stampbench.measure import memory
from stampbench.measure.gpu import gpu_state
from stampbench.measure.phases import PhaseClock
from stampbench.measure.provenance import provenance
from stampbench.measure.yardstick import yardstick
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import channel_groups
from stampbench.record import Accuracy, DataUse, Record
from stampbench.running import pretraining
from stampbench.running.context import context_of
from stampbench.running.preparing import method_of, prepare, unserved
from stampbench.running.stages import (
    cost_of,
    head_steps,
    loader_of,
    measured_speed,
    realise,
    seconds_of,
    start_network,
)
from stampbench.running.workplace import Workplace
from stampbench.training import Recipe, Trainer, evaluate, fit

EVALUATION_BATCH = 256


def run(job: Job, workplace: Workplace) -> Record:
    """Run a job, or skip it. Whatever goes wrong in it becomes a failed record; only `UserError` is raised."""
    configure(job)
    try:
        if why := unserved(job, method_of(job), workplace.custom):
            return failed(job, why, workplace, "skipped")
        return _run(job, workplace)
    except UserError:
        raise
    except Exception as error:
        return failed(job, reason(error), workplace)


def failed(job: Job, why: str, workplace: Workplace, status: Literal["failed", "skipped"] = "failed") -> Record:
    """Return the record of a job that has no result."""
    made = provenance(workplace.device, job.protocol.precision, workplace.executor, workplace.exclusive)
    return Record(key=job.key, job=job, status=status, reason=why, provenance=made)


def reason(error: Exception) -> str:
    """Return what an exception says, and where it was raised."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({place.name}, line {place.lineno})"


def configure(job: Job) -> None:
    """Set what is set for a whole process: the job's threads, and in strict mode algorithms whose bits repeat."""
    strict = job.protocol.mode == "strict"
    torch.set_num_threads(job.protocol.threads)
    # cuBLAS repeats its bits only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(strict)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not strict
    # This kind of attention has no backward pass whose bits repeat.
    torch.backends.cuda.enable_mem_efficient_sdp(not strict)


def _run(job: Job, workplace: Workplace) -> Record:
    protocol, device = job.protocol, workplace.device
    method = method_of(job)
    uses, artefacts = prepare(job, workplace)

    memory.reset_peak(device)
    clock = PhaseClock(device)
    dataset = catalogue.resolve(job.target, workplace.custom)
    context = context_of(job, dataset, job.seed, clock, workplace, job.key)
    with clock.phase("data"):
        data = packed.load(job.target, workplace.custom)
        # Drawn by the artefact seed: a target-pretrained start has trained on these images and on no others.
        split_seed = seeding.artefact_seed(job.seed)
        task, split_digest = make_task(
            data, dataset, protocol.train_images, protocol.validation_images, split_seed, device
        )
        test = test_split(data, device)
    with clock.phase("start"):
        network, digests = start_network(job, task, artefacts.pop(pretraining.KIND, None), device)
        loader = loader_of(job, task, dataset)
    with clock.phase("prune"):
        if method.needs_data and job.start is Start.REFERENCE:
            head_steps(network, job, task, dataset)
        groups = channel_groups(network, task.input_size)
        cost = CostModel.of(network, groups, task.input_size)
        plan = method.plan(network, task, job.budget, artefacts, context)
        costs = cost_of(job, cost, context.resource.pricing(cost), plan)
        pruned, masks = realise(network, groups, plan, job, task)
    trainer = Trainer(pruned, loader, Recipe.of(protocol, protocol.learning_rate.of(job.start), protocol.epochs), masks)
    with clock.phase("yardstick"):
        before = yardstick(device)
    history = fit(
        trainer,
        lambda: evaluation_batches(task.validation, dataset, task.mean, task.std, EVALUATION_BATCH),
        clock,
        lambda epoch, loss, top1: workplace.observer.epoch(job.label, epoch, protocol.epochs, loss, top1),
    )
    gpu = gpu_state(device)
    with clock.phase("yardstick"):
        after = yardstick(device)
    with clock.phase("evaluate"):
        batches = evaluation_batches(test, dataset, task.mean, task.std, EVALUATION_BATCH)
        top1, top5 = evaluate(pruned, batches, protocol.precision)
    peak = memory.peak_mib(device)
    seconds = seconds_of(clock, uses, history.seconds)
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
        speed=measured_speed(job, task, costs.widths, cost.widths, workplace),
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
        provenance=provenance(device, protocol.precision, workplace.executor, workplace.exclusive),
    )
