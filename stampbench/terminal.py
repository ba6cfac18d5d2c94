"""Prints tables, and the details of one thing, for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stampbench.details import Details
    from stampbench.report.model import Table

# Wider lines are hard to read.
MOST_COLUMNS = 100


def show(headings: Sequence[str], rows: Iterable[Sequence[object]], as_json: bool = False) -> None:
    """Print a table, as wide as the terminal or, without a terminal, as wide as the table needs to be.

    `as_json` prints a JSON list instead, with an object for each row.
    """
    if as_json:
        print(json.dumps([dict(zip(headings, row, strict=True)) for row in rows], indent=1, default=str))
        return

    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(*headings, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*("-" if value is None else escape(str(value)) for value in row))
    console = Console()
    if not console.is_terminal:
        console = Console(width=console.measure(table, options=console.options.update(width=10_000)).maximum)
    console.print(table)


def show_table(content: Table) -> None:
    """Print the caption, the rows and the footnotes of a report's table, in lines of at most `MOST_COLUMNS` columns."""
    from rich.console import Console
    from rich.table import Table as Grid
    from rich.text import Text

    from stampbench.report.render.marks import mark

    console = Console(highlight=False)
    console = Console(highlight=False, width=min(console.width, MOST_COLUMNS))
    grid = Grid(box=None, pad_edge=False, padding=(0, 1))
    for column in content.columns:
        grid.add_column(Text(column.heading), justify="right" if column.number else "left", no_wrap=not column.number)
    for row in content.rows:
        texts = (entry.text + ("" if entry.note is None else f" {mark(entry.note)}") for entry in row)
        grid.add_row(*map(Text, texts))
    console.print(Text(content.caption), grid, sep="\n\n")
    for index, note in enumerate(content.notes):
        console.print(Text(f"{mark(index)} {note}"))
    console.print()


def show_details(details: Details) -> None:
    """Print facts, text, table and notes, with empty lines between them; what is empty is left out."""
    width = max(map(len, details.facts))
    print("\n".join(f"{name:<{width}}  {'-' if fact is None else fact}" for name, fact in details.facts.items()))
    if details.text:
        print(f"\n{details.text}")
    if details.heading:
        print(f"\n{details.heading}")
    headings, rows = details.table
    if rows:
        print()
        show(headings, rows)
    if details.notes:
        print(f"\n{details.notes}")
