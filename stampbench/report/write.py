"""Writes reports: one file a suite and format."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from stampbench import registry
from stampbench.errors import UserError
from stampbench.report import latex, markdown
from stampbench.report.sections import suite_sections
from stampbench.store import Store, write_atomically
from stampbench.suite import Suite

FORMATS: Final = {"md": markdown, "latex": latex}


def write_report(suites: Sequence[Suite], store: Store, formats: Iterable[str], out: Path) -> list[Path]:
    """Writes `out/<suite>.md` and `.tex` as asked; returns the paths. The same records give the same bytes.

    Raises `UserError` for an unknown format before anything is written.
    """
    chosen = list(dict.fromkeys(formats))
    for name in chosen:
        if name not in FORMATS:
            raise UserError(f"unknown report format {name!r}{registry.suggestion(name, FORMATS)}")
    written = []
    for suite in suites:
        sections = suite_sections(suite, store)
        for name in chosen:
            path = out / f"{suite.name}{FORMATS[name].SUFFIX}"
            write_atomically(path, FORMATS[name].document(sections))
            written.append(path)
    return written
