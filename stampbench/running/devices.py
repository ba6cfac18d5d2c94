"""Budgets of time in a pool with records of several devices: which device's jobs stand in which section."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from stampbench.job import Job
from stampbench.running import layer_times
from stampbench.store import Store


def by_device(jobs: Sequence[Job], store: Store) -> list[list[Job]]:
    """Return lists of the jobs whose budgets of time name the tables of layers that the pool's records name.

    A share of time is a share on the job's own device, so all jobs of one target, network, width and seed follow one
    device. In the first list this is the device with most finished records of them, in the second list the device with
    second most, and so on; there are as many lists as find records, but at least one.
    """
    if not any(layer_times.timing_of(job) for job in jobs):
        return [list(jobs)]
    runs = [_named(jobs, tables) for tables in _tables(store).values()] or [list(jobs)]
    done = [_done(run, store) for run in runs]

    def ranked(job: Job) -> list[int]:
        return sorted(range(len(runs)), key=lambda run: (-done[run][_together(job)], -done[run].total()))

    order = [ranked(job) for job in jobs]
    found = [[runs[order[index][rank]][index] for index in range(len(jobs))] for rank in range(len(runs))]
    return [run for rank, run in enumerate(found) if rank == 0 or _done(run, store)]


def _tables(store: Store) -> dict[str, dict[tuple[Any, ...], str]]:
    """Return what tables are measured for, and the tables, by device; of several, that of the latest record counts."""
    tables: dict[str, dict[tuple[Any, ...], str]] = {}
    timed = [record for record in store.records() if record.job.budget.table]
    for record in sorted(timed, key=lambda record: record.provenance.finished):
        tables.setdefault(record.provenance.device, {})[_measured_for(record.job)] = str(record.job.budget.table)
    return tables


def _named(jobs: Sequence[Job], tables: Mapping[tuple[Any, ...], str]) -> list[Job]:
    """Return the jobs, with the table of one device named in every budget that rests on one."""

    def named(job: Job) -> Job:
        table = tables.get(_measured_for(job))
        budget = job.budget.model_copy(update={"table": table})
        return job if table is None else job.model_copy(update={"budget": budget})

    return [named(job) for job in jobs]


def _done(jobs: Sequence[Job], store: Store) -> Counter[tuple[Any, ...]]:
    """Return how many jobs with budgets of time are finished, by what stays on one device."""
    records = store.of(job for job in jobs if job.budget.table)
    return Counter(_together(record.job) for record in records.values() if record.status == "done")


def _together(job: Job) -> tuple[Any, ...]:
    return (job.target, job.network, job.width, job.seed)


def _measured_for(job: Job) -> tuple[Any, ...]:
    protocol = job.protocol
    conditions = (protocol.precision, protocol.threads, protocol.mode, protocol.round_to)
    return (job.budget.resource, job.network, job.width, job.target, *conditions)
