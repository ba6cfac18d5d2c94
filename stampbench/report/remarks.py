"""The remarks below the tables of a section, in sentences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from statistics import fmean
from typing import Any

import pandas as pd

from stampbench.job import Job
from stampbench.record import Record
from stampbench.report.frames import MOST_OVER, over_budget
from stampbench.report.variants import Variants
from stampbench.report.words import network_label, share_in_words
from stampbench.statistics import summarise
from stampbench.store import Store

SECONDS = (
    "Seconds of training are a job's steps times the seconds of a step that was timed in turn with one of the dense "
    "network; a clock also counts what else a machine does, and what it showed is in the records."
)


def remarks(jobs: Sequence[Job], records: Sequence[Record], reference_dataset: str, store: Store) -> list[str]:
    """Return all remarks on these jobs and on their records."""
    return [
        *(Variants(jobs).options_left_out() if records else []),
        *([SECONDS] if any(record.speed for record in records) else []),
        *_measured_anew(records),
        *_reference_side(records, reference_dataset),
        *paper_sizes(records),
        *_stale(jobs, store),
    ]


def time_budgets(frame: pd.DataFrame) -> list[str]:
    """Return how well the networks of a `job_frame` keep their budgets of time when measured, if there are any."""
    timed = frame[frame["measured_share"].notna()]
    if timed.empty:
        return []
    ratios, most = timed["measured_share"].astype(float) / timed["keep"], MOST_OVER - 1
    within, over = (ratios - 1).abs() <= most, over_budget(timed)
    return [
        f"Of {len(timed)} networks under a budget of time, {100 * within.mean():.0f} % took within {100 * most:.0f} % "
        f"of it when measured, and {100 * over.mean():.0f} % took longer than that."
    ]


def _measured_anew(records: Iterable[Record]) -> list[str]:
    """Return which tables of layers were measured several times under one name, one remark per network and name.

    Two measurements never take the same seconds, so these tell them apart.
    """
    jobs: dict[tuple[str, str], Counter[float]] = {}
    for record in records:
        for use in record.artefacts:
            if use.scope == "device":
                network = network_label(record.job.network, record.job.width)
                jobs.setdefault((network, use.digest), Counter())[use.seconds] += 1
    return [
        f"The table of layers {digest} of {network} was measured {len(times)} times; "
        f"{' and '.join(map(str, times.values()))} jobs rest on these measurements."
        for (network, digest), times in jobs.items()
        if len(times) > 1
    ]


def _reference_side(records: Iterable[Record], dataset: str) -> list[str]:
    """Return the seconds of work on the reference side, one remark per kind, network and width.

    Each artefact counts once.
    """
    seconds: dict[str, dict[str, float]] = {}
    for record in records:
        job = record.job
        for use in record.artefacts:
            if use.scope == "reference":
                what = f"{use.kind} on {dataset}, {network_label(job.network, job.width)}"
                seconds.setdefault(what, {}).setdefault(use.digest, use.seconds)
    remarks = []
    for what, by_digest in seconds.items():
        summary = summarise(by_digest.values())
        seeds = "1 artefact seed" if summary.n == 1 else f"mean of {summary.n} artefact seeds"
        remarks.append(
            f"Work on the reference side, which no total above includes: {what}: {summary.mean:.0f} s ({seeds})."
        )
    return remarks


def paper_sizes(records: Iterable[Record]) -> list[str]:
    """Return how long searches would take at their papers' size, one remark per method, target, network and width.

    The numbers are read from the notes `evaluations`, `evaluation_s` and `paper_evaluations` of finished records; the
    note `paper_search`, if there is one, says in words how large the paper's search is.
    """
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in records:
        if tells_of_search(record):
            job = record.job
            place = f"{job.target}, {network_label(job.network, job.width)}"
            found.setdefault((job.method, place), []).append(record.notes)
    return [_paper_size(method, place, notes) for (method, place), notes in found.items()]


def tells_of_search(record: Record) -> bool:
    """Return whether a finished record tells how many evaluations its search took, and takes at its paper's size."""
    return record.status == "done" and {"evaluations", "evaluation_s", "paper_evaluations"} <= record.notes.keys()


def _paper_size(method: str, place: str, notes: Sequence[dict[str, Any]]) -> str:
    each = fmean(float(note["evaluation_s"]) for note in notes)
    evaluations = fmean(float(note["evaluations"]) for note in notes)
    taken = fmean(float(note["evaluations"]) * float(note["evaluation_s"]) for note in notes)
    most = max(int(note["paper_evaluations"]) for note in notes)
    words = f"{notes[0]['paper_search']}: " if "paper_search" in notes[0] else ""
    jobs = "1 job" if len(notes) == 1 else f"mean of {len(notes)} jobs"
    return (
        f"{method} on {place}: the search at the size of its paper ({words}up to {most:,} evaluations) would take "
        f"{most * each:.0f} s at the measured {each:.3g} s per evaluation; in this preset it took {evaluations:.0f} "
        f"evaluations and {taken:.1f} s ({jobs})."
    )


def _stale(jobs: Sequence[Job], store: Store) -> list[str]:
    """Return the records that the tables leave out because an older version of a method or the protocol made them."""
    now = {job.identity: job for job in jobs}
    seeds: dict[str, set[int]] = {}
    for record in store.stale(jobs):
        old, new = record.job, now[record.job.identity]
        what = (
            f"{old.method} ({old.start}) on {old.target}, {network_label(old.network, old.width)}, "
            f"{share_in_words(old.budget.keep, old.budget.resource)}, "
            f"method version {old.method_version} (now {new.method_version}), "
            f"protocol version {old.protocol_version} (now {new.protocol_version})"
        )
        seeds.setdefault(what, set()).add(old.seed)
    return [
        f"Stale records are not shown: {what}: {'seed' if len(of) == 1 else 'seeds'} {', '.join(map(str, sorted(of)))}."
        for what, of in sorted(seeds.items())
    ]
