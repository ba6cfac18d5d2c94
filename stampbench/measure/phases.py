"""The clock: every second of a job belongs to a named phase or to "outside"."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def synchronize(device: torch.device) -> None:
    """Wait until the device has finished its queued work; a CPU has none."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class PhaseClock:
    """A clock of the wall-clock seconds of named phases, which synchronises the device at every reading.

    An inner phase pauses the outer one, so that the phases add up.
    """

    def __init__(self, device: torch.device) -> None:
        """Start the clock, outside all phases."""
        self._device = device
        self._seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._started = self._last = time.perf_counter()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charge the seconds spent inside, without those of inner phases, to `name`."""
        self._charge()
        self._open.append(name)
        try:
            yield
        finally:
            self._charge()
            self._open.pop()

    @property
    def seconds(self) -> dict[str, float]:
        """The seconds charged to each phase so far, in the order in which the phases began."""
        return dict(self._seconds)

    def outside(self) -> float:
        """Return the seconds since the clock was made that belong to no phase."""
        return time.perf_counter() - self._started - sum(self._seconds.values())

    def _charge(self) -> None:
        synchronize(self._device)
        now = time.perf_counter()
        if self._open:
            self._seconds[self._open[-1]] += now - self._last
        self._last = now
