"""The table of layers behind budgets of time: an artefact that belongs to a device, and that jobs name.

Listing jobs needs no torch and measures nothing; a table is measured when the first job that names it is prepared.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from stampbench import registry
from stampbench.contract import Artefact, ArtefactSpec
from stampbench.data import catalogue
from stampbench.data.catalogue import CustomDataset
from stampbench.errors import UserError
from stampbench.job import WEIGHTS, Job
from stampbench.measure import hardware

if TYPE_CHECKING:
    import torch

_LOG = logging.getLogger("stampbench")
KIND = "layer-times"
# It rises with any change of what is measured, and how.
VERSION = 9
# The most that a table may miss whole networks by without a warning: twice what errors of measured shares alone make.
MOST_ERROR = 0.06


def timing_of(job: Job) -> str | None:
    """Return the timing that the job's budget is a share of, such as "train_step"; None if its cost is exact."""
    resource = job.budget.resource
    return None if resource == WEIGHTS else registry.RESOURCES.load(resource).timing


def with_tables(jobs: Sequence[Job], custom: Mapping[str, CustomDataset]) -> list[Job]:
    """Return the jobs, with the table of this machine's device named in every budget of time."""
    return [_with_table(job, custom) if timing_of(job) else job for job in jobs]


def spec_of(job: Job, custom: Mapping[str, CustomDataset]) -> ArtefactSpec | None:
    """Return the spec of the table that the job names, or None where its budget is no time, or names none yet.

    Raises `UserError` if it is the table of another device.
    """
    if job.budget.table is None or not timing_of(job):
        return None
    spec = _spec_here(job, custom)
    if spec.digest != job.budget.table:
        raise UserError(
            f"{job.label} names the table of layers {job.budget.table}, and this device's is {spec.digest}: its budget "
            "was measured elsewhere; list the jobs again on the machine that runs them"
        )
    return spec


def make(spec: ArtefactSpec, device: torch.device, progress: Callable[[int, int], None]) -> Artefact:
    """Measure the table of a spec on the device, which must be idle; `progress` is told the steps done, and all."""
    from stampbench.measure.layer_times import measure_layers
    from stampbench.networks.check import checked

    recipe = spec.recipe
    network, groups = checked(spec.network, spec.width, recipe["input_size"])
    begun = time.perf_counter()
    what = (recipe["input_size"], recipe["round_to"], recipe["timing"], recipe["precision"])
    table, notes = measure_layers(spec.network, network, groups, *what, device, progress)
    _warn_of_misses(spec, notes["median_error"])
    return Artefact(table.tensors, time.perf_counter() - begun, notes)


def _warn_of_misses(spec: ArtefactSpec, error: float) -> None:
    """Warn if a table misses the very networks that calibrated it: then plans miss their budgets of time."""
    if error > MOST_ERROR:
        round_to = spec.recipe["round_to"]
        _LOG.warning(
            "the table of layers misses the networks that calibrated it by %.0f %% (median), so plans will miss their "
            "budgets. If the machine was busy, remove the folders %s from the pool's and the cache's artefacts, and "
            "run again. If kernels take longer for %d channels than for more, set round_to = %d in the protocol.",
            100 * error,
            spec.digest,
            round_to,
            max(16, 2 * round_to),
        )


def _with_table(job: Job, custom: Mapping[str, CustomDataset]) -> Job:
    named = job.budget.model_copy(update={"table": _spec_here(job, custom).digest})
    return job.model_copy(update={"budget": named})


def _spec_here(job: Job, custom: Mapping[str, CustomDataset]) -> ArtefactSpec:
    protocol = job.protocol
    recipe = {
        "version": VERSION,
        "timing": timing_of(job),
        "input_size": catalogue.resolve(job.target, custom).input_size,
        "round_to": protocol.round_to,
        "precision": protocol.precision,
        "threads": protocol.threads,
        "mode": protocol.mode,
        "device": hardware.device_name(),
        "cpu_generation": hardware.cpu_generation(),
        "torch": version("torch"),
    }
    return ArtefactSpec(
        kind=KIND, scope="device", dataset="", network=job.network, width=job.width, seed=0, recipe=recipe
    )
