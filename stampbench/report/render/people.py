"""The core of the tables, for people who read them in a terminal: few columns, one row for each method and budget."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from stampbench.report.model import Entry, Notes, Table
from stampbench.report.sections import Section
from stampbench.report.tables.entries import MEASURES
from stampbench.report.tables.targets import target_tables

MEASURED = ("top1", "macs", "train_s", "train_speed_up")
CORE = ("method", "start", "budget", "epochs", "n", *(MEASURES[measure][0] for measure in MEASURED))


def core_tables(sections: Iterable[Section]) -> list[Table]:
    """Return the core of each table of a target, in the order of the report."""
    return [core_of(table) for section in sections if section.data for table in target_tables(section.data)]


def core_of(table: Table) -> Table:
    """Return the table with its `CORE` columns, and with the footnotes that these refer to."""
    kept = [index for index, column in enumerate(table.columns) if column.heading in CORE]
    notes = Notes()

    def noted(entry: Entry) -> Entry:
        return entry if entry.note is None else replace(entry, note=notes.index(table.notes[entry.note]))

    rows = tuple(tuple(noted(row[index]) for index in kept) for row in table.rows)
    return replace(table, columns=tuple(table.columns[index] for index in kept), rows=rows, notes=notes.texts)
