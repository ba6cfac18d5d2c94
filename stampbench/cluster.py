"""Jobs on a Ray cluster: first the artefacts, each once, then the jobs, each on a device of its own.

Only this process touches the pool of records: workers send back what they made, and keep their node's own cache.
"""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch

from stampbench.artefacts import Artefacts, digest_of_spec
from stampbench.data import packed
from stampbench.data.catalogue import CustomDataset
from stampbench.errors import UserError
from stampbench.executors import bench_of, missing
from stampbench.job import Job
from stampbench.measure.provenance import ROOT, source_digest
from stampbench.progress import Observer, SilentProgress
from stampbench.record import Record, Speed
from stampbench.runner import Bench, failed, method_of, needed_artefacts, prepare, reason, run
from stampbench.store import Store
from stampbench.suite import Suite

# What kills its worker so often becomes a failed record.
DEATHS = 4
_LOOK_SECONDS, _CONNECT_SECONDS = 0.2, 10


@dataclass(frozen=True)
class Order:
    """What a worker is to do: run the job, or make that artefact of it; and the artefacts that this rests on."""

    job: Job
    artefact: str | None
    needs: tuple[str, ...]

    @property
    def label(self) -> str:
        """What it is, for people."""
        return f"artefact {self.artefact} of {self.job.label}" if self.artefact else self.job.label


@dataclass(frozen=True)
class Setting:
    """What all orders share: the user's own datasets, the driver's sources, GPUs a job, speeds that are known."""

    custom: Mapping[str, CustomDataset]
    source: str
    gpus: int
    known: frozenset[str]


@dataclass(frozen=True)
class Outcome:
    """What a worker sends back: a record and new speeds as JSON, or an artefact's files, or why there is neither."""

    record: str | None = None
    speeds: Sequence[str] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    failure: str | None = None
    refusal: str | None = None


def run_on_ray(
    jobs: Sequence[Job],
    suite: Suite,
    store: Store,
    observer: Observer,
    retry: bool = False,
    seconds_left: float | None = None,
    address: str | None = None,
    gpus_per_job: int = 0,
) -> list[Record]:
    """Does what `run_here` does on the Ray cluster at `address`, or on one started here for the purpose.

    A job takes as many CPUs as its protocol has threads, and `gpus_per_job` GPUs. The first Ctrl-C lets the jobs
    in flight end, the second does not. Raises `UserError` without Ray, without room, and for missing data.
    """
    waiting = missing(jobs, store, retry)
    observer.suite_started(len(jobs), len(jobs) - len(waiting), seconds_left)
    with _connected(address) as ray, _draining(observer) as drain:
        driver = _Driver(ray, bench_of(suite, store, observer, "ray"), store, retry, gpus_per_job)
        driver.run(waiting, drain)
    if drain.asked and driver.todo:
        raise KeyboardInterrupt
    return driver.records


class _Driver:
    """What is to do, what is in flight, and what came back."""

    def __init__(self, ray: Any, bench: Bench, store: Store, retry: bool, gpus: int) -> None:
        self._ray, self._bench, self._store, self._retry, self._gpus = ray, bench, store, retry, gpus
        self._mailbox = ray.remote(_Mailbox).options(num_cpus=0, scheduling_strategy=_this_node(ray)).remote()
        self._work = ray.remote(_work)
        self._known = {path.stem for path in (store.root / "speed").glob("*.json")}
        self._folders: dict[str, Any] = {}
        self._flights: dict[Any, Order] = {}
        self._claims: dict[str, ExitStack] = {}
        self._deaths: Counter[tuple[str, str | None]] = Counter()
        self.todo: list[Order] = []
        self.records: list[Record] = []

    def run(self, jobs: Sequence[Job], drain: _Drain) -> None:
        """Runs the jobs; after a request to drain, ends those in flight."""
        self.todo = self._orders(jobs)
        try:
            while self._flights or (self.todo and not drain.asked):
                if not drain.asked:
                    self._submit_what_fits()
                self._collect()
        finally:
            for claim in self._claims.values():
                claim.close()

    def _orders(self, jobs: Sequence[Job]) -> list[Order]:
        """Artefacts that are not at hand, once each, then the jobs; what is at hand goes to Ray's object store."""
        makings: dict[str, Order] = {}
        runs = []
        for job in jobs:
            specs = needed_artefacts(job, method_of(job), self._bench.custom, self._bench.artefacts)
            digests = tuple(digest_of_spec(spec) for spec in specs)
            for index, digest in enumerate(digests):
                if digest not in self._folders and not self._share(digest):
                    makings.setdefault(digest, Order(job, digest, digests[:index]))
            runs.append(Order(job, None, digests))
        return [*makings.values(), *runs]

    def _share(self, digest: str) -> bool:
        """Puts an artefact's files where workers can read them; false if it is not at hand."""
        folder = self._bench.artefacts.held(digest)
        if folder is not None:
            self._folders[digest] = self._ray.put({path.name: path.read_bytes() for path in folder.iterdir()})
        return folder is not None

    def _submit_what_fits(self) -> None:
        slots = self._slots()
        while len(self._flights) < slots:
            order = next((order for order in self.todo if all(need in self._folders for need in order.needs)), None)
            if order is None:
                return
            self.todo.remove(order)
            if order.artefact is None and not self._claim(order.job):
                continue
            setting = Setting(self._bench.custom, source_digest(), self._gpus, frozenset(self._known))
            # Inside a mapping, as a node whose driver is killed keeps a task's own arguments in memory for ever.
            folders = {need: self._folders[need] for need in order.needs}
            # Ray's own retries would be silent, and would repeat a job that raises.
            options = {"num_cpus": order.job.protocol.threads, "num_gpus": self._gpus, "max_retries": 0}
            self._flights[self._work.options(**options).remote(order, setting, self._mailbox, folders)] = order

    def _slots(self) -> int:
        """Jobs that the nodes alive can hold at once; raises `UserError` where that is none, now and in flight."""
        size = {"CPU": self.todo[0].job.protocol.threads, "GPU": self._gpus} if self.todo else {}
        size = {name: amount for name, amount in size.items() if amount}
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        slots = sum(min(int(node.get(name, 0) // amount) for name, amount in size.items()) for node in nodes if size)
        if self.todo and not slots and not self._flights:
            wanted = " and ".join(f"{amount} {name}" for name, amount in size.items())
            raise UserError(f"no node of the Ray cluster has the {wanted} that a job takes; add one and run again")
        return slots

    def _claim(self, job: Job) -> bool:
        """Takes the job, unless another process is at it or has done it by now."""
        claim = ExitStack()
        if not claim.enter_context(self._store.claim(job.key, wait=False)):
            self._bench.observer.note(f"another process is at {job.label}; it is left to it")
            return False
        if not missing([job], self._store, self._retry):
            claim.close()
            self._bench.observer.job_finished(self._store.of([job])[job.key])
            return False
        self._claims[job.key] = claim
        self._bench.observer.job_started(job)
        return True

    def _collect(self) -> None:
        """Waits a moment, then takes what workers told and what has ended."""
        ended, _ = self._ray.wait(list(self._flights), timeout=_LOOK_SECONDS) if self._flights else ([], [])
        for name, arguments in self._ray.get(self._mailbox.take.remote()):
            getattr(self._bench.observer, name)(*arguments)
        for reference in ended:
            order = self._flights.pop(reference)
            try:
                outcome = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError:
                raise
            except self._ray.exceptions.RayError as error:
                self._died(order, type(error).__name__)
            else:
                self._keep(order, outcome)

    def _died(self, order: Order, how: str) -> None:
        self._release(order)
        identity = (order.job.key, order.artefact)
        # A node that dies is no fault of what it was at.
        self._deaths[identity] += how != "NodeDiedError"
        if self._deaths[identity] >= DEATHS:
            self._lost(order, f"its worker died {DEATHS} times, last of {how}")
        else:
            self._bench.observer.note(f"the worker of {order.label} died ({how}); it starts anew")
            self.todo.insert(0, order)

    def _keep(self, order: Order, outcome: Outcome) -> None:
        if outcome.refusal:
            raise UserError(outcome.refusal)
        if outcome.failure:
            self._lost(order, outcome.failure)
        elif order.artefact:
            self._bench.artefacts.receive(order.artefact, outcome.files)
            self._share(order.artefact)
        else:
            for speed in map(Speed.model_validate_json, outcome.speeds):
                self._store.put_speed(speed)
                self._known.add(speed.key)
            self._put(order, Record.model_validate_json(outcome.record or ""))

    def _lost(self, order: Order, why: str) -> None:
        """A job becomes a failed record; an artefact takes with it all that rests on it."""
        if order.artefact is None:
            self._put(order, failed(order.job, why, self._bench))
            return
        resting = [other for other in self.todo if order.artefact in other.needs]
        self.todo = [other for other in self.todo if order.artefact not in other.needs]
        for other in resting:
            self._lost(other, f"{order.label}: {why}")

    def _put(self, order: Order, record: Record) -> None:
        self._store.put(record)
        self._release(order)
        self._bench.observer.job_finished(record)
        self.records.append(record)

    def _release(self, order: Order) -> None:
        if claim := self._claims.pop(order.job.key, None) if order.artefact is None else None:
            claim.close()


def _work(order: Order, setting: Setting, mailbox: Any, folders: Mapping[str, Any]) -> Outcome:
    """The worker's side of an order; `folders` has Ray's references to the artefacts, which a node fetches once."""
    if setting.source != source_digest():
        return Outcome(refusal="a node of the cluster has other sources of stampbench; install the same on all")
    cache = packed.cache_root() / "artefacts"
    speeds, device = _Speeds(setting.known), torch.device("cuda" if setting.gpus else "cpu")
    bench = Bench(speeds, Artefacts(cache, cache), setting.custom, device, _Post(mailbox), "ray")
    try:
        for digest, reference in folders.items():
            if bench.artefacts.held(digest) is None:
                bench.artefacts.receive(digest, _fetched(reference))
        if order.artefact is None:
            record = run(order.job, bench)
            return Outcome(record.model_dump_json(), [speed.model_dump_json() for speed in speeds.new])
        prepare(order.job, bench, order.artefact)
        folder = bench.artefacts.held(order.artefact)
        assert folder is not None
        return Outcome(files={path.name: path.read_bytes() for path in folder.iterdir()})
    except UserError as error:
        return Outcome(refusal=str(error))
    except Exception as error:
        return Outcome(failure=reason(error))


def _fetched(reference: Any) -> Any:
    """Waits in a thread: while a worker's main thread waits for an object, Ray lends its CPU to another job."""
    import ray

    with ThreadPoolExecutor(1) as waiting:
        return waiting.submit(ray.get, reference).result()


class _Speeds:
    """The speeds that the driver knows, and those measured here."""

    def __init__(self, known: frozenset[str]) -> None:
        self._known, self.new = known, list[Speed]()

    def has_speed(self, key: str) -> bool:
        return key in self._known

    def put_speed(self, speed: Speed) -> None:
        self.new.append(speed)


class _Mailbox:
    """What workers tell, kept until the driver asks."""

    def __init__(self) -> None:
        self._messages: list[tuple[str, tuple[Any, ...]]] = []

    def put(self, name: str, *arguments: Any) -> None:
        self._messages.append((name, arguments))

    def take(self) -> list[tuple[str, tuple[Any, ...]]]:
        taken, self._messages = self._messages, []
        return taken


class _Post(SilentProgress):
    """An observer that writes to the mailbox, and waits for no answer."""

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox

    def artefact_started(self, label: str) -> None:
        self._mailbox.put.remote("artefact_started", label)

    def artefact_finished(self, label: str) -> None:
        self._mailbox.put.remote("artefact_finished", label)

    def epoch(self, label: str, epoch: int, epochs: int, loss: float, accuracy: float) -> None:
        self._mailbox.put.remote("epoch", label, epoch, epochs, loss, accuracy)

    def note(self, message: str) -> None:
        self._mailbox.put.remote("note", message)


@dataclass
class _Drain:
    """Whether Ctrl-C was pressed."""

    asked: bool = False


@contextmanager
def _draining(observer: Observer) -> Iterator[_Drain]:
    """The first Ctrl-C asks to drain; the second is Ctrl-C."""
    drain = _Drain()

    def ask(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        drain.asked = True
        observer.note("no new job starts; those in flight end. Ctrl-C again gives them up")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield drain
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Ray, connected to a cluster or to one started here, and left at the end."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError("--executor ray needs Ray; install it: pip install 'stampbench[ray]'") from error
    # A source tree that is not installed is found where the driver has it, if the nodes share that folder.
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    options = {"runtime_env": {"env_vars": {"PYTHONPATH": paths}}, "log_to_driver": False, "logging_level": "error"}
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        _reach(address)
        ray.init(address or "local", **options, **({} if address else {"include_dashboard": False}))
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        raise UserError(f"no Ray cluster at {address or 'this machine'}: {error}") from error
    # Ray puts a handler of its own in the place of the command line's.
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield ray
    finally:
        ray.shutdown()


def _reach(address: str | None) -> None:
    """Raises `OSError` for a HOST:PORT that nobody listens at: Ray itself would try for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()


def _this_node(ray: Any) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
