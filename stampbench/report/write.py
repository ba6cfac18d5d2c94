"""Write reports: tables in Markdown and LaTeX, numbers in CSV, figures in SVG, PNG and PDF, and the page."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from stampbench import registry
from stampbench.errors import UserError
from stampbench.files import sweep, temporary_folder, write_atomically
from stampbench.report.data import Data
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

    The files are `<suite>.md`, `.tex` and `.html`, `csv/<suite>-cells.csv` and `csv/<suite>-jobs.csv` where there are
    records, and `figures/<figure>.svg`, `.png` and, at the widths of a paper's columns, `-1-column.pdf` and
    `-2-columns.pdf`. The same records give the same bytes. Where anything fails, the files that were there stay as they
    were. Raises `UserError` for an unknown format, and where `out` cannot be written.
    """
    chosen = list(dict.fromkeys(formats))
    for name in chosen:
        if name not in FORMATS:
            raise UserError(f"unknown report format {name!r}{registry.suggestion(name, FORMATS)}")
    if os.path.lexists(out) and not out.is_dir():
        raise UserError(f"{out} is not a folder; name a folder to write to, or one that does not exist yet")
    with _staged(out) as working, _no_garbage_collection():
        names = [
            name
            for suite in suites
            for name in _write_files(_files(suite.name, suite_sections(suite, store), chosen), working)
        ]
        _move(names, working, out)
    return [out / name for name in names]


def _write_files(files: Files, folder: Path) -> Iterator[str]:
    for name, content in files:
        write_atomically(folder / name, content)
        yield name


@contextmanager
def _staged(out: Path) -> Iterator[Path]:
    """Yield a temporary folder on the disk of `out`, so that a report that fails leaves the old files as they were."""
    made: list[Path] = []
    try:
        made += [folder for folder in (out, *out.parents) if not folder.exists()]
        out.mkdir(parents=True, exist_ok=True)
        sweep(out)
        with temporary_folder(out, ".report-") as working:
            yield working
    except OSError as error:
        raise UserError(
            f"{out} cannot be written: {error.strerror}; free some space, allow writing there or name another folder"
        ) from error
    finally:
        # Folders that stayed empty were made for nothing.
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def _move(names: Iterable[str], working: Path, out: Path) -> None:
    """Move finished files to `out`. Raises `UserError` before the first one where a folder or file is in the way."""
    for name in dict.fromkeys(names):
        target = out / name
        if target.is_dir() or (target.parent.exists() and not target.parent.is_dir()):
            raise UserError(f"{target} cannot be written: something is in the way; move it, or name another --out")
        target.parent.mkdir(parents=True, exist_ok=True)
    for name in dict.fromkeys(names):
        (working / name).replace(out / name)


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
    try:
        document = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as UTF-8 text: {error}; name another file") from error
    write_atomically(path, insert(document, tables))


def _files(suite: str, sections: Sequence[Section], formats: Sequence[str]) -> Files:
    draws = not {"html", "figures"}.isdisjoint(formats)
    drawn = [figures_of(section.data) if draws and section.data else [] for section in sections]
    for name in formats:
        if name == "csv":
            yield from _csv_files(suite, [section.data for section in sections if section.data])
        elif name == "figures":
            yield from _figure_files(drawn)
        elif name == "html":
            yield f"{suite}{page.SUFFIX}", page.document(sections, drawn)
        else:
            renderer = {"md": markdown, "latex": latex}[name]
            yield f"{suite}{renderer.SUFFIX}", renderer.document(sections)


def _csv_files(suite: str, found: Sequence[Data]) -> Files:
    if found:
        yield f"csv/{suite}-cells{csv.SUFFIX}", csv.cells(found)
        yield f"csv/{suite}-jobs{csv.SUFFIX}", csv.jobs(found)


def _figure_files(drawn: Iterable[Sequence[Figure]]) -> Files:
    for figure in (figure for figures in drawn for figure in figures):
        yield f"figures/{figure.name}.svg", figure.svg
        yield f"figures/{figure.name}.png", figure.png
        for width, pdf in figure.pdfs.items():
            yield f"figures/{figure.name}-{width}.pdf", pdf
