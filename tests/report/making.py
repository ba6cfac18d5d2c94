"""What a report's parts are made from, without a suite file."""

from __future__ import annotations

from collections.abc import Sequence

from stampbench.job import Job
from stampbench.report.data import Data, Scope
from stampbench.report.frames import cell_frame, job_frame
from stampbench.report.model import Table
from stampbench.report.sections import preset_sections
from stampbench.store import Store
from stampbench.suite import Suite


def suite_tables(suite: Suite, preset: str, store: Store) -> list[Table]:
    """The preset's tables, without their sections; none if it has no record."""
    return [table for section in preset_sections(suite, preset, store) for table in section.tables]


def suite_data(suite: Suite, store: Store) -> Data:
    """The data of the quick preset in full precision."""
    return Data.of(suite, "quick", suite.jobs("quick", "fp32"), store)


def data_of(jobs: Sequence[Job], store: Store) -> Data:
    """The data of jobs that no suite names: without claims, and without a share to compare at."""
    frame = job_frame(jobs, store)
    scope = Scope.of("toys", "quick", jobs, frame)
    return Data(scope, jobs[0].protocol.epochs, store.of(jobs), frame, cell_frame(frame))


def texts(table: Table) -> list[list[str]]:
    """The texts of a table's entries, row by row."""
    return [[entry.text for entry in row] for row in table.rows]
