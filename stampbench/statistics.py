"""Statistics over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Summary:
    """Number, mean and sample standard deviation (n − 1) of some values; None where there are too few."""

    n: int
    mean: float | None
    sd: float | None


def summarise(values: Iterable[float]) -> Summary:
    """Summary of finite values, in any order: no mean without values, no deviation below two."""
    known = list(values)
    return Summary(
        n=len(known),
        mean=statistics.fmean(known) if known else None,
        sd=statistics.stdev(known) if len(known) > 1 else None,
    )
