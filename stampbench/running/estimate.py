"""The estimate of how long the missing jobs of a suite will take, learned from existing records."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from stampbench.data.catalogue import DATASETS
from stampbench.job import Granularity, Job
from stampbench.record import ArtefactUse, Record
from stampbench.seeding import artefact_seed, digest_of_json

ANY_WIDTH = "any width"


@dataclass(frozen=True)
class Estimate:
    """The numbers of jobs done and missing, and the wall-clock seconds that the missing ones will take.

    `unknown` counts the missing jobs that no record resembles; `seconds` leaves them out, and is None if that is all
    of them. It is 0 if no job is missing.
    """

    done: int
    missing: int
    seconds: float | None
    unknown: int


def estimate(
    jobs: Sequence[Job], records: Iterable[Record], cuda: bool = False, again: Collection[str] = ()
) -> Estimate:
    """Estimate how long `jobs` take on the CPU, or with `cuda` on a CUDA device, from records made on the same.

    Jobs whose key is in `again` count as missing though they have a record.
    """
    return PastRecords(records, cuda).estimate(jobs, again)


def wall_seconds(record: Record) -> float:
    """Return the seconds of the job itself, all phases but without the making of artefacts; 0 if it did not finish."""
    spent = record.seconds
    return sum(spent.phases.values()) + spent.outside if spent else 0.0


class PastRecords:
    """The times of finished records, indexed by what a job may share with them.

    A job is expected to take the median time of the records that share most with it: those of the same cell, else of
    the same method, else of the same network, else of the dense network at other widths; always of the same precision
    and kind of device. Outside its cell, the time is scaled by epochs × images × pixels, by the share of MACs where the
    budgets differ, and by the square of the width where that does.
    """

    def __init__(self, records: Iterable[Record], cuda: bool = False) -> None:
        """Index these records; times are learned from those made on CUDA devices if `cuda`, else on CPUs."""
        self._known: set[str] = set()
        self._rates: dict[Hashable, list[float]] = defaultdict(list)
        self._artefacts: dict[Hashable, dict[tuple[str, str], list[float]]] = defaultdict(dict)
        self._made: set[Hashable] = set()
        for record in records:
            self._known.add(record.key)
            on_cuda = record.provenance.device not in ("cpu", record.provenance.cpu)
            if record.status == "done" and on_cuda == cuda:
                self._add(record)

    def estimate(self, jobs: Sequence[Job], again: Collection[str] = ()) -> Estimate:
        """Estimate how many of these jobs are missing and how long they take; each needed artefact counts once.

        Jobs whose key is in `again` count as missing though they have a record.
        """
        missing = [job for job in jobs if job.key not in self._known or job.key in again]
        seconds = [self.seconds(job) for job in missing]
        learned = [value for value in seconds if value is not None]
        total = sum(learned) + self.artefacts(missing) if learned or not missing else None
        return Estimate(len(jobs) - len(missing), len(missing), total, len(seconds) - len(learned))

    def seconds(self, job: Job) -> float | None:
        """Return the seconds that this job is expected to take, or None if no record resembles it."""
        for alike, work in _similarities(job):
            if rates := self._rates.get(alike):
                return median(rates) * work
        return None

    def artefacts(self, jobs: Iterable[Job]) -> float:
        """Return the seconds that it takes to make the artefacts that these jobs need and no record has used yet."""
        needed: dict[Hashable, float] = {}
        for job in jobs:
            known = ((self._artefacts[key], scale) for key, scale in _needs(job) if key in self._artefacts)
            kinds, scale = next(known, ({}, 1.0))
            for kind, seconds in kinds.items():
                artefact = _artefact(job, *kind)
                if artefact not in self._made:
                    needed[artefact] = median(seconds) * scale * _artefact_work(job, kind[1])
        return sum(needed.values())

    def _add(self, record: Record) -> None:
        for alike, work in _similarities(record.job):
            # What is pruned from a narrow network takes more time than its share of MACs, unlike at full width.
            if alike[0] != ANY_WIDTH or record.job.budget.keep == 1:
                self._rates[alike].append(wall_seconds(record) / work)
        for use in record.artefacts:
            self._made.add(_artefact(record.job, use.kind, use.scope))
            for key, scale in _needs(record.job):
                rates = self._artefacts[key].setdefault((use.kind, use.scope), [])
                rates.append(_rate(record.job, use) / scale)


def _similarities(job: Job) -> Iterator[tuple[tuple[Hashable, ...], float]]:
    """Yield keys that similar jobs share, the most similar first, and the work that their times are proportional to."""
    network = (job.network, job.width, job.protocol.precision)
    method = (job.method, digest_of_json(job.options), job.start, job.granularity)
    images = job.protocol.epochs * _images(job) * _pixels(job)
    yield ("cell", network, method, job.target, job.budget, job.protocol), 1.0
    yield ("target", network, method, job.target, job.budget), images
    yield ("method", network, method, job.budget), images
    yield ("budget", network, job.budget), images
    # Masked weights are still multiplied: only removed channels save time.
    work = images * (job.budget.keep if job.granularity is Granularity.CHANNEL else 1.0)
    yield ("network", network), work
    yield (ANY_WIDTH, job.network, job.protocol.precision), work * job.width**2


def _images(job: Job) -> int:
    known = DATASETS.get(job.target)
    full = known.full_train if known else None
    return min(count for count in (job.protocol.train_images, full, 10**6) if count is not None)


def _pixels(job: Job) -> float:
    known = DATASETS.get(job.target)
    return (known.input_size if known else 32) ** 2 / 32**2


def _needs(job: Job) -> Iterator[tuple[Hashable, float]]:
    """Yield keys that jobs share which need the same kinds of artefacts, and what the times are proportional to."""
    kinds = (job.network, job.protocol.precision, job.method, job.start, job.budget.table is not None)
    yield (job.width, *kinds), 1.0
    yield (ANY_WIDTH, *kinds), job.width**2


def _artefact(job: Job, kind: str, scope: str) -> Hashable:
    """Return a key that is equal for jobs that share one artefact of that kind."""
    if scope == "device":
        return kind, job.network, job.width, job.budget.resource, job.budget.table
    shared = (kind, job.network, job.width, artefact_seed(job.seed), job.protocol.precision)
    return (*shared, job.protocol.reference) if scope == "reference" else (*shared, job.target, job.protocol)


def _artefact_work(job: Job, scope: str) -> float:
    """Return the work of making one artefact: epochs × images (× pixels, relative to 32×32, for target scope).

    A table of layers, of scope "device", takes as long whatever is trained.
    """
    if scope == "device":
        return 1.0
    reference = job.protocol.reference
    if scope == "target" or reference is None:
        return job.protocol.epochs * _images(job) * _pixels(job)
    known = DATASETS.get(reference.dataset)
    full = known.full_train if known else None
    return reference.epochs * (reference.images or full or 1)


def _rate(job: Job, use: ArtefactUse) -> float:
    return use.seconds / _artefact_work(job, use.scope)
