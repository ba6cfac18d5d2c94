"""Statistics over seeds: summaries, paired comparisons, and the correction for multiple comparisons."""

from __future__ import annotations

import math
import statistics
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

CONFIDENCE = 0.95
LEAST_FOR_INTERVAL, LEAST_FOR_SIGN_FLIP, MOST_FOR_SIGN_FLIP = 3, 6, 16


@dataclass(frozen=True)
class Summary:
    """The number, mean and sample standard deviation (n − 1) of some values; None where there are too few."""

    n: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True)
class Comparison:
    """The paired differences over `n` common seeds: their mean, its confidence interval and its p values.

    `half_width` is that of Student's 95 % interval and `p` its two-sided p value, both for n ≥ 3; `sign_flip_p` is the
    exact two-sided p value over all 2ⁿ signs, for 6 ≤ n ≤ 16. Each is None for other n.
    """

    n: int
    mean: float | None
    half_width: float | None
    p: float | None
    sign_flip_p: float | None


def summarise(values: Iterable[float]) -> Summary:
    """Return the summary of finite values in any order: no mean of no value, no deviation of fewer than two."""
    known = list(values)
    return Summary(
        n=len(known),
        mean=statistics.fmean(known) if known else None,
        sd=statistics.stdev(known) if len(known) > 1 else None,
    )


def compare(first: Mapping[int, float], second: Mapping[int, float]) -> Comparison:
    """Compare first minus second, seed by seed, over the seeds that both have."""
    differences = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
    n = len(differences)
    if n < LEAST_FOR_INTERVAL:
        return Comparison(n, statistics.fmean(differences) if n else None, None, None, None)
    half_width, p = student(differences)
    size = max(abs(values[seed]) for values in (first, second) for seed in first.keys() & second.keys())
    exact = sign_flip(differences, size) if LEAST_FOR_SIGN_FLIP <= n <= MOST_FOR_SIGN_FLIP else None
    return Comparison(n, statistics.fmean(differences), half_width, p, exact)


def interval_of_mean(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Return the mean of the values, and the half width of its Student interval."""
    n = len(values)
    return statistics.fmean(values), _quantile(0.5 + confidence / 2, n - 1) * statistics.stdev(values) / n**0.5


def pooled_variance(cells: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Return the pooled variance within cells and its degrees of freedom; (0, 0) where no cell has two values."""
    freedom = sum(len(cell) - 1 for cell in cells)
    squares = sum((len(cell) - 1) * statistics.variance(cell) for cell in cells if len(cell) > 1)
    return (squares / freedom, freedom) if freedom else (0.0, 0)


def loss_beyond(
    margin: float, before: Sequence[Sequence[float]], now: Sequence[Sequence[float]], variance: float, freedom: int
) -> tuple[float, float]:
    """Return the mean change over cells, and the one-sided p of a loss of at most `margin` (Student's test).

    `variance` is that of one value within a cell, pooled with `freedom` degrees of freedom. Where it is 0, p is 1 for
    a loss of at most `margin`, else 0.
    """
    pairs = list(zip(before, now, strict=True))
    change = statistics.fmean(statistics.fmean(new) - statistics.fmean(old) for old, new in pairs)
    error = (variance * sum(1 / len(old) + 1 / len(new) for old, new in pairs)) ** 0.5 / len(pairs)
    if error == 0:
        return change, 1.0 if change >= -margin else 0.0
    return change, _probability_below((change + margin) / error, freedom)


def student(differences: Sequence[float]) -> tuple[float, float]:
    """Return the half width of the mean's 95 % interval, and the two-sided p of a mean of zero (Student 1908)."""
    n, mean, sd = len(differences), statistics.fmean(differences), statistics.stdev(differences)
    error = sd / n**0.5
    half_width = _quantile(0.5 + CONFIDENCE / 2, n - 1) * error
    if error == 0:
        return 0.0, 1.0 if mean == 0 else 0.0
    return half_width, 2 * _probability_below(-abs(mean) / error, n - 1)


def sign_flip(differences: Sequence[float], size: float = 0.0) -> float:
    """Return the two-sided p of the mean under all 2ⁿ sign flips (Fisher 1935), the observed one among them.

    `size` is that of the largest value that was subtracted. Sums that are equal but for the rounding of such values are
    ties, and count as being as far from zero as the observed one.
    """
    # A value is off by two roundings (of its share, and as a percentage), a difference by four, either sum by 4 n.
    largest = max(size, *map(abs, differences))
    rounding = 8 * len(differences) * sys.float_info.epsilon * largest
    observed = abs(math.fsum(differences))
    sums = (
        abs(math.fsum(s * d for s, d in zip(signs, differences, strict=True))) for signs in _signs(len(differences))
    )
    return sum(total >= observed - rounding for total in sums) / float(2 ** len(differences))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Return the p values as adjusted by Holm (1979), in the given order; None stays None and is not counted."""
    known = sorted((value, index) for index, value in enumerate(values) if value is not None)
    adjusted: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (value, index) in enumerate(known):
        largest = max(largest, min(1.0, (len(known) - rank) * value))
        adjusted[index] = largest
    return adjusted


def _signs(n: int) -> Iterable[tuple[int, ...]]:
    return product((1, -1), repeat=n)


def _quantile(share: float, freedom: int) -> float:
    """Return a quantile of Student's distribution, from scipy.special because scipy.stats takes long to import."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))


def _probability_below(value: float, freedom: int) -> float:
    """Return the probability of a value below this one under Student's distribution."""
    from scipy.special import stdtr

    return float(stdtr(freedom, value))
