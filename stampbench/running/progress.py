"""The display of a running suite: bars with the time left on a terminal, plain lines in a log."""

from __future__ import annotations

import logging
import sys
import time
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Column

from stampbench.job import Job
from stampbench.record import Record

# Characters of a bar.
BAR = 12
# Seconds between two lines about the steps of one artefact.
SHOWN_EVERY = 20.0
_LOG = logging.getLogger("stampbench")


class Observer(Protocol):
    """A receiver of the runner's reports. Losses are means over an epoch, accuracies are shares in [0, 1]."""

    def suite_started(self, jobs: int, done: int, seconds_left: float | None) -> None:
        """Report that `done` of `jobs` have records and the rest takes about `seconds_left`, None if unknown."""
        ...

    def job_started(self, job: Job) -> None:
        """Report that a job begins."""
        ...

    def artefact_started(self, label: str) -> None:
        """Report that an artefact, such as a pretrained network, is being made."""
        ...

    def artefact_finished(self, label: str) -> None:
        """Report that the artefact of that label is made."""
        ...

    def epoch(self, label: str, epoch: int, epochs: int, loss: float, accuracy: float) -> None:
        """Report that epoch `epoch` of `epochs`, counted from 1, is over; `accuracy` is on validation."""
        ...

    def steps(self, label: str, done: int, total: int, seconds_left: float | None) -> None:
        """Report that the making of an artefact has done so many of its steps, and takes about so long yet."""
        ...

    def job_finished(self, record: Record) -> None:
        """Report that a job has ended, with a result or without, and its record is stored."""
        ...

    def note(self, message: str) -> None:
        """Report anything else that is worth a line."""
        ...


class SilentProgress(AbstractContextManager["SilentProgress"]):
    """An observer that shows nothing."""

    def __enter__(self) -> Self:
        """Return this observer."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let an exception pass."""

    def suite_started(self, jobs: int, done: int, seconds_left: float | None) -> None:
        """See `Observer`."""

    def job_started(self, job: Job) -> None:
        """See `Observer`."""

    def artefact_started(self, label: str) -> None:
        """See `Observer`."""

    def artefact_finished(self, label: str) -> None:
        """See `Observer`."""

    def epoch(self, label: str, epoch: int, epochs: int, loss: float, accuracy: float) -> None:
        """See `Observer`."""

    def steps(self, label: str, done: int, total: int, seconds_left: float | None) -> None:
        """See `Observer`."""

    def job_finished(self, record: Record) -> None:
        """See `Observer`."""

    def note(self, message: str) -> None:
        """See `Observer`."""


class Forwarding:
    """An observer that passes on what it is told, as a name and arguments."""

    @abstractmethod
    def send(self, name: str, *arguments: object) -> None:
        """Pass on that the observer's function of that name was called with these arguments."""

    def suite_started(self, jobs: int, done: int, seconds_left: float | None) -> None:
        """See `Observer`."""
        self.send("suite_started", jobs, done, seconds_left)

    def job_started(self, job: Job) -> None:
        """See `Observer`."""
        self.send("job_started", job)

    def artefact_started(self, label: str) -> None:
        """See `Observer`."""
        self.send("artefact_started", label)

    def artefact_finished(self, label: str) -> None:
        """See `Observer`."""
        self.send("artefact_finished", label)

    def epoch(self, label: str, epoch: int, epochs: int, loss: float, accuracy: float) -> None:
        """See `Observer`."""
        self.send("epoch", label, epoch, epochs, loss, accuracy)

    def steps(self, label: str, done: int, total: int, seconds_left: float | None) -> None:
        """See `Observer`."""
        self.send("steps", label, done, total, seconds_left)

    def job_finished(self, record: Record) -> None:
        """See `Observer`."""
        self.send("job_finished", record)

    def note(self, message: str) -> None:
        """See `Observer`."""
        self.send("note", message)


class Unfailing(Forwarding):
    """An observer that tells another one everything, until that one fails: no job may fail because of its display."""

    def __init__(self, observer: Observer) -> None:
        """Tell `observer`."""
        self._observer: Observer = observer

    def send(self, name: str, *arguments: object) -> None:
        """Tell the observer; if it fails, log that once, and tell it nothing more."""
        try:
            getattr(self._observer, name)(*arguments)
        except Exception as error:  # whatever a display raises: the jobs go on
            self._observer = SilentProgress()
            _LOG.warning("the display failed (%s: %s); the jobs go on without it", type(error).__name__, error)


class PlainProgress(SilentProgress):
    """An observer for logs: it prints one line per epoch and per job, each flushed at once."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Print to `stream`; None means the standard output at the time of printing."""
        self._stream = stream
        self._left = TimeLeft()

    def suite_started(self, jobs: int, done: int, seconds_left: float | None) -> None:
        """See `Observer`."""
        self._left = TimeLeft(jobs, done, seconds_left)
        self.note(f"{jobs} jobs, {done} done, {self._left}")

    def job_started(self, job: Job) -> None:
        """See `Observer`."""
        self.note(f"job {self._left.done + 1}/{self._left.jobs}: {job.label}")

    def artefact_started(self, label: str) -> None:
        """See `Observer`."""
        self.note(f"making {label}")

    def epoch(self, label: str, epoch: int, epochs: int, loss: float, accuracy: float) -> None:
        """See `Observer`."""
        self.note(f"  {label}: {epoch_line(epoch, epochs, loss, accuracy)}")

    def steps(self, label: str, done: int, total: int, seconds_left: float | None) -> None:
        """See `Observer`."""
        left = "" if seconds_left is None else f", about {duration(seconds_left)} left"
        self.note(f"  {label}: step {done:,} of {total:,}{left}")

    def job_finished(self, record: Record) -> None:
        """See `Observer`."""
        self._left.finished()
        self.note(f"  {outcome(record)}; {self._left}")

    def note(self, message: str) -> None:
        """See `Observer`."""
        print(message, file=self._stream or sys.stdout, flush=True)


class TerminalProgress(SilentProgress):
    """An observer for terminals: one bar for all jobs with the time left, and one for each running job's epochs."""

    def __init__(self, console: Console | None = None) -> None:
        """Show the bars on `console`; None means the standard output."""
        self._left = TimeLeft()
        # Long labels and details are cut, so that bar, count and time stay whole on a narrow terminal.
        label, detail = (Column(no_wrap=True, overflow="ellipsis", ratio=ratio) for ratio in (3, 2))
        self._bars = Progress(
            TextColumn("{task.description}", table_column=label),
            BarColumn(bar_width=BAR, table_column=Column(min_width=BAR)),
            MofNCompleteColumn(table_column=Column(no_wrap=True)),
            TimeElapsedColumn(table_column=Column(no_wrap=True, min_width=7)),
            TextColumn("{task.fields[detail]}", table_column=detail),
            console=console or Console(),
            refresh_per_second=2,
            expand=True,
        )
        self._jobs = self._bars.add_task("jobs", total=None, detail="")
        self._running: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        """Show the bars."""
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop the bars, and let an exception pass."""
        self._bars.stop()

    def suite_started(self, jobs: int, done: int, seconds_left: float | None) -> None:
        """See `Observer`."""
        self._left = TimeLeft(jobs, done, seconds_left)
        self._bars.update(self._jobs, total=jobs, completed=done, detail=str(self._left))

    def job_started(self, job: Job) -> None:
        """See `Observer`."""
        self._begin(job.label)

    def artefact_started(self, label: str) -> None:
        """See `Observer`."""
        self._begin(f"making {label}")

    def artefact_finished(self, label: str) -> None:
        """See `Observer`."""
        self._end(f"making {label}")

    def epoch(self, label: str, epoch: int, epochs: int, loss: float, accuracy: float) -> None:
        """See `Observer`."""
        detail = f"accuracy {accuracy:.1%}, loss {loss:.2f}"
        label = making if (making := f"making {label}") in self._running else label
        self._begin(label)
        self._bars.update(self._running[label], total=epochs, completed=epoch, detail=detail)
        self._bars.update(self._jobs, detail=str(self._left))

    def steps(self, label: str, done: int, total: int, seconds_left: float | None) -> None:
        """See `Observer`."""
        detail = "" if seconds_left is None else f"about {duration(seconds_left)} left"
        self.artefact_started(label)
        self._bars.update(self._running[f"making {label}"], total=total, completed=done, detail=detail)

    def job_finished(self, record: Record) -> None:
        """See `Observer`."""
        self._end(record.job.label)
        self._left.finished()
        self._bars.update(self._jobs, completed=self._left.done, detail=str(self._left))
        self.note(f"{record.job.label}: {outcome(record)}")

    def note(self, message: str) -> None:
        """See `Observer`."""
        self._bars.console.print(message, markup=False, highlight=False)

    def _begin(self, label: str) -> None:
        if label not in self._running:
            self._running[label] = self._bars.add_task(escape(label), total=None, detail="")

    def _end(self, label: str) -> None:
        if label in self._running:
            self._bars.remove_task(self._running.pop(label))


class Pace:
    """The pace of something made in steps, shown every so often."""

    def __init__(self, show: Callable[[int, int, float | None], None]) -> None:
        """Call `show` with the steps done, those in all, and the seconds left, None before there is a pace."""
        self._show, self._shown = show, 0.0
        self._left: TimeLeft | None = None

    def __call__(self, done: int, total: int) -> None:
        """Show the step, unless one was shown less than `SHOWN_EVERY` seconds ago."""
        now = time.monotonic()
        if self._left is None:
            # A resumed preparation does not begin at its first step.
            self._left = TimeLeft(total, done)
        elif now - self._shown < SHOWN_EVERY:
            return
        self._shown, self._left.done = now, done
        self._show(done, total, self._left.seconds)


class TimeLeft:
    """The numbers of jobs done and in all, and the time left."""

    def __init__(self, jobs: int = 0, done: int = 0, estimate: float | None = None) -> None:
        """Start the clock with `done` of `jobs` finished; `estimate` is the time of the rest in seconds."""
        self.jobs, self.done = jobs, done
        self._first, self._estimate, self._began = done, estimate, time.monotonic()

    def finished(self) -> None:
        """Count one more job as finished."""
        self.done += 1

    @property
    def seconds(self) -> float | None:
        """The seconds left: by the estimate until a first job is over, then by the pace since; None if unknown."""
        here, left = self.done - self._first, self.jobs - self.done
        spent = time.monotonic() - self._began
        if here == 0:
            return None if self._estimate is None else max(0.0, self._estimate - spent)
        return spent / here * left

    def __str__(self) -> str:
        """Describe what is left: "3 left, about 12 min"."""
        seconds = self.seconds
        return f"{self.jobs - self.done} left" + ("" if seconds is None else f", about {duration(seconds)}")


def progress_for(stream: TextIO, quiet: bool = False) -> SilentProgress:
    """Return bars if the stream is a terminal, else plain lines; nothing if `quiet`."""
    if quiet:
        return SilentProgress()
    return TerminalProgress(Console(file=stream)) if stream.isatty() else PlainProgress(stream)


def epoch_line(epoch: int, epochs: int, loss: float, accuracy: float) -> str:
    """Describe an epoch in words."""
    return f"epoch {epoch}/{epochs}, loss {loss:.3f}, accuracy {accuracy:.1%}"


def outcome(record: Record) -> str:
    """Describe a record in words: its status, and its accuracy and seconds or the reason why it has none."""
    if record.accuracy is None or record.seconds is None:
        return f"{record.status}: {record.reason}"
    return f"{record.status}: top-1 {record.accuracy.top1:.1%} in {duration(record.seconds.total)}"


def duration(seconds: float) -> str:
    """Format seconds for people: "45 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
