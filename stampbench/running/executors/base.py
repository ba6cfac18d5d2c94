"""The base of all executors: options, two facts about its machines, and one function that runs jobs."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError

from stampbench import registry
from stampbench.data import packed
from stampbench.errors import UserError
from stampbench.files import sweep
from stampbench.job import Job
from stampbench.measure.busy import warn_if_busy
from stampbench.mistakes import mistakes
from stampbench.record import Record, Speed
from stampbench.running.artefacts import Artefacts
from stampbench.running.progress import Observer
from stampbench.running.workplace import Workplace
from stampbench.seeding import digest_of_json
from stampbench.store import Store
from stampbench.suite import Suite

# What a job's record and speed take at most, with a margin.
RECORD_BYTES = 2**20


class Executor(BaseModel, ABC):
    """A way to run jobs. Its fields are its options, as `--executor-option FIELD=VALUE` sets them.

    `exclusive` says whether a job has its machine to itself; if not, its seconds and speeds are kept apart from others.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: ClassVar[str]
    exclusive: ClassVar[bool]

    @property
    @abstractmethod
    def cuda(self) -> bool:
        """True if jobs run on CUDA devices, which decides on the default preset and precision."""

    @abstractmethod
    def run(
        self,
        jobs: Sequence[Job],
        suite: Suite,
        store: Store,
        observer: Observer,
        retry: bool = False,
        seconds_left: float | None = None,
    ) -> list[Record]:
        """Run the missing jobs (see `missing`), store each record as its job ends, and return the new records.

        `seconds_left` is an estimate for the observer. Raises `UserError` for missing data and for wrong options, and
        `KeyboardInterrupt` after Ctrl-C; what is stored by then stays.
        """


def executor_of(name: str, settings: Iterable[str]) -> Executor:
    """Return the executor of that name, with its options set by texts of the form "key=value".

    Raises `UserError` for an unknown name and for options that the executor does not take.
    """
    executor: type[Executor] = registry.EXECUTORS.load(name)
    values = {}
    for text in settings:
        key, equals, value = text.partition("=")
        if not equals:
            raise UserError(f"executor option {text!r} has no value; write it as {text}=VALUE")
        values[key] = value
    try:
        return executor.model_validate(values)
    except ValidationError as error:
        reasons = mistakes(error, set(executor.model_fields))
        raise UserError(f"options of executor {name!r} are refused:\n{reasons}") from error


def missing(jobs: Sequence[Job], store: Store, retry: bool) -> list[Job]:
    """Return the jobs that have no record and, with `retry`, also those whose record is not "done"."""
    found = store.of(jobs)
    return [job for job in jobs if job.key not in found or (retry and found[job.key].status != "done")]


def keep(record: Record, speeds: Iterable[Speed], store: Store) -> None:
    """Store what a job made, and warn if the machine was busy meanwhile.

    Where the pool refuses it, keep it in the cache and raise a `UserError` that says so.
    """
    try:
        _put(record, speeds, store)
    except UserError as error:
        refuge = _refuge(store)
        try:
            _put(record, speeds, refuge)
        except UserError:
            raise error from None
        raise UserError(f"{error}. The finished job is not lost: that command takes it from {refuge.root}") from error
    warn_if_busy(record, store.records())


def tidy(store: Store) -> None:
    """Take over what an earlier run could not store, and remove the temporary files that killed runs left."""
    refuge = _refuge(store)
    for record in refuge.records():
        speeds = [speed for speed in [refuge.speed(record.speed or "")] if speed is not None]
        _put(record, speeds, store)
    shutil.rmtree(refuge.root, ignore_errors=True)
    for name in ("records", "speed", "artefacts"):
        sweep(store.root / name)
    tidy_cache()


def tidy_cache() -> None:
    """Remove the temporary files that killed processes left in this machine's cache."""
    for name in ("", "data", "artefacts", "artefacts/checkpoints"):
        sweep(packed.cache_root() / name)


def _put(record: Record, speeds: Iterable[Speed], store: Store) -> None:
    for speed in speeds:
        store.put_speed(speed)
    store.put(record)


def _refuge(store: Store) -> Store:
    """Return the place in the cache for what that pool refuses."""
    return Store(packed.cache_root() / "unsaved" / digest_of_json(str(store.root.resolve())))


def workplace_of(suite: Suite, store: Store, observer: Observer, executor: Executor) -> Workplace:
    """Return what jobs run on in this process: its first CUDA device if it has one, else the CPU."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return Workplace(
        store, Artefacts.beside(store.artefacts), suite.datasets, device, observer, executor.name, executor.exclusive
    )
