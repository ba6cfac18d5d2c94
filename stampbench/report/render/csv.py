"""Tables as CSV: the headings and the texts of all cells, with the footnotes of each row in a last column."""

from __future__ import annotations

import csv
import io

from stampbench.report.model import Table

SUFFIX = ".csv"


def table(content: Table) -> str:
    """Return the text of a CSV file with one table."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*(column.heading for column in content.columns), "notes"])
    for row in content.rows:
        notes = [f"{entry.text}: {content.notes[entry.note]}" for entry in row if entry.note is not None]
        writer.writerow([*(entry.text for entry in row), "; ".join(notes)])
    return file.getvalue()
