from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stampbench.statistics import Summary, summarise

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
