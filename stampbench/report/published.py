"""Published numbers beside a suite's own, and what keeps the two from being compared."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from stampbench.contract import Granularity, Start
from stampbench.errors import UserError
from stampbench.record import Record
from stampbench.report.tables import DASH, Column, Entry, Notes, Scope, Table, accuracy
from stampbench.store import Store
from stampbench.suite import mistakes

FILE = "published.toml"
# Shares this near are the same budget: papers compress 31.6 times where suites say 1/32.
CLOSE = 0.02
KINDS = {"macs": "MACs", "params": "weights"}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Setting(_Part):
    """What decides comparability; None where the source does not state it.

    `network` is a registered name where the paper's is the same. `reported` is the epoch whose accuracy counts:
    the best on test images, the last, or unknown. `differs` says in words what else is not as here.
    """

    network: str
    width: float | None = Field(None, gt=0)
    epochs: int | None = Field(None, gt=0)
    train_images: int | None = Field(None, gt=0)
    reported: Literal["best", "last", "unknown"] = "unknown"
    differs: str | None = None


class Number(_Part):
    """One accuracy, top-1 in percent, with its deviation; `keep` is None where the share kept is not stated."""

    method: str
    target: str
    keep: float | None = Field(None, gt=0, le=1)
    top1: float = Field(ge=0, le=100)
    sd: float | None = Field(None, ge=0)


class Source(_Part):
    """Numbers of one source on one network. `family` is the nearest network here, if any.

    `second_hand` numbers come from a document that quotes the original; `unverified` ones are never printed.
    """

    source: str
    second_hand: bool = False
    unverified: bool = False
    network: str
    family: str | None = None
    granularity: Granularity
    kept_of: Literal["macs", "params"]
    start: Start
    setting: Setting
    numbers: tuple[Number, ...] = Field(min_length=1)

    @property
    def citation(self) -> str:
        """The source, and whether it was seen at second hand."""
        return f"{self.source} (second-hand)" if self.second_hand else self.source


class Published(_Part):
    """The file `published.toml`."""

    table: tuple[Source, ...]


@dataclass(frozen=True)
class _Ours:
    """A cell of the suite with what is the same for all of its target's jobs."""

    cell: dict[str, Any]
    epochs: int
    train_images: int | None

    def differences(self, source: Source, number: Number) -> list[str]:
        """What the published number was made with, against what this cell is made with; empty if all is the same."""
        setting, cell = source.setting, self.cell
        pairs = [
            ("network {}", setting.network, cell["network"]),
            ("width {}", setting.width, cell["width"]),
            ("{} epochs", setting.epochs, self.epochs),
            ("{} images", setting.train_images, self.train_images),
            ("{} weights at the start", source.start.value, cell["start"]),
        ]
        found = [_against(*pair) for pair in pairs if pair[1] is None or pair[1] != pair[2]]
        if setting.reported != "last":
            found.append(
                {"best": "best test epoch against the last", "unknown": "epoch reported not stated"}[setting.reported]
            )
        if setting.differs is not None:
            found.append(setting.differs)
        return found if self.budget_matches(source, number) else [*found, "budget not in this suite"]

    def budget_matches(self, source: Source, number: Number) -> bool:
        """Whether both keep the same share of the same thing."""
        if number.keep is None or (source.kept_of != self.cell["kind"] and number.keep < 1):
            return False
        return abs(math.log(number.keep / self.cell["keep"])) < CLOSE


def load(store: Store) -> tuple[Source, ...]:
    """The sources in the results folder's `published.toml`; none without the file.

    Raises `UserError` that names the mistake for a file that cannot be read.
    """
    path = store.root / FILE
    if not path.exists():
        return ()
    try:
        return Published.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).table
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise UserError(f"{path} cannot be read as TOML: {error}") from error
    except ValidationError as error:
        models = (Published, Source, Setting, Number)
        lines = mistakes(error, {field for model in models for field in model.model_fields})
        raise UserError(f"{path} is refused; correct it:\n{lines}") from error


def published_table(sources: Iterable[Source], jobs: pd.DataFrame, cells: pd.DataFrame, scope: Scope) -> Table | None:
    """Published numbers of the cells' methods, targets, networks and granularities beside ours; None if there is none.

    `jobs` and `cells` are a `job_frame` and its `cell_frame`.
    """
    ours, notes = _ours(jobs, cells), Notes()
    rows = tuple(_rows(sources, ours, notes))
    if not rows:
        return None
    words = ("method", "granularity", "target", "network", "kept", "published top-1 %", "ours %", "setting")
    numbers = {"kept", "published top-1 %", "ours %"}
    return Table(
        name=scope.name("published"),
        caption=f"Published numbers beside ours ({scope.suite}, {scope.preset} preset): top-1 accuracy in %, mean ± sd "
        f"where given; {scope.setting}. Only rows whose setting is the same can be compared.",
        columns=tuple(Column(word, number=word in numbers) for word in words),
        rows=rows,
        notes=notes.texts,
    )


def paper_sizes(records: Iterable[Record]) -> list[str]:
    """What searches would take at their papers' size, a remark for each method, target, network and width.

    Read from the notes `evaluations`, `evaluation_s` and `paper_evaluations` of finished records; the note
    `paper_search`, where there is one, says in words what the paper's size is.
    """
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    needed = {"evaluations", "evaluation_s", "paper_evaluations"}
    for record in records:
        if record.status == "done" and needed <= record.notes.keys():
            job = record.job
            place = f"{job.target}, {job.network} × {job.width:g}"
            found.setdefault((job.method, place), []).append(record.notes)
    return [_paper_size(method, place, notes) for (method, place), notes in found.items()]


def _paper_size(method: str, place: str, notes: Sequence[dict[str, Any]]) -> str:
    each = fmean(float(note["evaluation_s"]) for note in notes)
    evaluations = fmean(float(note["evaluations"]) for note in notes)
    taken = fmean(float(note["evaluations"]) * float(note["evaluation_s"]) for note in notes)
    most = max(int(note["paper_evaluations"]) for note in notes)
    words = f"{notes[0]['paper_search']}: " if "paper_search" in notes[0] else ""
    jobs = "1 job" if len(notes) == 1 else f"mean of {len(notes)} jobs"
    return (
        f"{method} on {place}: the search at its paper's size ({words}up to {most:,} evaluations) would take "
        f"{most * each:.0f} s at the measured {each:.3g} s an evaluation; this preset's took {evaluations:.0f} "
        f"evaluations, {taken:.1f} s ({jobs})."
    )


def _ours(jobs: pd.DataFrame, cells: pd.DataFrame) -> list[_Ours]:
    images = jobs.dropna(subset="train").groupby("target")["train"].first().astype(int).to_dict()
    rows = ({str(name): value for name, value in row.items()} for row in cells.to_dict("records"))
    return [_Ours(cell, cell["epochs"], images.get(cell["target"])) for cell in rows]


def _rows(sources: Iterable[Source], ours: Sequence[_Ours], notes: Notes) -> Iterator[tuple[Entry, ...]]:
    for source in sources:
        for number in source.numbers:
            wanted = (number.method, number.target, source.family, source.granularity.value)
            same = [own for own in ours if _subject(own.cell) == wanted]
            if same and not source.unverified:
                nearest = min(same, key=lambda own: _distance(own, source, number))
                yield _row(source, number, nearest, notes)


def _subject(cell: dict[str, Any]) -> tuple[str, str, str, str]:
    return cell["method"], cell["target"], cell["network"], cell["granularity"]


def _distance(own: _Ours, source: Source, number: Number) -> tuple[bool, int]:
    """First the cells of the same budget, then those with the fewest differences, in the suite's order."""
    return not own.budget_matches(source, number), len(own.differences(source, number))


def _row(source: Source, number: Number, own: _Ours, notes: Notes) -> tuple[Entry, ...]:
    differences = own.differences(source, number)
    top1 = f"{number.top1:.2f}" if number.sd is None else f"{number.top1:.2f} ± {number.sd:.2f}"
    return (
        Entry(number.method),
        Entry(source.granularity.value),
        Entry(number.target),
        Entry(source.network),
        Entry(_kept(source, number)),
        Entry(top1, notes.index(source.citation)),
        _accuracy_of(own, notes) if own.budget_matches(source, number) else Entry(DASH),
        Entry(f"different recipe: {'; '.join(differences)}" if differences else "same"),
    )


def _kept(source: Source, number: Number) -> str:
    if number.keep is None:
        return "not stated"
    return "all" if number.keep == 1 else f"{100 * number.keep:.3g} % of {KINDS[source.kept_of]}"


def _accuracy_of(own: _Ours, notes: Notes) -> Entry:
    if pd.isna(own.cell["top1"]):
        return Entry(DASH, notes.index(own.cell["outcome"]))
    which = f"ours: {own.cell['variant']}, {own.cell['start']} weights at the start, n = {own.cell['done']}"
    return Entry(accuracy(own.cell, "top1"), notes.index(which))


def _against(what: str, theirs: float | str | None, ours: float | str | None) -> str:
    """ "160 epochs against 4"."""
    if theirs is None:
        return f"{what.format('')} not stated".strip().replace("  ", " ")
    return f"{what.format(_text(theirs))} against {'unknown' if ours is None else _text(ours)}"


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
