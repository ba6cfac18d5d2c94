"""All rows of the gauntlet: the `ROWS` of every module `rows_*.py` in this folder, and how a row is tried."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from pathlib import Path

from tests.gauntlet.meeting import Outcome, files, meet
from tests.gauntlet.row import Row


def all_rows() -> list[Row]:
    """Return every row, module by module."""
    names = sorted(m.name for m in pkgutil.iter_modules([str(Path(__file__).parent)]) if m.name.startswith("rows_"))
    return [row for name in names for row in importlib.import_module(f"tests.gauntlet.{name}").ROWS]


def tried(row: Row, folder: Path) -> tuple[Outcome, list[str]]:
    """Return what a row's command said, and everything that is wrong with that."""
    (inside := folder / "inside").mkdir()
    arguments: Sequence[str] = row.make(inside)
    before, outside = files(inside), files(folder)
    outcome = meet(arguments, inside)
    after = files(inside)
    wrong = [f"exit code {outcome.code} instead of {row.code}"] if outcome.code != row.code else []
    wrong += [f"{words!r} was not said" for words in row.said if not outcome.says(words)]
    wrong += ["a traceback was printed"] if outcome.says("Traceback (most recent call last)") else []
    wrong += [f"{name} was changed or lost" for name in lost(before, after)] if row.code == 2 else []
    strangers = files(folder).keys() - outside.keys()
    wrong += [f"{name} was written outside" for name in strangers if not name.startswith("inside/")]
    if row.code == 2:
        wrong += [f"{name} was written" for name in after.keys() - before.keys() if not harmless(name)]
    return outcome, wrong


def lost(before: dict[str, tuple[int, ...]], after: dict[str, tuple[int, ...]]) -> list[str]:
    """Return the files that are not as they were, unless they were set aside whole."""
    asides = {state for name, state in after.items() if name.endswith(".damaged")}
    return [name for name, state in before.items() if after.get(name) != state and state not in asides]


def harmless(name: str) -> bool:
    """Return whether a refused command may leave this: locks, what it set aside, and what it could cache."""
    path = Path(name)
    return path.parts[0] == "cache" or ".locks" in path.parts or path.suffix in (".damaged", ".lock")
