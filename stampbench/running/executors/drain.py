"""Ctrl-C while jobs run elsewhere: the first lets those in flight end, the second does not."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Drain:
    """Whether the user asked that no new job starts."""

    asked: bool = False


@contextmanager
def draining(note: Callable[[str], None]) -> Iterator[Drain]:
    """Take the first Ctrl-C as the request to drain, and tell the user by `note`; the second is Ctrl-C again."""
    drain = Drain()

    def ask(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)
        drain.asked = True
        note("no new job starts; those in flight end. Ctrl-C again gives them up")

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield drain
    finally:
        signal.signal(signal.SIGINT, before)
