"""Write reports: tables in Markdown, LaTeX and CSV, figures in SVG and PNG, and the page."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from stampbench import registry
from stampbench.errors import UserError
from stampbench.files import write_atomically
from stampbench.report.render import csv, latex, markdown, page
from stampbench.report.render.figures import figures_of
from stampbench.report.render.figures.drawing import Figure
from stampbench.report.render.inserted import insert
from stampbench.report.sections import Section, suite_sections
from stampbench.store import Store
from stampbench.suite import Suite

FORMATS: Final = ("md", "latex", "csv", "html", "figures")
Files = Iterator[tuple[str, str | bytes]]


def write_report(suites: Sequence[Suite], store: Store, formats: Iterable[str], out: Path) -> list[Path]:
    """Write the reports of the suites into the folder `out`, and return the paths of all files.

    The files are `<suite>.md`, `.tex` and `.html`, `csv/<table>.csv`, and `figures/<figure>.svg` and `.png`. The same
    records give the same bytes. Raises `UserError` for an unknown format before anything is written.
    """
    chosen = list(dict.fromkeys(formats))
    for name in chosen:
        if name not in FORMATS:
            raise UserError(f"unknown report format {name!r}{registry.suggestion(name, FORMATS)}")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is not a folder; name a folder to write to, or one that does not exist yet")
    with _no_garbage_collection():
        return [path for suite in suites for path in _write_suite(suite, store, chosen, out)]


def _write_suite(suite: Suite, store: Store, formats: Sequence[str], out: Path) -> Iterator[Path]:
    for name, content in _files(suite.name, suite_sections(suite, store), formats):
        write_atomically(out / name, content)
        yield out / name


@contextmanager
def _no_garbage_collection() -> Iterator[None]:
    """Switch garbage collection off: a report keeps all that it reads, and searching it takes a sixth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def renew(path: Path, suites: Sequence[Suite], store: Store) -> None:
    """Fill the marked places of a Markdown file with the present tables. Raises `UserError` as `insert` does."""
    if not path.is_file():
        raise UserError(f"there is no file {path} to renew tables in")
    tables = [table for suite in suites for section in suite_sections(suite, store) for table in section.tables]
    write_atomically(path, insert(path.read_text(encoding="utf-8"), tables))


def _files(suite: str, sections: Sequence[Section], formats: Sequence[str]) -> Files:
    draws = not {"html", "figures"}.isdisjoint(formats)
    drawn = [figures_of(section.data) if draws and section.data else [] for section in sections]
    for name in formats:
        if name == "csv":
            yield from _csv_files(sections)
        elif name == "figures":
            yield from _figure_files(drawn)
        elif name == "html":
            yield f"{suite}{page.SUFFIX}", page.document(sections, drawn)
        else:
            renderer = {"md": markdown, "latex": latex}[name]
            yield f"{suite}{renderer.SUFFIX}", renderer.document(sections)


def _csv_files(sections: Iterable[Section]) -> Files:
    for section in sections:
        for table in section.tables:
            yield f"csv/{table.name}{csv.SUFFIX}", csv.table(table)


def _figure_files(drawn: Iterable[Sequence[Figure]]) -> Files:
    for figure in (figure for figures in drawn for figure in figures):
        yield f"figures/{figure.name}.svg", figure.svg
        yield f"figures/{figure.name}.png", figure.png
