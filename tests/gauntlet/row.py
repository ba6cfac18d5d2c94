"""A row of the gauntlet: one bad input, what must be said about it, and the exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """One bad input. `make` writes it into an empty folder and returns the arguments of the command that meets it."""

    input: str
    make: Callable[[Path], Sequence[str]]
    said: tuple[str, ...]
    code: int = 2
