"""Statistics over seeds: summaries, paired comparisons, corrections for many of them."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

CONFIDENCE = 0.95
LEAST_FOR_INTERVAL, LEAST_FOR_SIGN_FLIP, MOST_FOR_SIGN_FLIP = 3, 6, 16


@dataclass(frozen=True)
class Summary:
    """Number, mean and sample standard deviation (n − 1) of some values; None where there are too few."""

    n: int
    mean: float | None
    sd: float | None


@dataclass(frozen=True)
class Comparison:
    """Paired differences over `n` common seeds: their mean and, where there are enough, what chance would make of it.

    `half_width` is that of Student's 95 % interval and `p` its two-sided p (n ≥ 3); `sign_flip_p` is exact over all
    2ⁿ signs (6 ≤ n ≤ 16). None where there are too few seeds.
    """

    n: int
    mean: float | None
    half_width: float | None
    p: float | None
    sign_flip_p: float | None


def summarise(values: Iterable[float]) -> Summary:
    """Summary of finite values, in any order: no mean without values, no deviation below two."""
    known = list(values)
    return Summary(
        n=len(known),
        mean=statistics.fmean(known) if known else None,
        sd=statistics.stdev(known) if len(known) > 1 else None,
    )


def compare(first: Mapping[int, float], second: Mapping[int, float]) -> Comparison:
    """First minus second, seed by seed, over the seeds that both have."""
    differences = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
    n = len(differences)
    if n < LEAST_FOR_INTERVAL:
        return Comparison(n, statistics.fmean(differences) if n else None, None, None, None)
    half_width, p = student(differences)
    exact = sign_flip(differences) if LEAST_FOR_SIGN_FLIP <= n <= MOST_FOR_SIGN_FLIP else None
    return Comparison(n, statistics.fmean(differences), half_width, p, exact)


def interval_of_mean(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """Mean, and half width of Student's interval."""
    n = len(values)
    return statistics.fmean(values), _quantile(0.5 + confidence / 2, n - 1) * statistics.stdev(values) / n**0.5


def pooled_variance(cells: Sequence[Sequence[float]]) -> tuple[float, int]:
    """Variance within cells, pooled, and its degrees of freedom; (0, 0) where no cell has two values."""
    freedom = sum(len(cell) - 1 for cell in cells)
    squares = sum((len(cell) - 1) * statistics.variance(cell) for cell in cells if len(cell) > 1)
    return (squares / freedom, freedom) if freedom else (0.0, 0)


def loss_beyond(
    margin: float, before: Sequence[Sequence[float]], now: Sequence[Sequence[float]], variance: float, freedom: int
) -> tuple[float, float]:
    """Mean change over cells, and the one-sided p of a loss of no more than `margin` (Student's test).

    `variance` is that of one value within a cell, pooled, with so many degrees of freedom; where it is 0, nothing is
    left to chance.
    """
    pairs = list(zip(before, now, strict=True))
    change = statistics.fmean(statistics.fmean(new) - statistics.fmean(old) for old, new in pairs)
    error = (variance * sum(1 / len(old) + 1 / len(new) for old, new in pairs)) ** 0.5 / len(pairs)
    if error == 0:
        return change, 1.0 if change >= -margin else 0.0
    return change, _below((change + margin) / error, freedom)


def student(differences: Sequence[float]) -> tuple[float, float]:
    """Half width of the 95 % interval of the mean, and the two-sided p of a mean of zero (Student 1908)."""
    n, mean, sd = len(differences), statistics.fmean(differences), statistics.stdev(differences)
    error = sd / n**0.5
    half_width = _quantile(0.5 + CONFIDENCE / 2, n - 1) * error
    if error == 0:
        return 0.0, 1.0 if mean == 0 else 0.0
    return half_width, 2 * _below(-abs(mean) / error, n - 1)


def sign_flip(differences: Sequence[float]) -> float:
    """Two-sided p of the mean under all 2ⁿ sign flips (Fisher 1935), the observed one among them."""
    observed = abs(sum(differences))
    sums = (abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in _signs(len(differences)))
    # Sums of the same numbers in another order may differ in the last bit.
    as_far = sum(total >= observed * (1 - 1e-12) for total in sums)
    return as_far / float(2 ** len(differences))


def holm(values: Sequence[float | None]) -> list[float | None]:
    """Adjusted p values (Holm 1979), in the given order; None stays None and counts for nothing."""
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
    """Of Student's distribution; from scipy.special, as scipy.stats takes long to import."""
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))


def _below(value: float, freedom: int) -> float:
    """The share of Student's distribution below a value."""
    from scipy.special import stdtr

    return float(stdtr(freedom, value))
