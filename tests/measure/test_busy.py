"""A machine is busy where its yardstick takes more than twice as long as usual there."""

import pytest

from stampbench.errors import UserError
from stampbench.measure.busy import idle_yardsticks, slowdown, warn_if_busy
from tests.fixtures import factories


def record(seconds: float, seed: int = 0, **made):
    """Timed around its job ten times, once of them far off, as happens on any machine."""
    yardstick = [seconds] * 9 + [100 * seconds]
    return factories.record(factories.job(seed=seed), yardstick=yardstick, provenance=factories.provenance(**made))


@pytest.mark.parametrize(
    ("seconds", "usual"),
    [([3.0], 3.0), ([3.0, 1.0, 2.0], 1.0), ([5, 1, 4, 2, 3, 6, 8, 7], 3.0), ([1.0] * 97 + [50.0] * 3, 1.0)],
)
def test_the_idle_machine_is_the_lower_quartile_or_the_least_of_few(seconds, usual):
    assert list(idle_yardsticks(map(record, seconds)).values()) == [usual]


def test_machines_are_told_apart():
    made = [{"device": "a"}, {"device": "b"}, {"threads": 2}, {"cpu_generation": "25-17-1"}]
    records = [record(10.0**index, **changes) for index, changes in enumerate(made)]
    assert sorted(idle_yardsticks(records).values()) == [1, 10, 100, 1000]
    assert all(slowdown(one, idle_yardsticks(records)) is None for one in records)


@pytest.mark.parametrize(("seconds", "factor"), [(1.0, None), (2.0, None), (2.5, 2.5), (23.0, 23.0)])
def test_more_than_twice_as_long_is_busy(seconds, factor):
    idle = idle_yardsticks([record(1.0)])
    assert slowdown(record(seconds), idle) == factor
    assert slowdown(record(seconds, device="another"), idle) is None
    assert slowdown(factories.record(), idle) is None


def test_a_busy_job_is_told_once_it_is_done(caplog):
    others = [record(1.0, seed) for seed in range(4)]
    warn_if_busy(record(1.9, 9), others)
    warn_if_busy(factories.failed(), others)
    assert not caplog.records
    warn_if_busy(record(4.5, 9), others)
    assert "busy" in caplog.text and "seed 9" in caplog.text and "4.5 times" in caplog.text


def test_a_damaged_pool_does_not_fail_a_job_that_is_done():
    def others():
        yield record(1.0)
        raise UserError("damaged")

    warn_if_busy(record(9.0), others())
