"""The words for what pydantic finds wrong with a file or with options."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from pydantic import ValidationError

from stampbench import registry

MOST_MISTAKES = 20


def mistakes(error: ValidationError, known: set[str]) -> str:
    """Return one line per mistake: where it is, what is wrong and, for an unknown key, the nearest known one."""
    return listed(in_words(mistake, known) for mistake in error.errors())


def in_words(mistake: Mapping[str, Any], known: set[str]) -> str:
    """Return a line for one mistake of pydantic's list; `known` are the keys that its place may have."""
    where = ".".join(str(part) for part in mistake["loc"])
    if mistake["type"] == "extra_forbidden":
        return f"{where}: unknown key{registry.suggestion(str(mistake['loc'][-1]), known)}"
    # The words are those for JSON, which is what is validated.
    wrong = mistake["msg"].replace("valid array", "valid list").replace("an object", "a table")
    # A mistake that concerns the whole file would be printed with the file as its input.
    if not where or mistake["type"] == "missing":
        return f"{where}: {wrong}" if where else wrong
    return f"{where}: {wrong} (got {mistake['input']!r})"[:398]


def listed(lines: Iterator[str]) -> str:
    """Return the first of these lines, indented, and say if there are more."""
    shown = [f"  {line}" for line in islice(lines, MOST_MISTAKES)]
    return "\n".join([*shown, *(["  and more"] if next(lines, None) else [])])
