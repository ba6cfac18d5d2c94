"""Reading TOML files that may hold anything: whatever would hang, exhaust or deceive is refused before it is used."""

from __future__ import annotations

import math
import re
import tomllib
import unicodedata
from collections.abc import Iterator
from datetime import date, time
from pathlib import Path
from typing import Any

MOST_BYTES = 2**20
DEEPEST = 16
LONGEST_TEXT = 1000
MOST_ENTRIES = 1000
# Characters that are not seen, or that change how others are seen: controls, marks of direction, surrogates, line ends.
UNSEEN = frozenset({"Cc", "Cf", "Cs", "Cn", "Zl", "Zp"})
# These two are format characters, but Persian and emoji are not written without them.
JOINERS = "\u200c\u200d"


def read(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file of at most `MOST_BYTES`, in which -0.0 is read as 0.0.

    Raises `OSError` for a file that cannot be opened, and `ValueError` for what is no plain file or no sound TOML.
    """
    path.stat()
    if not path.is_file():
        raise ValueError("it is no plain file; copy what it holds into one")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES // 2**20} MiB")
    text = content.decode("utf-8")
    # The time and memory that tomllib takes for a dotted key grow with the square of its parts.
    if any(piece.partition("=")[0].count(".") > DEEPEST for piece in re.split(r"[\n{,]", text)):
        raise ValueError(f"a key has more than {DEEPEST} parts")
    try:
        # Negative zero would give a job a second key.
        return tomllib.loads(text, parse_float=lambda digits: float(digits) + 0.0)
    except RecursionError:
        raise ValueError(f"it is nested too deep; {DEEPEST} levels are allowed") from None


def oddities(value: object, place: str = "", level: int = 0) -> Iterator[str]:
    """Yield "place: what is wrong" for every key and value in the content of a file that no file of ours needs.

    These are what is too long or too deep, texts with characters that are not seen, numbers that are not finite or
    that need more than 64 bits, and dates.
    """
    if level > DEEPEST:
        yield f"{place}: nested too deep; {DEEPEST} levels are allowed"
    elif isinstance(value, dict | list):
        if len(value) > MOST_ENTRIES:
            yield f"{place or 'the file'}: {len(value):,} entries; at most {MOST_ENTRIES:,} are allowed"
            return
        for key, entry in value.items() if isinstance(value, dict) else enumerate(value):
            if why := _odd(key):
                yield f"{f'a key in {place}' if place else 'a key'}: {why}"
            else:
                yield from oddities(entry, f"{place}.{key}" if place else str(key), level + 1)
    elif why := _odd(value):
        yield f"{place}: {why}"


def _odd(value: object) -> str | None:
    """Return what is wrong with a text, a number or a date, or None."""
    if isinstance(value, str):
        if len(value) > LONGEST_TEXT:
            return f"a text of {len(value):,} characters; at most {LONGEST_TEXT:,} are allowed"
        unseen = (sign for sign in value if unicodedata.category(sign) in UNSEEN and sign not in JOINERS)
        return next((f"{value!a} holds the unseen character U+{ord(sign):04X}; remove it" for sign in unseen), None)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "an integer of more than 64 bits"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value} is not a finite number"
    return "a date or time, which no key takes" if isinstance(value, date | time) else None
