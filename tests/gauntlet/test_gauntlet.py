"""Every bad input of the table is met: what must be said is said, with the right exit code, and nothing is lost."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from stampbench import cli
from tests.gauntlet import meeting
from tests.gauntlet.meeting import TookTooLong, files, meet
from tests.gauntlet.row import Row
from tests.gauntlet.table import all_rows, tried

ROWS = all_rows()
RESULTS = Path(__file__).parents[2] / "results"


@pytest.fixture(scope="module", autouse=True)
def committed_results() -> Iterator[None]:
    """Whatever the inputs are, the project's own results stay as they are."""
    before = files(RESULTS)
    yield
    assert files(RESULTS) == before


@pytest.mark.parametrize("row", ROWS, ids=[row.input for row in ROWS])
def test_a_bad_input_is_refused(row: Row, tmp_path: Path) -> None:
    outcome, wrong = tried(row, tmp_path)
    assert not wrong, f"{row.input}: {'; '.join(wrong)}\n{outcome.text}"


def test_the_table_has_two_hundred_rows_and_more_each_of_its_own_name() -> None:
    assert len(ROWS) >= 200
    assert [name for name, count in Counter(row.input for row in ROWS).items() if count > 1] == []
    assert [row.input for row in ROWS if not row.said] == []


def make_nothing(folder: Path) -> list[str]:
    (folder / "kept").write_text("kept")
    return []


@pytest.mark.parametrize(
    ("does", "wrong"),
    [
        (lambda: print("Traceback (most recent call last)"), ["exit code 0 instead of 2", "a traceback was printed"]),
        (lambda: Path("kept").unlink(), ["exit code 0 instead of 2", "kept was changed or lost"]),
        (lambda: Path("kept").write_text("more than was"), ["exit code 0 instead of 2", "kept was changed or lost"]),
        (lambda: Path("../new").write_text(""), ["exit code 0 instead of 2", "new was written outside"]),
        (lambda: Path("new").write_text(""), ["exit code 0 instead of 2", "new was written"]),
        (lambda: Path("kept").rename("kept.damaged"), ["exit code 0 instead of 2"]),
    ],
)
def test_the_runner_sees_what_a_command_does(does, wrong, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "main", lambda arguments: does())
    assert tried(Row("x", make_nothing, ()), tmp_path)[1] == wrong


def test_a_command_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meeting, "LIMIT_SECONDS", 0.05)
    monkeypatch.setattr(cli, "main", lambda arguments: time.sleep(60))
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TookTooLong):
        meet([], tmp_path)
    assert signal.getsignal(signal.SIGALRM) == before and signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
