"""Tables as GitHub-flavoured Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable

from tabulate import tabulate

from stampbench.report.model import Entry, Table
from stampbench.report.render.marks import mark
from stampbench.report.sections import Section

SUFFIX = ".md"


def document(sections: Iterable[Section]) -> str:
    """Return the sections under headings of level 2."""
    return "\n".join(_section(section) for section in sections)


def table(content: Table) -> str:
    """Return the caption, the table with pipes, and the footnotes."""
    body = tabulate(
        [[_entry(entry) for entry in row] for row in content.rows],
        headers=[escape(column.heading) for column in content.columns],
        tablefmt="pipe",
        colalign=["right" if column.number else "left" for column in content.columns],
        disable_numparse=True,
    )
    notes = "".join(f"\n{mark(index)} {escape(text)}  " for index, text in enumerate(content.notes))
    return f"**{escape(content.caption)}**\n\n{body}\n" + (f"{notes}\n" if notes else "")


def escape(text: str) -> str:
    """Return the text on one line, with every character escaped that Markdown would interpret."""
    return re.sub(r"([\\`*_\[\]<>|~])", r"\\\1", " ".join(text.split()))


def _section(section: Section) -> str:
    parts = [f"## {escape(section.title)}\n", *(table(content) for content in section.tables)]
    if section.remarks:
        parts.append("".join(f"- {escape(remark)}\n" for remark in section.remarks))
    return "\n".join(parts)


def _entry(entry: Entry) -> str:
    text = f"**{escape(entry.text)}**" if entry.strong else escape(entry.text)
    return text + ("" if entry.note is None else f" {mark(entry.note)}")
