"""Tables as CSV: headings and texts; what footnotes say stands in a last column."""

from __future__ import annotations

import csv
import io

from stampbench.report.model import Table

SUFFIX = ".csv"


def table(content: Table) -> str:
    """Return one table as a file's text."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow([*(column.heading for column in content.columns), "notes"])
    for row in content.rows:
        notes = [f"{entry.text}: {content.notes[entry.note]}" for entry in row if entry.note is not None]
        writer.writerow([*(entry.text for entry in row), "; ".join(notes)])
    return file.getvalue()
