"""The standard streams as users have them: closed, full, in a narrow encoding, or piped to a reader that has gone."""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TextIO, cast

READER_GONE, NOT_WRITTEN = 128 + 13, 2


class Outlet:
    """A text stream that never fails: once it cannot be written, it says so, and then it swallows what comes.

    `error` is the first error of writing. `is_primary` says whether the command exists for what it prints.
    """

    def __init__(self, stream: TextIO, name: str) -> None:
        """Print to that stream; what its encoding lacks is printed as an escape, such as \\xd7."""
        self._stream, self._name = stream, name
        self.error: OSError | None = None
        self.is_primary = name == "output"
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text: str) -> int:
        """Print the text, and return its length."""
        if self.error is None:
            try:
                self._stream.write(text)
            except OSError as error:
                self._lose(error)
        return len(text)

    def flush(self) -> None:
        """Print what is buffered."""
        if self.error is None:
            try:
                self._stream.flush()
            except OSError as error:
                self._lose(error)

    def __getattr__(self, name: str) -> Any:
        """Return what else the stream has."""
        return getattr(self._stream, name)

    @property
    def code(self) -> int:
        """The exit code of a command that did its work but could not print it; 0 if nothing was lost."""
        if self.error is None or not self.is_primary:
            return 0
        return READER_GONE if self.error.errno == errno.EPIPE else NOT_WRITTEN

    def _lose(self, error: OSError) -> None:
        self.error = error
        # What is still buffered would fail once more when the interpreter ends.
        with suppress(OSError, ValueError):
            sink = os.open(os.devnull, os.O_WRONLY)
            os.dup2(sink, self._stream.fileno())
            os.close(sink)
        if self._name == "output" and error.errno != errno.EPIPE:
            print(
                f"the standard output cannot be written ({error.strerror}); the command goes on without it",
                file=sys.stderr,
            )


@contextmanager
def outlets() -> Iterator[None]:
    """Put an `Outlet` before both standard streams. A command that succeeds exits with its code, if it has one."""
    _open_what_is_closed()
    before = sys.stdout, sys.stderr
    output, errors = Outlet(sys.stdout, "output"), Outlet(sys.stderr, "errors")
    sys.stdout, sys.stderr = cast(TextIO, output), cast(TextIO, errors)
    try:
        yield
    except SystemExit as end:
        output.flush()
        if end.code in (None, 0) and output.code:
            raise SystemExit(output.code) from None
        raise
    finally:
        output.flush()
        errors.flush()
        sys.stdout, sys.stderr = before


def printing_is_secondary() -> None:
    """Say that the command exists for something else than what it prints: losing that must not change its exit code."""
    if isinstance(sys.stdout, Outlet):
        sys.stdout.is_primary = False


def _open_what_is_closed() -> None:
    """Give streams that were closed before the start to the null device, lest a file gets their number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            # It stays open for as long as the process lives.
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
