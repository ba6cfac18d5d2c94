"""Cells as tables: captions, columns, entries and footnotes in plain text, for any renderer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import pandas as pd

from stampbench.job import Job
from stampbench.report.cells import TABLE, VARIANT

DASH = "–"
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Column:
    """A heading; numbers are set flush right."""

    heading: str
    number: bool = True


@dataclass(frozen=True)
class Entry:
    """The text of one field, and the index of its footnote in the table's notes.

    `strong` marks a difference whose corrected interval excludes zero, and nothing else.
    """

    text: str
    note: int | None = None
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """One table in plain text, unescaped. `name` serves as label and file name.

    `sources` are the keys of the records behind each row, where rows are of records.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()
    sources: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Scope:
    """What one set of tables shows; but for its length, in `epochs`, the protocol is the same in all of its jobs.

    `place` says which images and devices there were.
    """

    suite: str
    preset: str
    job: Job
    epochs: tuple[int, ...]
    place: str

    @classmethod
    def of(cls, suite: str, preset: str, jobs: Sequence[Job], frame: pd.DataFrame) -> Scope:
        """The scope of these jobs; `frame` is their `job_frame`."""
        return cls(suite, preset, jobs[0], tuple(sorted({job.protocol.epochs for job in jobs})), _place(frame))

    @property
    def setting(self) -> str:
        """The conditions, the training images of each target, and the devices."""
        return f"{self.conditions}; {self.place}"

    def name(self, *parts: str) -> str:
        """A label made of letters, digits, dots and hyphens."""
        words = [self.suite, self.preset, *parts, self.job.protocol.precision]
        return re.sub(r"[^A-Za-z0-9.]+", "-", "-".join(words))

    @property
    def conditions(self) -> str:
        """Epochs, precision and protocol version."""
        protocol = self.job.protocol
        epochs = "1 epoch" if self.epochs == (1,) else f"{' to '.join(map(str, self._ends))} epochs"
        return f"{epochs}, {protocol.precision}, protocol version {self.job.protocol_version}"

    @property
    def _ends(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys((self.epochs[0], self.epochs[-1])))


def target_tables(jobs: pd.DataFrame, cells: pd.DataFrame, scope: Scope) -> list[Table]:
    """One table per target × network × width, in order of first appearance."""
    tables = []
    for place in _distinct_rows(cells, TABLE):
        network = f"{place[1]} × {place[2]:g}"
        tables.append(_target_table(_at(jobs, place), _at(cells, place), scope, network))
    return tables


def summary_table(jobs: pd.DataFrame, cells: pd.DataFrame, scope: Scope) -> Table:
    """Top-1 of every variant, start and budget on every target × network × width."""
    notes = Notes()
    places, variants = _distinct_rows(cells, TABLE), _distinct_rows(cells, VARIANT)
    found = {tuple(cell[key] for key in [*TABLE, *VARIANT]): cell for cell in _dicts(cells)}
    rows = tuple(
        (
            *_head(dict(zip(VARIANT, variant, strict=True)), scope),
            *(_summary_entry(found.get((*place, *variant)), notes) for place in places),
        )
        for variant in variants
    )
    names = {target: _display_name(jobs[jobs["target"] == target], target) for target, _, _ in places}
    headings = [f"{names[target]}, {network} × {width:g}" for target, network, width in places]
    return Table(
        name=scope.name("summary"),
        caption=f"{scope.suite}, {scope.preset} preset: top-1 accuracy on test images in %, mean ± sd over "
        f"seeds; {scope.conditions}; {_devices(jobs)}.",
        columns=(*_headings(scope), *(Column(heading) for heading in headings)),
        rows=rows,
        notes=notes.texts,
        sources=tuple(
            tuple(key for place in places for key in found.get((*place, *variant), {"keys": ()})["keys"])
            for variant in variants
        ),
    )


@dataclass
class Notes:
    """Footnotes of one table, each text once, in order of first use."""

    _indices: dict[str, int] = field(default_factory=dict)

    def index(self, text: str) -> int:
        """Where the text stands among the notes, added if it is new."""
        return self._indices.setdefault(text, len(self._indices))

    @property
    def texts(self) -> tuple[str, ...]:
        """All notes, in order."""
        return tuple(self._indices)


def accuracy(cell: dict[str, Any], measure: str) -> str:
    """A cell's mean and deviation over seeds, in percent."""
    mean, sd = cell[measure], cell[f"{measure}_sd"]
    return f"{100 * mean:.2f}" if pd.isna(sd) else f"{100 * mean:.2f} ± {100 * sd:.2f}"


def _percent(cell: dict[str, Any], measure: str) -> str:
    return f"{100 * cell[measure]:.1f}"


def _seconds(cell: dict[str, Any], measure: str) -> str:
    seconds = cell[measure]
    return f"{seconds:.0f}" if seconds >= 100 or seconds == 0 else f"{seconds:.1f}"


def _ratio(cell: dict[str, Any], measure: str) -> str:
    return f"{cell[measure]:.2f}×"


_MEASURES: dict[str, tuple[str, Callable[[dict[str, Any], str], str]]] = {
    "top1": ("top-1 %", accuracy),
    "top5": ("top-5 %", accuracy),
    "params": ("parameters %", _percent),
    "macs": ("MACs %", _percent),
    "pretrain_s": ("pretrain s", _seconds),
    "prune_s": ("prune s", _seconds),
    "train_s": ("train s", _seconds),
    "total_s": ("total s", _seconds),
    "train_speed_up": ("training speed-up", _ratio),
    "inference_speed_up": ("inference speed-up", _ratio),
}


def _target_table(jobs: pd.DataFrame, cells: pd.DataFrame, scope: Scope, network: str) -> Table:
    notes = Notes()
    # Top-5 is recorded where there are at least 100 classes.
    measures = [measure for measure in _MEASURES if measure != "top5" or cells["top5"].notna().any()]
    rows = tuple(
        (*_head(cell, scope), _count(cell, notes), *(_entry(cell, measure, notes) for measure in measures))
        for cell in _dicts(cells)
    )
    target = str(cells["target"].iloc[0])
    return Table(
        name=scope.name(target, network),
        caption=_caption(jobs, scope, f"{_display_name(jobs, target)}, {network}"),
        columns=(*_headings(scope), Column("n"), *(Column(_MEASURES[measure][0]) for measure in measures)),
        rows=rows,
        notes=notes.texts,
        sources=tuple(cells["keys"]),
    )


def _headings(scope: Scope) -> tuple[Column, ...]:
    schedule = [Column("epochs")] if len(scope.epochs) > 1 else []
    return (Column("method", number=False), Column("start", number=False), Column("budget"), *schedule)


def _head(cell: dict[str, Any], scope: Scope) -> tuple[Entry, ...]:
    share = Fraction(cell["keep"]).limit_denominator(1000)
    kind = "MACs" if cell["kind"] == "macs" else "weights"
    budget = "1" if share == 1 else f"{share} {kind}"
    schedule = [Entry(str(cell["epochs"]))] if len(scope.epochs) > 1 else []
    return (Entry(cell["variant"]), Entry(cell["start"]), Entry(budget), *schedule)


def _count(cell: dict[str, Any], notes: Notes) -> Entry:
    if not cell["outcome"]:
        return Entry(str(cell["done"]))
    return Entry(f"{cell['done']} of {cell['planned']}", notes.index(cell["outcome"]))


def _entry(cell: dict[str, Any], measure: str, notes: Notes) -> Entry:
    """A number, or a dash whose footnote says why there is none."""
    if pd.isna(cell[measure]):
        return Entry(DASH, notes.index(NOT_MEASURED if cell["done"] else cell["outcome"]))
    known, done = cell[f"{measure}_n"], cell["done"]
    note = notes.index(f"measured for {known} of {done} seeds") if known < done else None
    return Entry(_MEASURES[measure][1](cell, measure), note)


def _summary_entry(cell: dict[str, Any] | None, notes: Notes) -> Entry:
    if cell is None:
        return Entry(DASH, notes.index("not in the suite"))
    entry = _entry(cell, "top1", notes)
    return Entry(entry.text, notes.index(cell["outcome"])) if cell["outcome"] else entry


def _caption(jobs: pd.DataFrame, scope: Scope, subject: str) -> str:
    counts = {role: _distinct(jobs[role].dropna().astype(int)) for role in ("train", "validation", "test")}
    images = (
        f"{counts['train']} training, {counts['validation']} validation and {counts['test']} test images"
        if counts["test"]
        else "image counts unknown"
    )
    return (
        f"{subject} ({scope.suite}, {scope.preset} preset): {images}; {scope.conditions}; {_devices(jobs)}. "
        "Accuracy on test images, mean ± sd over n seeds; the other columns are means; "
        "speed-ups are over the dense network."
    )


def _place(jobs: pd.DataFrame) -> str:
    used = jobs.dropna(subset="train").drop_duplicates(["display_name", "train"])
    images = [f"{name} {count:,.0f}" for name, count in zip(used["display_name"], used["train"], strict=True)]
    return f"training images: {', '.join(images) or 'unknown'}; {_devices(jobs)}"


def _display_name(jobs: pd.DataFrame, target: str) -> str:
    return _distinct(jobs["display_name"].dropna()) or f"{target} (no data used yet)"


def _devices(jobs: pd.DataFrame) -> str:
    """Where the numbers come from; several devices, or numerics, are said to be so."""
    devices, numerics = jobs["device"].dropna().unique(), jobs["fingerprint"].nunique()
    where = _distinct(devices) or "no device yet"
    mixed = "mixed devices: " if len(devices) > 1 else ""
    fingerprints = f" ({numerics} numeric fingerprints: bits may differ)" if numerics > 1 else ""
    elsewhere = _distinct(d for d in jobs["speed_device"].dropna().unique() if d not in devices)
    return f"{mixed}{where}{fingerprints}" + (f", speed-ups on {elsewhere}" if elsewhere else "")


def _distinct(values: Iterable[Any]) -> str:
    return " / ".join(sorted({str(value) for value in values}))


def _distinct_rows(cells: pd.DataFrame, columns: list[str]) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in cells[columns].drop_duplicates().itertuples(index=False)]


def _at(frame: pd.DataFrame, place: tuple[Any, ...]) -> pd.DataFrame:
    """The rows of one target, network and width."""
    return frame[(frame[TABLE] == list(place)).all(axis=1)]


def _dicts(cells: pd.DataFrame) -> Iterator[dict[str, Any]]:
    return ({str(name): value for name, value in row.items()} for row in cells.to_dict("records"))
