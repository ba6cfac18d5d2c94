"""Published numbers beside ours, with the differences that keep the two from being compared."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from stampbench.report.data import Data
from stampbench.report.model import DASH, Column, Entry, Notes, Table
from stampbench.report.published import Number, Source
from stampbench.report.tables.entries import dicts
from stampbench.report.words import accuracy, resource_label

# Shares whose logarithms differ by less are the same budget: papers compress 31.6 times where suites say 1/32.
CLOSE = 0.02


def published_tables(data: Data) -> list[Table]:
    """Return one table of the published numbers for the methods, targets, networks and granularities of the cells."""
    scope, ours, notes = data.scope, _ours(data.frame, data.cells), Notes()
    rows = tuple(_rows(data.published, ours, notes))
    words = ("method", "granularity", "target", "network", "kept", "published top-1 %", "checked", "ours %", "setting")
    numbers = {"kept", "published top-1 %", "ours %"}
    table = Table(
        name=scope.name("published"),
        caption=f"Published numbers beside ours ({scope.suite}, {scope.preset} preset): top-1 accuracy in %, mean ± sd "
        f"where given; {scope.setting}. Only rows whose setting is the same can be compared; only values that are "
        "checked were compared with their source.",
        columns=tuple(Column(word, number=word in numbers) for word in words),
        rows=rows,
        notes=notes.texts,
    )
    return [table] if rows else []


@dataclass(frozen=True)
class _Ours:
    """A cell of the suite, with the number of training images of its target."""

    cell: dict[str, Any]
    train_images: int | None

    def differences(self, source: Source, number: Number) -> list[str]:
        """Return the differences between the published number's setting and this cell's; none if they are equal."""
        setting, cell = source.setting, self.cell
        pairs = [
            ("network {}", setting.network, cell["network"]),
            ("width {}", setting.width, cell["width"]),
            ("{} epochs", setting.epochs, cell["epochs"]),
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
        return found if same_budget(self.cell, source, number) else [*found, "budget not in this suite"]


def same_budget(cell: dict[str, Any], source: Source, number: Number) -> bool:
    """Return whether a cell and a published number keep the same share of the same resource."""
    if number.keep is None or (source.kept_of != cell["resource"] and number.keep < 1):
        return False
    return abs(math.log(number.keep / cell["keep"])) < CLOSE


def _ours(jobs: pd.DataFrame, cells: pd.DataFrame) -> list[_Ours]:
    images = jobs.dropna(subset="train").groupby("target")["train"].first().astype(int).to_dict()
    return [_Ours(cell, images.get(cell["target"])) for cell in dicts(cells)]


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
    """Return a sort key: cells of the same budget come first, then those with the fewest differences."""
    return not same_budget(own.cell, source, number), len(own.differences(source, number))


def _row(source: Source, number: Number, own: _Ours, notes: Notes) -> tuple[Entry, ...]:
    differences = own.differences(source, number)
    top1 = f"{number.top1:.{number.decimals}f}" + ("" if number.sd is None else f" ± {number.sd:.2f}")
    return (
        Entry(number.method),
        Entry(source.granularity.value),
        Entry(number.target),
        Entry(source.network),
        Entry(_kept(source, number)),
        Entry(top1, notes.index(source.citation)),
        _checked(source, notes),
        _accuracy_of(own, notes) if same_budget(own.cell, source, number) else Entry(DASH),
        Entry(f"different recipe: {'; '.join(differences)}" if differences else "same"),
    )


def _kept(source: Source, number: Number) -> str:
    if number.keep is None:
        return "not stated"
    return "all" if number.keep == 1 else f"{100 * number.keep:.3g} % of {resource_label(source.kept_of)}"


def _checked(source: Source, notes: Notes) -> Entry:
    if source.was_checked:
        return Entry("yes", notes.index(f"checked against {source.checked}"))
    return Entry("no", notes.index("not checked: its source was not at hand"))


def _accuracy_of(own: _Ours, notes: Notes) -> Entry:
    if pd.isna(own.cell["top1"]):
        return Entry(DASH, notes.index(own.cell["outcome"]))
    which = f"ours: {own.cell['variant']}, {own.cell['start']} weights at the start, n = {own.cell['done']}"
    return Entry(accuracy(own.cell, "top1"), notes.index(which))


def _against(what: str, theirs: float | str | None, ours: float | str | None) -> str:
    """Return one difference in words: "160 epochs against 4"."""
    if theirs is None:
        return f"{what.format('')} not stated".strip().replace("  ", " ")
    return f"{what.format(_text(theirs))} against {'unknown' if ours is None else _text(ours)}"


def _text(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:g}"
