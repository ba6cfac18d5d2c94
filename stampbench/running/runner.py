"""The protocol, which turns one job into one record, readable from top to bottom."""

from __future__ import annotations

import os
import traceback
from typing import Literal

import torch
from torch import nn

from stampbench.contract import Start
from stampbench.data import catalogue
from stampbench.errors import UserError
from stampbench.job import Job
from stampbench.measure import hardware, memory
from stampbench.measure.phases import PhaseClock
from stampbench.measure.provenance import provenance
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import channel_groups
from stampbench.record import Record
from stampbench.running import layer_times, pretraining
from stampbench.running.context import context_of
from stampbench.running.preparing import method_of, prepare, unserved
from stampbench.running.stages import (
    cost_of,
    head_steps,
    images_of,
    loader_of,
    measured_speed,
    realise,
    seconds_of,
    start_network,
    train_and_test,
)
from stampbench.running.workplace import Workplace
from stampbench.training import Recipe, Trainer


def run(job: Job, workplace: Workplace) -> Record:
    """Run a job, or skip it. Whatever goes wrong in it becomes a failed record; only `UserError` is raised."""
    return run_to_network(job, workplace)[0]


def run_to_network(job: Job, workplace: Workplace) -> tuple[Record, nn.Module | None]:
    """Run a job as `run` does, and return the trained network too: on the device, in eval mode; None without a result.

    Masked weights are zeros in a network of the dense shape.
    """
    configure(job)
    try:
        if why := unserved(job, method_of(job), workplace.custom):
            return failed(job, why, workplace, "skipped"), None
        return _run(job, workplace)
    except UserError:
        raise
    except Exception as error:
        return failed(job, reason(error), workplace), None


def failed(job: Job, why: str, workplace: Workplace, status: Literal["failed", "skipped"] = "failed") -> Record:
    """Return the record of a job that has no result."""
    made = provenance(workplace.device, job.protocol.precision, workplace.executor, workplace.exclusive)
    return Record(key=job.key, job=job, status=status, reason=why, provenance=made)


def reason(error: Exception) -> str:
    """Return what an exception says, and where it was raised."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {error} ({place.name}, line {place.lineno})"


def configure(job: Job) -> None:
    """Set what holds for a process: memory, the job's threads and, in strict mode, algorithms whose bits repeat."""
    hardware.refuse_more_threads(job.protocol.threads)
    memory.keep_freed()
    strict = job.protocol.mode == "strict"
    torch.set_num_threads(job.protocol.threads)
    # cuBLAS repeats its bits only with a workspace of fixed size.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(strict)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = not strict
    # This kind of attention has no backward pass whose bits repeat.
    torch.backends.cuda.enable_mem_efficient_sdp(not strict)


def _run(job: Job, workplace: Workplace) -> tuple[Record, nn.Module]:
    device, method = workplace.device, method_of(job)
    uses, artefacts = prepare(job, workplace)
    memory.reset_peak(device)
    clock = PhaseClock(device)
    dataset = catalogue.resolve(job.target, workplace.custom)
    table = artefacts.pop(layer_times.KIND, None)
    context = context_of(job, dataset, job.seed, clock, workplace, job.key, table)
    with clock.phase("data"):
        images = images_of(job, dataset, workplace)
    with clock.phase("start"):
        network, digests = start_network(job, images.task, artefacts.pop(pretraining.KIND, None), device)
        loader = loader_of(job, images.task, dataset)
        if loader.batch_size < job.protocol.batch_size:
            why = f"the job trains on {loader.batch_size} images, so a batch holds those"
            workplace.observer.note(f"batch_size {job.protocol.batch_size} is cut: {why}")
    with clock.phase("prune"):
        if method.needs_data and job.start is Start.REFERENCE:
            head_steps(network, job, images.task, dataset)
        groups = channel_groups(network, images.task.input_size)
        cost = CostModel.of(network, groups, images.task.input_size)
        plan = method.plan(network, images.task, job.budget, artefacts, context)
        costs = cost_of(job, cost, context.resource.pricing(cost), plan)
        pruned, masks = realise(network, groups, plan, job, images.task)
    recipe = Recipe.of(job.protocol, job.protocol.learning_rate.of(job.start), job.protocol.epochs)
    report = workplace.reporter(job.label, recipe.epochs)
    trained = train_and_test(Trainer(pruned, loader, recipe, masks), images, dataset, clock, report)
    peak = memory.peak_mib(device)
    record = Record(
        key=job.key,
        job=job,
        status="done",
        accuracy=trained.accuracy,
        cost=costs,
        seconds=seconds_of(clock, uses, trained.epochs),
        peak_memory_mib=peak,
        gpu=trained.gpu,
        yardstick=trained.yardstick,
        speed=measured_speed(job, images.task, costs.widths, cost.widths, workplace),
        artefacts=uses,
        digests=digests | loader.digests() | {"split": images.split_digest},
        data={job.target: images.use},
        notes=dict(plan.notes),
        provenance=provenance(device, job.protocol.precision, workplace.executor, workplace.exclusive),
    )
    return record, pruned
