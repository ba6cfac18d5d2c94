"""Footnote marks in their customary order."""

from __future__ import annotations

MARKS = "†‡§¶"


def mark(index: int) -> str:
    """Return the mark of the footnote with that index: †, ‡, §, ¶, then each of them doubled, and so on."""
    return MARKS[index % len(MARKS)] * (1 + index // len(MARKS))
