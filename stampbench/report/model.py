"""Tables as plain data for any renderer: captions, columns, entries and footnotes in plain text."""

from __future__ import annotations

from dataclasses import dataclass, field

DASH = "–"


@dataclass(frozen=True)
class Column:
    """A column with its heading; columns of numbers are aligned to the right."""

    heading: str
    number: bool = True


@dataclass(frozen=True)
class Entry:
    """The text of one cell, and the index of its footnote among the notes of the table.

    `strong` marks a difference whose corrected interval excludes zero, and nothing else.
    """

    text: str
    note: int | None = None
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """One table in plain text, unescaped. `name` serves as its label and file name.

    `sources` holds, for each row, the keys of the records that it was computed from; it is empty where rows do not come
    from records of their own.
    """

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()
    sources: tuple[tuple[str, ...], ...] = ()


@dataclass
class Notes:
    """The footnotes of one table; each text is listed once, in order of first use."""

    _indices: dict[str, int] = field(default_factory=dict)

    def index(self, text: str) -> int:
        """Return the index of the text among the notes, and add the text if it is new."""
        return self._indices.setdefault(text, len(self._indices))

    @property
    def texts(self) -> tuple[str, ...]:
        """All notes, in order."""
        return tuple(self._indices)
