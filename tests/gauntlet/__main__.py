"""Print the table of the gauntlet as Markdown, and what each input was answered: `python -m tests.gauntlet`."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.gauntlet.table import all_rows, tried


def main() -> None:
    """Try every row; exit with 1 where one is not answered as its row says."""
    fallen = []
    print(line(["input", "what is said", "exit code"]), line(["---", "---", "---:"]), sep="\n")
    for row in all_rows():
        with tempfile.TemporaryDirectory() as folder:
            outcome, wrong = tried(row, Path(folder).resolve())
            said = outcome.line.replace(f"{Path(folder).resolve()}/inside/", "")
        print(line([row.input, said if len(said) <= 200 else f"{said[:199]}…", str(outcome.code)]), flush=True)
        fallen += [f"{row.input}: {what}" for what in wrong]
    print(*fallen, sep="\n", file=sys.stderr)
    sys.exit(1 if fallen else 0)


def line(cells: Sequence[str]) -> str:
    """Return a row of a Markdown table."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    main()
