"""The export of a job: it is run again, to the same bits, as records hold no network; then its folder is written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import nn

from stampbench.data import catalogue, packed
from stampbench.export.comparison import difference
from stampbench.export.formats import WRITERS, lacking
from stampbench.export.readme import left_out
from stampbench.export.writing import write_folder
from stampbench.files import new_folder, room
from stampbench.job import Job
from stampbench.networks.check import checked
from stampbench.record import Record
from stampbench.running.campaign import Campaign
from stampbench.running.executors.base import RECORD_BYTES, keep, workplace_of
from stampbench.running.executors.local import Local, whole_device
from stampbench.running.progress import Observer, duration
from stampbench.running.runner import run_to_network
from stampbench.running.workplace import NewSpeeds, Workplace
from stampbench.store import Store


class NoNetworkError(Exception):
    """A job that has no network to export: it failed or was skipped. The message names it and says why."""


@dataclass(frozen=True)
class Exported:
    """The names of the files that were written, and what is wrong with them, in sentences."""

    files: Sequence[str]
    problems: Sequence[str]


def export(job: Job, campaign: Campaign, out: Path, observer: Observer) -> Exported:
    """Run the job and write its network to the new folder `out`; a job without a record gets one, as by `run`.

    Raises `NoNetworkError` for a job without a result, and `UserError` for a folder that exists or cannot be written.
    """
    store, custom = campaign.store, campaign.suite.datasets
    _refuse_without_result(store.get(job.key))
    workplace = workplace_of(campaign.suite, store, observer, Local())
    with new_folder(out) as working:
        # Images that are missing are told before hours are.
        packed.manifest(job.target, custom)
        _announce(job, campaign, workplace)
        dense, _ = checked(job.network, job.width, catalogue.resolve(job.target, custom).input_size)
        # The tensors lie there in each of the formats, and what surrounds them is small.
        size = 2**22 + (1 + len(WRITERS)) * sum(int(tensor.nbytes) for tensor in dense.state_dict().values())
        with room(out.parent, size):
            now, before, network = _run(job, store, workplace)
        different = difference(now, before)
        if not different and before is not now:
            workplace.observer.note("  the accuracy on test images is exactly that of the record")
        # A record with the same accuracy tells of this network too.
        kept, problems = (now, [different]) if different else (before, [])
        files, faults = write_folder(working, kept, network, problems, custom)
    return Exported(files, [*problems, *faults])


def _refuse_without_result(record: Record | None) -> None:
    """Raise `NoNetworkError` for a record without a result."""
    if record is not None and record.status != "done":
        again = "" if record.status == "skipped" else "; `run --retry` runs it again"
        raise NoNetworkError(f"{record.status}: {record.job.label}: {record.reason}{again}")


def _announce(job: Job, campaign: Campaign, workplace: Workplace) -> None:
    """Say what will be trained, how long that takes, and which file will be left out."""
    expected, record = campaign.seconds_again(job), campaign.store.get(job.key)
    if expected is not None and record is not None:
        # The record may have been made elsewhere, where its artefacts have stayed.
        held = workplace.artefacts.held
        expected += sum(use.seconds for use in record.artefacts if held(use.digest) is None)
    why = "records hold no network, so it is trained again" if record else "it has no record, so it is run first"
    hours = "an unknown time" if expected is None else f"about {expected / 3600:.2f} h ({duration(expected)})"
    workplace.observer.note(f"{job.label}: {why}, which takes {hours}")
    if package := lacking():
        workplace.observer.note(left_out(package))
    workplace.observer.suite_started(1, 0, expected)


def _run(job: Job, store: Store, here: Workplace) -> tuple[Record, Record, nn.Module]:
    """Run the job; return its record, the one that was stored before or else the same, and the trained network."""
    with store.claim(job.key, wait=True):
        before = store.get(job.key)
        # Of a job that has a record nothing but the network is wanted.
        speeds = NewSpeeds(store.has_speed if before is None else lambda key: True)
        here.observer.job_started(job)
        with room(store.root, RECORD_BYTES), whole_device(here):
            now, network = run_to_network(job, replace(here, speeds=speeds))
        if before is None:
            keep(now, speeds.take(), store)
        here.observer.job_finished(now)
    _refuse_without_result(now)
    assert network is not None
    return now, before or now, network
