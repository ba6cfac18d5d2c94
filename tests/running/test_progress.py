import io
import re

import pytest
from rich.console import Console

from stampbench.running import progress
from tests.fixtures import factories


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def tell(observer: progress.Observer) -> None:
    job = factories.job(seed=3)
    observer.suite_started(3, 1, 7200.0)
    observer.artefact_started("reference [seed 0]")
    observer.job_started(job)
    observer.epoch(job.label, 1, 2, 1.25, 0.625)
    observer.epoch(job.label, 2, 2, 0.5, 0.75)
    observer.job_finished(factories.record(job, top1=0.7))
    observer.job_finished(factories.failed(factories.job(seed=4), "diverged loss"))
    observer.note("one [more] thing")


def test_lines_tell_every_epoch_and_every_job():
    stream = io.StringIO()
    with progress.progress_for(stream) as observer:
        tell(observer)
    lines = stream.getvalue().splitlines()
    assert isinstance(observer, progress.PlainProgress)
    assert lines[0] == "3 jobs, 1 done, 2 left, about 2.0 h"
    assert sum("epoch 1/2, loss 1.250, accuracy 62.5%" in line for line in lines) == 1
    assert sum("epoch 2/2, loss 0.500, accuracy 75.0%" in line for line in lines) == 1
    assert any(line.strip().startswith("done: top-1 70.0% in 30 s; 1 left") for line in lines)
    assert any("failed: diverged loss; 0 left" in line for line in lines)
    assert lines[-1] == "one [more] thing"


def test_the_steps_of_an_artefact_tell_the_time_left(monkeypatch):
    """A meta-training that a run resumed at step 600 of 3,000, at two steps a second, a line every 20 seconds."""
    clock, stream = [1000.0], io.StringIO()
    monkeypatch.setattr(progress.time, "monotonic", lambda: clock[0])
    observer = progress.PlainProgress(stream)
    pace = progress.Pace(lambda *steps: observer.steps("meta-trained", *steps))
    for step in range(600, 3001):
        pace(step, 3000)
        clock[0] += 0.5
    lines = stream.getvalue().splitlines()
    assert lines[0] == "  meta-trained: step 600 of 3,000"
    assert lines[1] == "  meta-trained: step 640 of 3,000, about 20 min left"
    assert lines[-1] == "  meta-trained: step 3,000 of 3,000, about 0 s left"
    assert len(lines) == 1 + 2400 / 40


def test_bars_show_the_steps_of_an_artefact():
    stream = Terminal()
    console = Console(file=stream, width=200, force_terminal=True, color_system=None)
    with progress.TerminalProgress(console) as observer:
        observer.artefact_started("meta-trained")
        observer.steps("meta-trained", 600, 3000, 1200.0)
    assert re.search(r"making meta-trained +\S+ +600/3000 .* about 20 min left", stream.getvalue())


def test_lines_are_flushed_as_they_come():
    class Stream(io.StringIO):
        flushed = 0

        def flush(self) -> None:
            self.flushed += 1

    stream = Stream()
    tell(progress.PlainProgress(stream))
    assert stream.flushed == len(stream.getvalue().splitlines())


def test_bars_show_jobs_epochs_accuracy_and_time_left():
    stream = Terminal()
    console = Console(file=stream, width=200, force_terminal=True, color_system=None)
    with progress.TerminalProgress(console) as observer:
        observer.suite_started(3, 1, 7200.0)
        observer.epoch("magnitude [x]", 1, 4, 1.25, 0.625)
    shown = stream.getvalue()
    assert "1/3" in shown and "2 left, about 2.0 h" in shown
    assert "magnitude [x]" in shown and "1/4" in shown and "accuracy 62.5%" in shown


def test_bars_survive_everything_an_observer_is_told():
    stream = Terminal()
    with progress.progress_for(stream) as observer:
        tell(observer)
    assert isinstance(observer, progress.TerminalProgress)
    assert "diverged loss" in stream.getvalue() and "one [more] thing" in stream.getvalue()


def test_silence_prints_nothing_where_lines_would(capsys):
    with progress.PlainProgress() as observer:
        tell(observer)
    assert capsys.readouterr().out
    with progress.SilentProgress() as observer:
        tell(observer)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("failing", ["suite_started", "job_started", "epoch", "job_finished", "note"])
def test_an_observer_that_fails_is_told_nothing_more_and_that_is_said_once(monkeypatch, caplog, failing):
    stream = io.StringIO()
    observer = progress.PlainProgress(stream)

    def fail(*arguments):
        stream.write("failing here\n")
        raise BrokenPipeError("nobody reads")

    monkeypatch.setattr(observer, failing, fail)
    tell(progress.Unfailing(observer))
    tell(progress.Unfailing(progress.SilentProgress()))
    assert stream.getvalue().splitlines()[-1] == "failing here" and stream.getvalue().count("failing") == 1
    assert [record.getMessage() for record in caplog.records] == [
        "the display failed (BrokenPipeError: nobody reads); the jobs go on without it"
    ]


def test_ctrl_c_in_an_observer_is_still_ctrl_c(monkeypatch):
    def interrupt(message):
        raise KeyboardInterrupt

    observer = progress.SilentProgress()
    monkeypatch.setattr(observer, "note", interrupt)
    with pytest.raises(KeyboardInterrupt):
        progress.Unfailing(observer).note("x")


def test_time_left_is_the_estimate_then_the_pace(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    left = progress.TimeLeft(jobs=10, done=4, estimate=60.0)
    now[0] += 15
    assert left.seconds == 45
    left.finished()
    now[0] += 5
    assert left.seconds == 20 * 5
    assert progress.TimeLeft(jobs=2).seconds is None


@pytest.mark.parametrize(("seconds", "words"), [(45, "45 s"), (720, "12 min"), (12_600, "3.5 h")])
def test_durations(seconds, words):
    assert progress.duration(seconds) == words


@pytest.mark.parametrize("width", [60, 80, 100])
def test_a_narrow_terminal_cuts_labels_and_never_the_bar_the_count_or_the_time(width):
    stream, job = Terminal(), factories.job(seed=3)
    console = Console(file=stream, width=width, force_terminal=True, color_system=None)
    with progress.TerminalProgress(console) as observer:
        observer.suite_started(120, 1, 7200.0)
        observer.artefact_started(f"pretrained {job.label}")
        observer.epoch(f"pretrained {job.label}", 3, 10, 1.25, 0.625)
    lines = stream.getvalue().splitlines()
    (shown,) = [line for line in lines[-2:] if "making" in line]
    assert len(shown.rstrip()) <= width
    # Three tenths of the bar of twelve characters are filled, up to half a character.
    assert re.search(r" ━━━╸ {8} +3/10 +0:00:0\d ", shown)
    assert "making pretr" in shown and "accuracy 62" in shown
    assert any(re.search(r" 1/120 +0:00:0\d 119 left", line) for line in lines)
