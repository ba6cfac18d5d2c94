"""The handling of Ctrl-C while jobs run elsewhere: the first lets running jobs end, the second does not."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Drain:
    """The state of a drain; `asked` becomes True when the user asks that no new job starts."""

    asked: bool = False


@contextmanager
def draining(note: Callable[[str], None]) -> Iterator[Drain]:
    """Treat the first Ctrl-C as a request to drain and announce it by `note`; the second interrupts as usual."""
    drain = Drain()

    def ask(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        drain.asked = True
        note("no new job starts; the running ones will end. Press Ctrl-C again to give them up")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield drain
    finally:
        signal.signal(signal.SIGINT, before)
