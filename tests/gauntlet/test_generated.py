"""Bad input at random: it is taken or refused, in a sentence that names it; no traceback, no hang, no loss."""

from __future__ import annotations

import json
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files as resources
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from stampbench.errors import UserError
from stampbench.report import published
from tests.fixtures.examples import examples
from tests.gauntlet.hostile import bad
from tests.gauntlet.meeting import Outcome, files, limited, meet
from tests.gauntlet.toy import SUITE, with_record, with_suite


@contextmanager
def empty_folder() -> Iterator[Path]:
    """A folder for one example, as pytest's is shared by all examples of a test."""
    with tempfile.TemporaryDirectory() as name:
        (inside := Path(name).resolve() / "above" / "inside").mkdir(parents=True)
        yield inside
        assert [path for path in Path(name).rglob("*") if inside not in (path, *path.parents)] == [inside.parent]


def hold(outcome: Outcome, *named: str) -> None:
    """What must be true of every answer; a refusal names one of these."""
    assert outcome.code in (0, 1, 2), outcome.text
    assert "Traceback (most recent call last)" not in outcome.text, outcome.text
    if outcome.code == 2:
        lines = [line for line in outcome.text.splitlines() if line.startswith(("error: ", "Usage: "))]
        assert len(lines) == 1, outcome.text
        assert any(outcome.says(name) for name in named), outcome.text


def good_suite() -> dict:
    return tomllib.loads(SUITE) | {
        "comparison": {"keep": 0.25, "accuracy_of": {"name": "magnitude", "start": "target"}},
        "claims": [{"title": "Better", "subject": "magnitude", "against": ["random", "dense"]}],
        "methods": {"all": ["dense", {"name": "random"}]},
        "datasets": {"pets": {"path": "pets", "size": 32}},
    }


# Every refusal of a suite names the file, or what is not known, not possible or too much in it.
@given(content=bad(good_suite(), toml=True), command=st.sampled_from([["plan"], ["report", "--format", "csv"]]))
@examples(60)
def test_any_suite_file(content: bytes, command: Sequence[str]) -> None:
    with empty_folder() as folder:
        with_suite(folder, content)
        before = files(folder)
        outcome = meet([command[0], "toy", *command[1:]], folder)
        hold(outcome, "toy", "method", "dataset", "network", "resource")
        assert files(folder).items() >= before.items()


def good_record() -> dict:
    with empty_folder() as folder:
        return json.loads(with_record(folder).read_bytes())


@given(
    content=bad(good_record(), toml=False),
    command=st.sampled_from([["plan"], ["check"], ["check", "--record"], ["report", "--format", "html"], ["report"]]),
)
@examples(40)
def test_any_record(content: bytes, command: Sequence[str]) -> None:
    with empty_folder() as folder:
        path = with_record(folder)
        path.write_bytes(content)
        before = files(folder)
        hold(meet([command[0], "toy", *command[1:]], folder), path.name, "there is no record")
        assert files(folder).items() >= before.items()


def good_numbers() -> dict:
    known = tomllib.loads((resources("stampbench.report") / published.FILE).read_text(encoding="utf-8"))
    return {"table": known["table"][:3]}


@given(content=bad(good_numbers(), toml=True))
@examples(60)
def test_any_file_of_published_numbers(content: bytes) -> None:
    with limited():
        try:
            published.parse(content.decode(errors="surrogateescape"))
        except UserError as error:
            assert published.FILE in str(error)


OPTIONS = ["--preset", "--results", "--method", "--target", "--seed", "--out", "--format", "--into", "--junit"]
# Options write where they are told to: so these words name nothing outside of the folder but /proc, which refuses all.
WORDS = st.sampled_from(
    [
        "",
        "toy",
        "quick",
        "suites/toy.toml",
        ".",
        "/proc/nothing",
        "nothing",
        "-1",
        "1e9",
        "9" * 400,
        "nan",
        "é",
        "\udcff",
    ]
) | st.sampled_from(["x" * 5000, "a\nb", "--", "-", "md", "cifar10", "dense", "[red]", "%s", "~", "@all", "\x1b[31m"])
WORDS |= st.text(st.characters(exclude_characters="\0/."), max_size=10)
COMMANDS = ["plan", "report", "check", "pack", "list", "data", "unpack", "status", "verify", "--help"]


@given(
    words=st.lists(st.sampled_from(COMMANDS), min_size=1, max_size=2),
    suite=st.just("toy") | WORDS,
    options=st.lists(st.tuples(st.sampled_from(OPTIONS), WORDS), max_size=3),
)
@examples(60)
def test_any_command_line(words: list[str], suite: str, options: list[tuple[str, str]]) -> None:
    arguments = [*words, suite, *(word for option in options for word in option)]
    with empty_folder() as folder:
        with_suite(folder)
        before = files(folder)
        hold(meet(arguments, folder), *(word for word in arguments if word), "Missing", "is not", "no suite ")
        assert files(folder).items() >= before.items()
