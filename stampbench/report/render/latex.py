"""Tables as LaTeX with booktabs, as a file that a document can \\input."""

from __future__ import annotations

import re
from collections.abc import Iterable

from stampbench.report.model import Entry, Table
from stampbench.report.render.marks import mark
from stampbench.report.sections import Section

SUFFIX = ".tex"
_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "%": r"\%",
        "&": r"\&",
        "#": r"\#",
        "_": r"\_",
        "$": r"\$",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "{''}",
        "*": "{*}",
        "[": "{[}",
        "]": "{]}",
        "–": r"\textendash{}",
        "±": r"$\pm$",
        "×": r"$\times$",
        "≤": r"$\leq$",
        "≥": r"$\geq$",
        "−": "$-$",
        "†": r"\dag{}",
        "‡": r"\ddag{}",
        "§": r"\S{}",
        "¶": r"\P{}",
    }
)


def document(sections: Iterable[Section]) -> str:
    """Return the sections one after the other, as a fragment without a preamble."""
    return "% Needs \\usepackage{booktabs,graphicx}.\n" + "".join(f"\n{_section(section)}" for section in sections)


def table(content: Table) -> str:
    """Return a table float with a caption, a label, booktabs rules and footnotes below."""
    layout = "".join("r" if column.number else "l" for column in content.columns)
    lines = [
        r"\begin{table}[htbp]",
        r"\centering\scriptsize",
        rf"\caption{{{escape(content.caption)}}}",
        rf"\label{{tab:{content.name}}}",
        rf"\resizebox{{\linewidth}}{{!}}{{\begin{{tabular}}{{{layout}}}",
        r"\toprule",
        _row(escape(column.heading) for column in content.columns),
        r"\midrule",
        *(_row(_entry(entry) for entry in row) for row in content.rows),
        r"\bottomrule",
        r"\end{tabular}}",
        *(rf"\par {_mark(index)} {escape(text)}" for index, text in enumerate(content.notes)),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Return the text on one line, with every character escaped that TeX would interpret."""
    escaped = " ".join(text.split()).translate(_ESCAPES)
    # Two hyphens in a row would become a dash.
    return re.sub("-(?=-)", "-{}", escaped)


def _section(section: Section) -> str:
    title = rf"\paragraph{{{escape(section.title)}}}"
    return "\n".join([f"{title}\n", *map(table, section.tables), *(f"{escape(r)}\n" for r in section.remarks)])


def _row(fields: Iterable[str]) -> str:
    return " & ".join(fields) + r" \\"


def _entry(entry: Entry) -> str:
    text = rf"\textbf{{{escape(entry.text)}}}" if entry.strong else escape(entry.text)
    return text + ("" if entry.note is None else _mark(entry.note))


def _mark(index: int) -> str:
    return rf"\textsuperscript{{{escape(mark(index))}}}"
