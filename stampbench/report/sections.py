"""The tables of a suite, preset by preset, with the remarks on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

from stampbench.job import Job, Precision
from stampbench.record import Record
from stampbench.report.data import Data
from stampbench.report.faster import faster
from stampbench.report.model import Table
from stampbench.report.remarks import remarks, time_budgets
from stampbench.report.tables import TABLES
from stampbench.running.devices import by_device
from stampbench.store import Store
from stampbench.suite import Suite


@dataclass(frozen=True)
class Section:
    """The tables of one suite, preset and precision, and the remarks below them, in plain text.

    `data` is what the tables were made from, or None if there is no record.
    """

    title: str
    tables: tuple[Table, ...]
    remarks: tuple[str, ...]
    data: Data | None = None


def suite_sections(suite: Suite, store: Store) -> list[Section]:
    """Return a section for each preset and precision with records.

    If there is no table at all, the first section says which command to run. Raises `SuiteError` if the jobs of the
    suite cannot be listed.
    """
    found = [section for preset in suite.presets for section in preset_sections(suite, preset, store)]
    return found if any(section.tables for section in found) else [_nothing(suite), *found]


def preset_sections(suite: Suite, preset: str, store: Store) -> list[Section]:
    """Return a section for each precision with records, stale ones included; most finished jobs come first.

    Where seeds were run under budgets of time on several devices, each further device has a section of its own.
    """
    runs = [(device, jobs, store.of(jobs)) for device, jobs in _runs(suite, preset, store)]
    runs.sort(key=lambda run: sum(record.status == "done" for record in run[-1].values()), reverse=True)
    sections = [_section(suite, preset, *run, store) for run in runs]
    return [section for section in sections if section.tables or section.remarks]


def _section(
    suite: Suite, preset: str, device: int, jobs: Sequence[Job], records: dict[str, Record], store: Store
) -> Section:
    again = "" if device == 1 else f", device {device} of the same seeds"
    title = f"{suite.title}: {preset} preset, {jobs[0].protocol.precision}{again}"
    reference = suite.preset(preset).protocol.reference.dataset
    notes = tuple(remarks(jobs, list(records.values()), reference, store))
    if not records:
        return Section(title, (), notes)
    data = Data.of(suite, preset, jobs, store, device)
    tables = tuple(table for tables_of in TABLES for table in tables_of(data))
    return Section(title, tables, (*faster(data), *time_budgets(data.frame), *notes), data)


def _runs(suite: Suite, preset: str, store: Store) -> list[tuple[int, list[Job]]]:
    """Return the preset's jobs once for each precision that it can run in and, for budgets of time, for each device.

    Devices are numbered from 1 within a precision.
    """
    fixed = suite.preset(preset).protocol.precision
    precisions = get_args(Precision) if fixed == "auto" else (fixed,)
    return [run for precision in precisions for run in enumerate(by_device(suite.jobs(preset, precision), store), 1)]


def _nothing(suite: Suite) -> Section:
    preset = "quick" if "quick" in suite.presets else next(iter(suite.presets))
    command = f"python -m stampbench run {suite.name} --preset {preset}"
    return Section(suite.title, (), (f"Nothing of this suite has been run yet. Run: {command}",))
