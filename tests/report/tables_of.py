"""The tables of a suite, without their sections."""

from __future__ import annotations

from stampbench.report.sections import preset_sections
from stampbench.report.tables import Table
from stampbench.store import Store
from stampbench.suite import Suite


def suite_tables(suite: Suite, preset: str, store: Store) -> list[Table]:
    """The preset's tables; none if it has no record."""
    return [table for section in preset_sections(suite, preset, store) for table in section.tables]
