"""The executor for a Ray cluster: orders become Ray tasks, and artefacts lie in Ray's object store."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from pydantic import Field

from stampbench.errors import UserError
from stampbench.job import Job
from stampbench.measure import hardware
from stampbench.measure.provenance import ROOT
from stampbench.record import Record
from stampbench.running.executors.base import Executor, missing, workplace_of
from stampbench.running.executors.scheduler import Death, Scheduler
from stampbench.running.executors.worker import Files, Order, Outcome, WorkerSettings, work
from stampbench.running.progress import Forwarding, Observer
from stampbench.store import Store
from stampbench.suite import Suite

_LOOK_SECONDS, _CONNECT_SECONDS = 0.2, 10


def _gpus_here() -> int:
    return int(hardware.cuda_device_count() > 0)


class Ray(Executor):
    """Run jobs on the Ray cluster at `address` or, without an address, on a cluster that is started here for the run.

    A job occupies as many CPUs as its protocol has threads, and `gpus_per_job` GPUs, which is by default 1 if this
    machine has a GPU and else 0.
    """

    name = "ray"
    exclusive = False
    address: str | None = None
    gpus_per_job: int = Field(default_factory=_gpus_here, ge=0)

    @property
    def cuda(self) -> bool:
        """True if a job has a GPU."""
        return self.gpus_per_job > 0

    def run(
        self,
        jobs: Sequence[Job],
        suite: Suite,
        store: Store,
        observer: Observer,
        retry: bool = False,
        seconds_left: float | None = None,
    ) -> list[Record]:
        """Run the missing jobs; see `Executor` and `Scheduler.run`. Raises `UserError` also if Ray is not installed."""
        waiting = missing(jobs, store, retry)
        workplace = workplace_of(suite, store, observer, self)
        workplace.observer.suite_started(len(jobs), len(jobs) - len(waiting), seconds_left)
        with connected(self.address) as ray:
            cluster = RayCluster(ray, self.gpus_per_job, workplace.observer)
            return Scheduler(cluster, workplace, store, retry).run(waiting)


class RayCluster:
    """The scheduler's `Cluster` in terms of Ray's tasks, object references and nodes."""

    def __init__(self, ray: Any, gpus: int, observer: Observer) -> None:
        self._ray, self._gpus, self._observer = ray, gpus, observer
        self._mailbox = ray.remote(_Mailbox).options(num_cpus=0, scheduling_strategy=_this_node(ray)).remote()
        self._work = ray.remote(_work)
        self._artefacts: dict[str, Any] = {}
        self._flights: dict[Any, Order] = {}

    def slots(self, job: Job) -> int:
        """Return how many jobs of this size the living nodes can run at once."""
        size = self._resources(job)
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        return sum(min(int(node.get(name, 0) // amount) for name, amount in size.items()) for node in nodes)

    def size(self, job: Job) -> str:
        """Return in words how many CPUs and GPUs the job occupies."""
        return " and ".join(f"{amount} {name}" for name, amount in self._resources(job).items())

    def _resources(self, job: Job) -> dict[str, int]:
        amounts = {"CPU": job.protocol.threads, "GPU": self._gpus}
        return {name: amount for name, amount in amounts.items() if amount}

    def share(self, digest: str, files: Files) -> None:
        """Put the artefact's files into Ray's object store."""
        self._artefacts[digest] = self._ray.put(files)

    def submit(self, order: Order, settings: WorkerSettings) -> None:
        """Start a task for the order."""
        # The references lie in a mapping: a node whose driver is killed keeps direct arguments for ever (ray#64627).
        artefacts = {digest: self._artefacts[digest] for digest in order.needs}
        # Ray's own retries would be silent, and would repeat a job that raises.
        options = {"num_cpus": order.job.protocol.threads, "num_gpus": self._gpus, "max_retries": 0}
        task = self._work.options(**options).remote(order, settings, self._gpus > 0, self._mailbox, artefacts)
        self._flights[task] = order

    def collect(self) -> list[tuple[Order, Outcome | Death]]:
        """Wait a moment, pass the messages in the mailbox on to the observer, and return the orders that have ended."""
        ended, _ = self._ray.wait(list(self._flights), timeout=_LOOK_SECONDS) if self._flights else ([], [])
        for name, arguments in self._ray.get(self._mailbox.take.remote()):
            getattr(self._observer, name)(*arguments)
        return [(self._flights.pop(task), self._end(task)) for task in ended]

    def _end(self, task: Any) -> Outcome | Death:
        try:
            outcome: Outcome = self._ray.get(task)
            return outcome
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:
            how = type(error).__name__
            return Death(how, suspect=how != "NodeDiedError")


def _work(order: Order, settings: WorkerSettings, cuda: bool, mailbox: Any, artefacts: Mapping[str, Any]) -> Outcome:
    """Carry out an order in a Ray worker; `artefacts` holds references, which a node fetches when it needs them."""
    device = torch.device("cuda" if cuda else "cpu")
    return work(order, settings, device, _Post(mailbox), lambda digest: fetched(artefacts[digest]))


def fetched(reference: Any) -> Any:
    """Fetch an object in a thread, because Ray lends a worker's CPU to another job while its main thread waits."""
    import ray

    with ThreadPoolExecutor(1) as waiting:
        return waiting.submit(ray.get, reference).result()


class _Mailbox:
    """An actor that keeps the messages of workers until the driver takes them."""

    def __init__(self) -> None:
        self._messages: list[tuple[str, tuple[Any, ...]]] = []

    def put(self, name: str, *arguments: Any) -> None:
        self._messages.append((name, arguments))

    def take(self) -> list[tuple[str, tuple[Any, ...]]]:
        taken, self._messages = self._messages, []
        return taken


class _Post(Forwarding):
    """An observer that puts what it is told into the mailbox, and waits for no answer."""

    def __init__(self, mailbox: Any) -> None:
        self._mailbox = mailbox

    def send(self, name: str, *arguments: object) -> None:
        self._mailbox.put.remote(name, *arguments)


@contextmanager
def connected(address: str | None) -> Iterator[Any]:
    """Connect to the cluster at `address`, or to one started here; yield the module `ray`; disconnect at the end."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError as error:
        raise UserError("executor 'ray' needs Ray; install it: pip install 'stampbench[ray]'") from error
    # A source tree that is not installed is found at the driver's path, if the nodes share that folder.
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    options = {"runtime_env": {"env_vars": {"PYTHONPATH": paths}}, "log_to_driver": False, "logging_level": "error"}
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        _reach(address)
        ray.init(address or "local", **options, **({} if address else {"include_dashboard": False}))
    except (ConnectionError, OSError, ValueError, RuntimeError) as error:
        raise UserError(f"there is no Ray cluster at {address or 'this machine'}: {error}") from error
    # Ray replaces the command line's handler by its own.
    signal.signal(signal.SIGTERM, terminate)
    try:
        yield ray
    finally:
        ray.shutdown()


def _reach(address: str | None) -> None:
    """Raise `OSError` if nobody listens at HOST:PORT, which Ray itself would keep trying for minutes."""
    host, _, port = (address or "").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()


def _this_node(ray: Any) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
