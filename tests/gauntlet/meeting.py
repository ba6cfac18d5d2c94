"""A command meets a bad input: in this process, in a folder of its own, and not for ever."""

from __future__ import annotations

import contextlib
import faulthandler
import io
import logging
import os
import re
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import pytest

from stampbench import cli
from stampbench.measure import hardware

LIMIT_SECONDS, LAST_RESORT_SECONDS = 60, 180
# Typer draws a frame around its messages, and colours them where CI says that it can show colours.
DRAWN = re.compile(r"\x1b\[[0-9;]*m|[│╭╮╰╯─]")


class TookTooLong(BaseException):
    """No `except Exception` on the way may take it for an error of the input."""


class Outcome(NamedTuple):
    """The exit code, and all that was said."""

    code: int
    text: str

    def says(self, words: str) -> bool:
        """Whether the words were said, wherever lines were broken."""
        return " ".join(words.split()) in self.line

    @property
    def line(self) -> str:
        """All that was said, without frames and in one line."""
        return " ".join(DRAWN.sub(" ", self.text).split())


def meet(arguments: Sequence[str], folder: Path) -> Outcome:
    """Run the command in `folder`, with its cache and data there too; any exception but an exit is raised."""
    with pytest.MonkeyPatch.context() as patch, heard() as said, limited():
        patch.chdir(folder)
        patch.setenv("STAMPBENCH_CACHE", str(folder / "cache"))
        patch.setenv("STAMPBENCH_DATA", str(folder / "data"))
        patch.delenv("STAMPBENCH_RESULTS", raising=False)
        patch.setenv("COLUMNS", "160")
        patch.setattr(hardware, "cuda_device_count", lambda: 0)
        try:
            cli.main([str(argument) for argument in arguments])
            code = 0
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else int(stopped.code is not None)
    return Outcome(code, said.getvalue().decode())


@contextlib.contextmanager
def heard() -> Iterator[io.BytesIO]:
    """Collect what is written to stdout, stderr and the log, encoded as a terminal of UTF-8 would."""
    said, log = io.BytesIO(), logging.getLogger("stampbench")
    out = io.TextIOWrapper(said, "utf-8", errors="strict", write_through=True)
    err = io.TextIOWrapper(said, "utf-8", errors="backslashreplace", write_through=True)
    handler = logging.StreamHandler(err)
    log.addHandler(handler)
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            yield said
    finally:
        log.removeHandler(handler)
        for stream in (out, err):
            stream.detach()


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raise `TookTooLong` after a minute, which no busy machine takes; where C code is deaf to it, exit."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise TookTooLong(f"the command still ran after {LIMIT_SECONDS} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LIMIT_SECONDS)
    with os.fdopen(os.dup(2), "w") as terminal:
        faulthandler.dump_traceback_later(LAST_RESORT_SECONDS, exit=True, file=terminal)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def files(folder: Path) -> dict[str, tuple[int, ...]]:
    """What tells whether a file was touched, by its name under the folder: kind, size and time. Reads no file."""
    found = {}
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = Path(parent, name)
            state = path.lstat()
            if name in names or path.is_symlink():
                found[str(path.relative_to(folder))] = (state.st_mode, state.st_size, state.st_mtime_ns)
    return found
