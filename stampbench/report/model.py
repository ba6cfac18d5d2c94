"""Tables as plain data: captions, columns, entries and footnotes in plain text, for any renderer."""

from __future__ import annotations

from dataclasses import dataclass, field

DASH = "–"


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


@dataclass
class Notes:
    """Footnotes of one table, each text once, in order of first use."""

    _indices: dict[str, int] = field(default_factory=dict)

    def index(self, text: str) -> int:
        """Return the index of the text among the notes; a new text is added."""
        return self._indices.setdefault(text, len(self._indices))

    @property
    def texts(self) -> tuple[str, ...]:
        """All notes, in order."""
        return tuple(self._indices)
