"""Records that are no records: the message names the file, the field, and what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.gauntlet.row import Row
from tests.gauntlet.toy import with_record

RECORDS: dict[str, tuple[Callable[[str], str], tuple[str, ...]]] = {
    "truncated": (lambda text: text[: len(text) // 2], ()),
    "empty": (lambda text: "", ()),
    "of NUL": (lambda text: "\x00\x01", ()),
    "of another shape": (lambda text: "[]", ()),
    "with an unknown field": (lambda text: text.replace('"status"', '"statos"', 1), ("status",)),
    "with a wrong type": (lambda text: text.replace('"top1": 0.7', '"top1": "good"'), ("top1",)),
    "of another job": (lambda text: text.replace('"seed": 0', '"seed": 1', 1), ("another job",)),
    "of a later schema's field": (lambda text: text.replace("{", '{"colour": 1,', 1), ("colour",)),
    "with two values": (lambda text: text + text, ("trailing",)),
    "without its job": (lambda text: text.replace('"job"', '"jobs"', 1), ("job",)),
    "of an unknown status": (lambda text: text.replace('"status": "done"', '"status": "fine"'), ("status",)),
}
READERS = {"plan": ["plan"], "report": ["report"], "check": ["check"]}


def spoiled(spoil: Callable[[str], str], command: list[str]) -> Callable[[Path], list[str]]:
    """Write the suite and a record of it that is spoiled, and give the suite to a command."""

    def make(folder: Path) -> list[str]:
        path = with_record(folder)
        text = path.read_text(encoding="utf-8")
        assert spoil(text) != text
        path.write_text(spoil(text), encoding="utf-8")
        return [command[0], "toy", *command[1:]]

    return make


ROWS: list[Row] = [
    Row(
        f"a record {case}, for {name}",
        spoiled(spoil, command),
        (".json is no valid record", "remove it to rerun", *words),
    )
    for case, (spoil, words) in RECORDS.items()
    for name, command in READERS.items()
]
