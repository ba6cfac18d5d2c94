"""Prints tables, and the details of one thing, for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stampbench.details import Details


def show(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table, as wide as the terminal or, without a terminal, as wide as the table needs to be."""
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
