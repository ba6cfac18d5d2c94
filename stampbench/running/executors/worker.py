"""The work of a worker of any cluster: it turns an order into a job's record or an artefact's files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from stampbench.data import packed
from stampbench.data.catalogue import CustomDataset
from stampbench.errors import UserError
from stampbench.job import Job
from stampbench.measure.provenance import source_digest
from stampbench.running.artefacts import Artefacts
from stampbench.running.executors.base import tidy_cache
from stampbench.running.preparing import prepare
from stampbench.running.progress import Observer
from stampbench.running.runner import reason
from stampbench.running.runner import run as run_job
from stampbench.running.workplace import NewSpeeds, Workplace

Files = Mapping[str, bytes]


@dataclass(frozen=True)
class Order:
    """An order to run the job or, with an `artefact` (a digest), to make that artefact of the job.

    `needs` holds the digests of the artefacts that must be at hand first.
    """

    job: Job
    artefact: str | None
    needs: tuple[str, ...]

    @property
    def key(self) -> str:
        """The key of the job's record, or the artefact's digest."""
        return self.artefact or self.job.key

    @property
    def label(self) -> str:
        """The order in words."""
        return f"artefact {self.artefact} of {self.job.label}" if self.artefact else self.job.label


@dataclass(frozen=True)
class WorkerSettings:
    """The facts that a worker would otherwise read from the pool or suite file; the driver sends them with an order.

    `source` is the digest of the driver's sources, and `speeds` holds the keys of the speeds that are measured already.
    """

    executor: str
    exclusive: bool
    custom: Mapping[str, CustomDataset]
    source: str
    speeds: frozenset[str]


@dataclass(frozen=True)
class Outcome:
    """The answer of a worker: a record and new speeds as JSON, or an artefact's files, or the reason for neither.

    A `failure` concerns this order only; a `refusal` ends the whole run.
    """

    record: str | None = None
    speeds: Sequence[str] = ()
    files: Files = field(default_factory=dict)
    failure: str | None = None
    refusal: str | None = None


def work(
    order: Order, settings: WorkerSettings, device: torch.device, observer: Observer, fetch: Callable[[str], Files]
) -> Outcome:
    """Carry out an order on this machine; `fetch` returns the files of an artefact that its cache lacks."""
    if settings.source != source_digest():
        return Outcome(
            refusal="a node of the cluster has other sources of stampbench; install the same version on all nodes"
        )
    tidy_cache()
    cache = packed.cache_root() / "artefacts"
    speeds = NewSpeeds(settings.speeds.__contains__)
    workplace = Workplace(
        speeds, Artefacts(cache, cache), settings.custom, device, observer, settings.executor, settings.exclusive
    )
    try:
        for digest in order.needs:
            if workplace.artefacts.held(digest) is None:
                workplace.artefacts.receive(digest, fetch(digest))
        if order.artefact is None:
            record = run_job(order.job, workplace)
            return Outcome(record.model_dump_json(), [speed.model_dump_json() for speed in speeds.take()])
        prepare(order.job, workplace, order.artefact)
        folder = workplace.artefacts.held(order.artefact)
        assert folder is not None
        return Outcome(files=files_of(folder))
    except UserError as error:
        return Outcome(refusal=str(error))
    except Exception as error:
        return Outcome(failure=reason(error))


def files_of(folder: Path) -> Files:
    """Return the contents of a folder's files by name."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}
