from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from stampbench.statistics import Comparison, Summary, compare, holm, sign_flip, summarise
from tests.fixtures.examples import examples

VALUES = st.lists(st.floats(-1e6, 1e6, allow_subnormal=False), min_size=2, max_size=20)


@given(VALUES)
def test_summary_agrees_with_numpy(values: list[float]) -> None:
    summary = summarise(values)
    assert summary.n == len(values)
    assert summary.mean == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
    assert summary.sd == pytest.approx(np.std(values, ddof=1), rel=1e-9, abs=1e-6)


@given(VALUES, st.randoms())
def test_summary_does_not_depend_on_the_order(values: list[float], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert summarise(shuffled) == summarise(values)


def test_too_few_values_have_no_deviation() -> None:
    assert summarise([]) == Summary(0, None, None)
    assert summarise([0.5]) == Summary(1, 0.5, None)
    assert summarise([1.0, 3.0]) == Summary(2, 2.0, pytest.approx(2**0.5))


# How far two accuracies are apart, in hundredths: the smaller, the more ties.
SIZES = st.sampled_from([1, 3, 300])
SEEDS = st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=3, max_size=9)


@given(SEEDS)
@examples(50)
def test_paired_intervals_and_p_are_scipys(pairs: list[tuple[float, float]]) -> None:
    first, second = (np.array(values) for values in zip(*pairs, strict=True))
    if np.std(first - second) < 1e-6:  # scipy's own rounding is seen in smaller ones
        return
    found = compare(dict(enumerate(first)), dict(enumerate(second)))
    expected = stats.ttest_rel(first, second)
    low, high = expected.confidence_interval(0.95)
    assert found.n == len(pairs)
    assert found.mean == pytest.approx((low + high) / 2, abs=1e-9)
    assert found.half_width == pytest.approx((high - low) / 2, rel=1e-6)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6, abs=1e-12)
    assert (found.sign_flip_p is None) == (len(pairs) < 6)


@given(st.lists(st.integers(-10_000, 10_000), min_size=2, max_size=7))
@examples(30)
def test_sign_flips_are_scipys_exact_permutation_test(hundredths: list[int]) -> None:
    """On whole numbers, of which every sum is exact: scipy has a tolerance of its own for ties."""
    differences = [float(value) for value in hundredths]
    expected = stats.permutation_test((np.array(differences),), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip(differences) == pytest.approx(expected.pvalue, abs=1e-9)


@given(SIZES.flatmap(lambda size: st.lists(st.integers(-size, size), min_size=6, max_size=8)), st.integers(0, 100))
@examples(30)
def test_ties_are_those_of_exact_arithmetic(hundredths: list[int], base: int) -> None:
    """Differences of two rounded accuracies are rounded too: whole numbers of hundredths decide what is a tie."""
    signs = list(itertools.product((1, -1), repeat=len(hundredths)))
    sums = [abs(sum(s * d for s, d in zip(flips, hundredths, strict=True))) for flips in signs]
    exact = sum(total >= abs(sum(hundredths)) for total in sums) / len(signs)
    first = {seed: base + value / 100 for seed, value in enumerate(hundredths)}
    assert compare(first, dict.fromkeys(first, float(base))).sign_flip_p == exact


def test_a_small_difference_is_no_tie() -> None:
    """-1, -1 and -7e-13 add up to more than with the last sign turned: of eight flips two are as far from zero."""
    assert sign_flip([-1.0, -1.0, -7.08e-13]) == 0.25


def test_only_common_seeds_are_compared() -> None:
    found = compare({0: 0.5, 1: 0.7, 4: 0.1}, {1: 0.6, 0: 0.3, 2: 0.9})
    assert found == Comparison(2, pytest.approx(0.15), None, None, None)
    assert compare({0: 1.0}, {1: 1.0}) == Comparison(0, None, None, None, None)


def test_equal_values_differ_by_nothing() -> None:
    same = dict.fromkeys(range(4), 0.5)
    assert compare(same, same) == Comparison(4, 0.0, 0.0, 1.0, None)
    assert compare(same, dict.fromkeys(range(4), 0.25)) == Comparison(4, 0.25, 0.0, 0.0, None)


def test_holm_is_the_textbooks() -> None:
    """Holm 1979: p of 0.01, 0.04, 0.03 and 0.005 become 0.03, 0.06, 0.06 and 0.02."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([None, 0.04, None]) == [None, 0.04, None]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_the_p_and_bonferronis(values: list[float]) -> None:
    for value, adjusted in zip(values, holm(values), strict=True):
        assert adjusted is not None
        assert value <= adjusted <= min(1.0, len(values) * value) + 1e-12
