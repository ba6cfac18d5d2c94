"""The scheduler of a cluster of any kind: it orders each artefact once, then the jobs that need the artefacts.

Only this process touches the pool of records. Workers send back what they made, and keep a cache on their own node.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from stampbench.errors import UserError
from stampbench.files import room
from stampbench.job import Job
from stampbench.measure.provenance import source_digest
from stampbench.record import Record, Speed
from stampbench.running.executors.base import RECORD_BYTES, keep, missing
from stampbench.running.executors.drain import Drain, draining
from stampbench.running.executors.worker import Files, Order, Outcome, WorkerSettings, files_of
from stampbench.running.preparing import method_of, needed_artefacts
from stampbench.running.runner import failed
from stampbench.running.workplace import Workplace
from stampbench.store import Store

# An order is given up when it has cost this many workers their lives.
DEATHS = 4
HELD_SECONDS = 1.0


@dataclass(frozen=True)
class Death:
    """A worker that ended without an outcome: how it died, and whether its order may be the cause."""

    how: str
    suspect: bool


class Cluster(Protocol):
    """The functions that the scheduler needs from a cluster."""

    def slots(self, job: Job) -> int:
        """Return how many orders of this job's size the living machines can run at once."""
        ...

    def size(self, job: Job) -> str:
        """Return in words what one order of this job occupies: "2 CPU and 1 GPU"."""
        ...

    def share(self, digest: str, files: Files) -> None:
        """Put an artefact's files where every worker can fetch them."""
        ...

    def submit(self, order: Order, settings: WorkerSettings) -> None:
        """Start an order, whose needs are all shared, and return at once."""
        ...

    def collect(self) -> Sequence[tuple[Order, Outcome | Death]]:
        """Wait a moment, pass the workers' messages on to the observer, and return the orders that have ended."""
        ...


class Scheduler:
    """A scheduler that runs jobs on a cluster and knows which orders wait, are in flight, died or came back."""

    def __init__(self, cluster: Cluster, workplace: Workplace, store: Store, retry: bool) -> None:
        self._cluster, self._workplace, self._store, self._retry = cluster, workplace, store, retry
        self._waiting: list[Order] = []
        # The jobs that other processes are running.
        self._held: list[Job] = []
        self._in_flight = 0
        self._shared: set[str] = set()
        self._claims: dict[str, ExitStack] = {}
        self._rooms: dict[str, ExitStack] = {}
        self._deaths: Counter[str] = Counter()
        self._records: list[Record] = []

    def run(self, jobs: Sequence[Job]) -> list[Record]:
        """Run the jobs and return their records.

        After the first Ctrl-C, the jobs in flight end and no more start; `KeyboardInterrupt` is raised if any is left.
        Jobs that other processes are running are awaited: they run here if the others give them up.
        Raises `UserError` if no machine has room for a job, and if a worker refuses an order.
        """
        self._waiting = self._orders(jobs)
        try:
            with draining(self._workplace.observer.note) as drain:
                self._work_off(drain)
        finally:
            for stack in [*self._rooms.values(), *self._claims.values()]:
                stack.close()
        if self._waiting or self._held:
            raise KeyboardInterrupt
        return self._records

    def _work_off(self, drain: Drain) -> None:
        while self._in_flight or ((self._waiting or self._held) and not drain.asked):
            if not drain.asked:
                self._look_at_held()
                self._submit_what_fits()
            for order, end in self._cluster.collect():
                self._in_flight -= 1
                if isinstance(end, Death):
                    self._died(order, end)
                else:
                    self._keep(order, end)

    def _orders(self, jobs: Sequence[Job]) -> list[Order]:
        """Return orders for the artefacts that are not at hand, each once, then for the jobs; share what is at hand."""
        makings: dict[str, Order] = {}
        runs = []
        for job in jobs:
            specs = needed_artefacts(job, method_of(job), self._workplace.custom, self._workplace.artefacts)
            digests = tuple(spec.digest for spec in specs)
            for index, digest in enumerate(digests):
                if not self._share(digest):
                    makings.setdefault(digest, Order(job, digest, digests[:index]))
            runs.append(Order(job, None, digests))
        return [*makings.values(), *runs]

    def _share(self, digest: str) -> bool:
        """Share an artefact once; return whether it is at hand."""
        if digest not in self._shared and (folder := self._workplace.artefacts.held(digest)):
            self._cluster.share(digest, files_of(folder))
            self._shared.add(digest)
        return digest in self._shared

    def _submit_what_fits(self) -> None:
        slots = self._slots()
        while self._in_flight < slots:
            order = next((order for order in self._waiting if self._shared.issuperset(order.needs)), None)
            if order is None:
                return
            self._waiting.remove(order)
            if order.artefact or self._claim(order.job):
                self._cluster.submit(order, self._settings())
                self._in_flight += 1

    def _look_at_held(self) -> None:
        """Once nothing else is left to do, order what other processes have given up."""
        if self._waiting or self._in_flight or not self._held:
            return
        time.sleep(HELD_SECONDS)
        held, self._held = self._held, []
        for job in held:
            with self._store.claim(job.key, wait=False) as free:
                if not free:
                    self._held.append(job)
                elif missing([job], self._store, self._retry):
                    self._waiting += self._orders([job])
                else:
                    self._workplace.observer.job_finished(self._store.of([job])[job.key])

    def _slots(self) -> int:
        """Return how many orders may be in flight. Raises `UserError` if there is no room and no order is in flight."""
        if not self._waiting:
            return 0
        job = self._waiting[0].job
        try:
            with room(self._store.root, RECORD_BYTES):
                slots = self._cluster.slots(job)
        except UserError:
            # The jobs in flight have their room, and may end.
            if self._in_flight:
                return 0
            raise
        if not slots and not self._in_flight:
            size = self._cluster.size(job)
            raise UserError(f"no node of the cluster has the {size} that a job takes; add one and run again")
        return slots

    def _settings(self) -> WorkerSettings:
        workplace = self._workplace
        speeds = frozenset(self._store.speed_keys())
        return WorkerSettings(workplace.executor, workplace.exclusive, workplace.custom, source_digest(), speeds)

    def _claim(self, job: Job) -> bool:
        """Claim the job and return True, unless another process is running it or has finished it by now."""
        claim = ExitStack()
        if not claim.enter_context(self._store.claim(job.key, wait=False)):
            self._workplace.observer.note(f"another process is running {job.label}")
            self._held.append(job)
            return False
        if not missing([job], self._store, self._retry):
            claim.close()
            self._workplace.observer.job_finished(self._store.of([job])[job.key])
            return False
        self._claims[job.key] = claim
        self._rooms[job.key] = ExitStack()
        self._rooms[job.key].enter_context(room(self._store.root, RECORD_BYTES))
        self._workplace.observer.job_started(job)
        return True

    def _release(self, order: Order) -> None:
        for held in (self._rooms, self._claims):
            if stack := held.pop(order.key, None):
                stack.close()

    def _died(self, order: Order, death: Death) -> None:
        """Start the order again, unless it has cost too many workers their lives."""
        self._release(order)
        self._deaths[order.key] += death.suspect
        if self._deaths[order.key] >= DEATHS:
            self._give_up(order, f"its worker died {DEATHS} times, the last time of {death.how}")
        else:
            self._workplace.observer.note(f"the worker of {order.label} died ({death.how}); the order starts again")
            self._waiting.insert(0, order)

    def _keep(self, order: Order, outcome: Outcome) -> None:
        """Store what a worker sent back."""
        if outcome.refusal:
            raise UserError(outcome.refusal)
        if outcome.failure:
            self._give_up(order, outcome.failure)
        elif order.artefact:
            self._workplace.artefacts.receive(order.artefact, outcome.files)
            self._share(order.artefact)
        else:
            speeds = [Speed.model_validate_json(speed) for speed in outcome.speeds]
            self._put(order, Record.model_validate_json(outcome.record or ""), speeds)

    def _give_up(self, order: Order, why: str) -> None:
        """Store a failed record for the job or, if the order makes an artefact, for every job that needs it."""
        if order.artefact is None:
            # Another process may have done it by now.
            if missing([order.job], self._store, self._retry):
                self._put(order, failed(order.job, why, self._workplace))
            return
        resting = [other for other in self._waiting if order.artefact in other.needs]
        self._waiting = [other for other in self._waiting if order.artefact not in other.needs]
        for other in resting:
            self._give_up(other, f"{order.label}: {why}")

    def _put(self, order: Order, record: Record, speeds: Sequence[Speed] = ()) -> None:
        if held := self._rooms.pop(order.key, None):
            held.close()
        keep(record, speeds, self._store)
        self._release(order)
        self._workplace.observer.job_finished(record)
        self._records.append(record)
