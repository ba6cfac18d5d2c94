"""How long the missing jobs of a suite will take, learned from the records that are there."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from stampbench.data.catalogue import DATASETS
from stampbench.job import Granularity, Job
from stampbench.record import ArtefactUse, Record
from stampbench.seeding import artefact_seed, digest_of_json


@dataclass(frozen=True)
class Estimate:
    """Jobs done and missing, and the wall-clock seconds that the missing ones will take.

    `unknown` counts missing jobs that nothing can be learned for; `seconds` leaves them out, and is None if
    nothing is known of any. Nothing missing is 0 seconds.
    """

    done: int
    missing: int
    seconds: float | None
    unknown: int


def estimate(
    jobs: Sequence[Job], records: Iterable[Record], cuda: bool = False, again: Collection[str] = ()
) -> Estimate:
    """What `jobs` will take on the CPU, or a CUDA device, going by the records made on the same.

    Jobs whose key is in `again` are missing though they have a record.
    """
    return Experience(records, cuda).estimate(jobs, again)


def wall_seconds(record: Record) -> float:
    """What the job itself took: all of its clock, so not the making of artefacts; 0 if it did not finish."""
    spent = record.seconds
    return sum(spent.phases.values()) + spent.outside if spent else 0.0


class Experience:
    """Records, indexed by how near they are to a job.

    A job takes the median of its nearest finished records: of the same cell, else of the same method, else of
    the same network; always of the same precision, and made on CUDA or not as `cuda` says. Outside its cell
    it is scaled by epochs × images × pixels, and by the share of MACs where the budgets differ.
    """

    def __init__(self, records: Iterable[Record], cuda: bool = False) -> None:
        self._known: set[str] = set()
        self._rates: dict[Hashable, list[float]] = defaultdict(list)
        self._artefacts: dict[Hashable, dict[tuple[str, str], list[float]]] = defaultdict(dict)
        self._made: set[Hashable] = set()
        for record in records:
            self._known.add(record.key)
            on_cuda = record.provenance.device not in ("cpu", record.provenance.cpu)
            if record.status == "done" and on_cuda == cuda:
                self._learn(record)

    def estimate(self, jobs: Sequence[Job], again: Collection[str] = ()) -> Estimate:
        """What is missing of these jobs, and for how long; the artefacts they need are added once each.

        Jobs whose key is in `again` are missing though they have a record.
        """
        missing = [job for job in jobs if job.key not in self._known or job.key in again]
        seconds = [self.seconds(job) for job in missing]
        learned = [value for value in seconds if value is not None]
        total = sum(learned) + self.artefacts(missing) if learned or not missing else None
        return Estimate(len(jobs) - len(missing), len(missing), total, len(seconds) - len(learned))

    def seconds(self, job: Job) -> float | None:
        """Seconds of this job by its nearest records, or None."""
        for near, work in _nearness(job):
            if rates := self._rates.get(near):
                return median(rates) * work
        return None

    def artefacts(self, jobs: Iterable[Job]) -> float:
        """Seconds of the artefacts that these jobs need and no record has used yet."""
        needed: dict[Hashable, float] = {}
        for job in jobs:
            for kind, seconds in self._artefacts.get(_artefact_user(job), {}).items():
                place = _artefact_place(job, *kind)
                if place not in self._made:
                    needed[place] = median(seconds) * _pretraining(job, kind[1])
        return sum(needed.values())

    def _learn(self, record: Record) -> None:
        for near, work in _nearness(record.job):
            self._rates[near].append(wall_seconds(record) / work)
        user = self._artefacts[_artefact_user(record.job)]
        for use in record.artefacts:
            self._made.add(_artefact_place(record.job, use.kind, use.scope))
            user.setdefault((use.kind, use.scope), []).append(_rate(record.job, use))


def _nearness(job: Job) -> Iterator[tuple[Hashable, float]]:
    """Keys under which alike jobs meet, nearest first, with the work that seconds are proportional to."""
    network = (job.network, job.width, job.protocol.precision)
    method = (job.method, digest_of_json(job.options), job.start, job.granularity)
    images = job.protocol.epochs * _images(job) * _pixels(job)
    yield ("cell", network, method, job.target, job.budget, job.protocol), 1.0
    yield ("target", network, method, job.target, job.budget), images
    yield ("method", network, method, job.budget), images
    yield ("budget", network, job.budget), images
    # Masked weights are still multiplied: only removed channels save time.
    yield ("network", network), images * (job.budget.keep if job.granularity is Granularity.CHANNEL else 1.0)


def _images(job: Job) -> int:
    known = DATASETS.get(job.target)
    full = known.full_train if known else None
    return min(count for count in (job.protocol.train_images, full, 10**6) if count is not None)


def _pixels(job: Job) -> float:
    known = DATASETS.get(job.target)
    return (known.input_size if known else 32) ** 2 / 32**2


def _artefact_user(job: Job) -> Hashable:
    """Jobs alike here need the same kinds of artefacts."""
    return job.network, job.width, job.protocol.precision, job.method, job.start


def _artefact_place(job: Job, kind: str, scope: str) -> Hashable:
    """Jobs alike here share one artefact of that kind."""
    shared = (kind, job.network, job.width, artefact_seed(job.seed), job.protocol.precision)
    return (*shared, job.protocol.reference) if scope == "reference" else (*shared, job.target, job.protocol)


def _pretraining(job: Job, scope: str) -> float:
    """The work of one artefact, in epochs of images."""
    reference = job.protocol.reference
    if scope == "target" or reference is None:
        return job.protocol.epochs * _images(job) * _pixels(job)
    known = DATASETS.get(reference.dataset)
    full = known.full_train if known else None
    return reference.epochs * (reference.images or full or 1)


def _rate(job: Job, use: ArtefactUse) -> float:
    return use.seconds / _pretraining(job, use.scope)
