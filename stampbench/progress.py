"""What a running suite tells: bars with the time left on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from stampbench.job import Job
from stampbench.record import Record


class Observer(Protocol):
    """What the runner tells while it works. Losses are means over an epoch, accuracies shares in [0, 1]."""

    def suite_started(self, jobs: int, done: int, seconds_left: float | None) -> None:
        """`done` of `jobs` have records; `seconds_left` is the estimate for the rest, None if unknown."""
        ...

    def job_started(self, job: Job) -> None:
        """A job begins."""
        ...

    def artefact_started(self, label: str) -> None:
        """Something that jobs rest on, such as a pretrained network, is being made."""
        ...

    def artefact_finished(self, label: str) -> None:
        """It is made."""
        ...

    def epoch(self, label: str, epoch: int, epochs: int, loss: float, accuracy: float) -> None:
        """Epoch `epoch` of `epochs` (from 1) is over; `accuracy` is on validation."""
        ...

    def job_finished(self, record: Record) -> None:
        """A job ended, well or not, and its record is stored."""
        ...

    def note(self, message: str) -> None:
        """Anything else worth a line."""
        ...


class SilentProgress(AbstractContextManager["SilentProgress"]):
    """Tells nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

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

    def job_finished(self, record: Record) -> None:
        """See `Observer`."""

    def note(self, message: str) -> None:
        """See `Observer`."""


class PlainProgress(SilentProgress):
    """One line an epoch and one a job, flushed, for logs."""

    def __init__(self, stream: TextIO | None = None) -> None:
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

    def job_finished(self, record: Record) -> None:
        """See `Observer`."""
        self._left.finished()
        self.note(f"  {outcome(record)}; {self._left}")

    def note(self, message: str) -> None:
        """See `Observer`."""
        print(message, file=self._stream or sys.stdout, flush=True)


class TerminalProgress(SilentProgress):
    """Bars: all jobs with the time left, and for each that runs its epochs with its accuracy."""

    def __init__(self, console: Console | None = None) -> None:
        self._left = TimeLeft()
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[detail]}"),
            console=console or Console(),
            refresh_per_second=2,
        )
        self._jobs = self._bars.add_task("jobs", total=None, detail="")
        self._running: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
        self._begin(label)

    def artefact_finished(self, label: str) -> None:
        """See `Observer`."""
        self._end(label)

    def epoch(self, label: str, epoch: int, epochs: int, loss: float, accuracy: float) -> None:
        """See `Observer`."""
        detail = f"loss {loss:.3f}, accuracy {accuracy:.1%}"
        self._begin(label)
        self._bars.update(self._running[label], total=epochs, completed=epoch, detail=detail)
        self._bars.update(self._jobs, detail=str(self._left))

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


class TimeLeft:
    """Jobs done and to do, and the seconds left: the estimate given, then the pace seen since."""

    def __init__(self, jobs: int = 0, done: int = 0, estimate: float | None = None) -> None:
        self.jobs, self.done = jobs, done
        self._first, self._estimate, self._began = done, estimate, time.monotonic()

    def finished(self) -> None:
        """One more job is over."""
        self.done += 1

    @property
    def seconds(self) -> float | None:
        """Seconds left: by the estimate until a first job is over, then by the pace; None if unknown."""
        here, left = self.done - self._first, self.jobs - self.done
        spent = time.monotonic() - self._began
        if here == 0:
            return None if self._estimate is None else max(0.0, self._estimate - spent)
        return spent / here * left

    def __str__(self) -> str:
        seconds = self.seconds
        return f"{self.jobs - self.done} left" + ("" if seconds is None else f", about {duration(seconds)}")


def progress_for(stream: TextIO) -> PlainProgress | TerminalProgress:
    """Bars where the stream is a terminal, else lines."""
    return TerminalProgress(Console(file=stream)) if stream.isatty() else PlainProgress(stream)


def epoch_line(epoch: int, epochs: int, loss: float, accuracy: float) -> str:
    """An epoch in words."""
    return f"epoch {epoch}/{epochs}, loss {loss:.3f}, accuracy {accuracy:.1%}"


def outcome(record: Record) -> str:
    """A record in words: its status, and its accuracy and seconds or the reason why there are none."""
    if record.accuracy is None or record.seconds is None:
        return f"{record.status}: {record.reason}"
    return f"{record.status}: top-1 {record.accuracy.top1:.1%} in {duration(record.seconds.total)}"


def duration(seconds: float) -> str:
    """Seconds for people: "45 s", "12 min", "3.5 h"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
