"""A run that is told to stop says how it is resumed."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def stoppable() -> Iterator[None]:
    """Exit with 130 on Ctrl-C, 143 on SIGTERM and 129 on a hang-up, and say that the same command resumes."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    for number, handler in before.items():
        # A run under nohup ignores hang-ups.
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    except KeyboardInterrupt:
        print("\nstopped; resume with the same command", file=sys.stderr)
        raise SystemExit(130) from None
    except SystemExit:
        print("stopped; resume with the same command", file=sys.stderr)
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
