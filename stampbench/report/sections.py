"""A suite's tables, preset by preset, with what must be said beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

import pandas as pd

from stampbench.job import Job, Precision
from stampbench.record import Record
from stampbench.report import published
from stampbench.report.break_even import break_even_table
from stampbench.report.cells import cell_frame, job_frame, options_in_words
from stampbench.report.claims import Finding, claim_tables, findings
from stampbench.report.equal import equal_tables
from stampbench.report.figures import Figure, suite_figures
from stampbench.report.masks import mask_tables
from stampbench.report.published import published_table
from stampbench.report.tables import Scope, Table, summary_table, target_tables
from stampbench.statistics import summarise
from stampbench.store import Store
from stampbench.suite import Suite


@dataclass(frozen=True)
class Data:
    """What a section was made from: its jobs, their records, the cells, and the claims as tested."""

    scope: Scope
    epochs: int
    records: Mapping[str, Record]
    frame: pd.DataFrame
    cells: pd.DataFrame
    findings: tuple[Finding | None, ...]


@dataclass(frozen=True)
class Section:
    """Tables of one suite, preset and precision, and remarks under them, in plain text; `data` is behind them."""

    title: str
    tables: tuple[Table, ...]
    remarks: tuple[str, ...]
    data: Data | None = None

    def figures(self) -> list[Figure]:
        """Drawn anew at every call."""
        if self.data is None:
            return []
        data = self.data
        return suite_figures(data.frame, data.cells, data.records, data.scope, data.epochs)


def suite_sections(suite: Suite, store: Store) -> list[Section]:
    """A section for each preset and precision with records; one that says what to run where no table is.

    Raises `SuiteError` where the suite's jobs cannot be told.
    """
    found = [section for preset in suite.presets for section in preset_sections(suite, preset, store)]
    return found if any(section.tables for section in found) else [_nothing(suite), *found]


def preset_sections(suite: Suite, preset: str, store: Store) -> list[Section]:
    """A section for each precision with records, stale ones included; that with most finished jobs first."""
    runs = [(jobs, store.of(jobs)) for jobs in _runs(suite, preset)]
    runs.sort(key=lambda run: sum(record.status == "done" for record in run[1].values()), reverse=True)
    sections = [_section(suite, preset, jobs, records, store) for jobs, records in runs]
    return [section for section in sections if section.tables or section.remarks]


def _section(suite: Suite, preset: str, jobs: Sequence[Job], records: dict[str, Record], store: Store) -> Section:
    title = f"{suite.title}: {preset} preset, {jobs[0].protocol.precision}"
    dataset = suite.preset(preset).protocol.reference.dataset
    remarks = [
        *(options_in_words(jobs) if records else []),
        *_reference_side(records.values(), dataset),
        *published.paper_sizes(records.values()),
        *_stale(jobs, store),
    ]
    if not records:
        return Section(title, (), tuple(remarks))
    frame = job_frame(jobs, store)
    epochs, scope = suite.preset(preset).protocol.epochs, Scope.of(suite.name, preset, jobs, frame)
    data = Data(scope, epochs, records, frame, cell_frame(frame), tuple(findings(suite, jobs, frame)))
    return Section(title, tuple(_tables(data, store)), tuple(remarks), data)


def _tables(data: Data, store: Store) -> list[Table]:
    frame, cells, scope = data.frame, data.cells, data.scope
    tables = target_tables(frame, cells, scope)
    if cells["target"].nunique() > 1:
        tables = [summary_table(frame, cells, scope), *tables]
    optional = (break_even_table(cells, scope), published_table(published.load(store), frame, cells, scope))
    return [
        *tables,
        *claim_tables(data.findings, scope),
        *equal_tables(cells, scope, data.epochs),
        *mask_tables(data.records, frame, scope),
        *(table for table in optional if table is not None),
    ]


def _runs(suite: Suite, preset: str) -> list[list[Job]]:
    """The preset's jobs at each precision it can run in."""
    fixed = suite.preset(preset).protocol.precision
    return [suite.jobs(preset, precision) for precision in (get_args(Precision) if fixed == "auto" else (fixed,))]


def _nothing(suite: Suite) -> Section:
    preset = "quick" if "quick" in suite.presets else next(iter(suite.presets))
    command = f"python -m stampbench run {suite.name} --preset {preset}"
    return Section(suite.title, (), (f"Nothing of this suite has been run yet. Run: {command}",))


def _reference_side(records: Iterable[Record], dataset: str) -> list[str]:
    """What the reference side took, a remark for each kind, network and width; each artefact counts once."""
    seconds: dict[str, dict[str, float]] = {}
    for record in records:
        job = record.job
        for use in record.artefacts:
            if use.scope == "reference":
                what = f"{use.kind} on {dataset}, {job.network} × {job.width:g}"
                seconds.setdefault(what, {}).setdefault(use.digest, use.seconds)
    remarks = []
    for what, by_digest in seconds.items():
        summary = summarise(by_digest.values())
        seeds = "1 artefact seed" if summary.n == 1 else f"mean of {summary.n} artefact seeds"
        remarks.append(f"Reference side, in no total above: {what}: {summary.mean:.0f} s ({seeds}).")
    return remarks


def _stale(jobs: Sequence[Job], store: Store) -> list[str]:
    """Records that the tables leave out because an older version of a method or the protocol made them."""
    now = {job.identity: job for job in jobs}
    seeds: dict[str, list[int]] = {}
    for record in store.stale(jobs):
        old, new = record.job, now[record.job.identity]
        what = (
            f"{old.method} ({old.start}) on {old.target}, {old.network} × {old.width:g}, {old.budget.resource} "
            f"{old.budget.keep:g}, method version {old.method_version} (now {new.method_version}), "
            f"protocol version {old.protocol_version} (now {new.protocol_version})"
        )
        seeds.setdefault(what, []).append(old.seed)
    return [
        f"Stale, not shown: {what}: {'seed' if len(of) == 1 else 'seeds'} {', '.join(map(str, sorted(of)))}."
        for what, of in sorted(seeds.items())
    ]
