"""Seconds of training that other work on the machine does not change."""

import pytest

from stampbench.measure.comparable import dense_steps, training_seconds
from tests.fixtures import factories

# 900 images in 2 epochs of 7 whole batches of 128.
STEPS = 14


def seconds(record, speed, *others):
    return training_seconds(record, speed, dense_steps([speed, *others]))


@pytest.fixture
def record():
    return factories.record(factories.job())


def speed(dense, share, **changes):
    """A measurement of dense steps of these seconds, each beside a step that takes the share of them."""
    return factories.speed(train_step=factories.timing(dense, [share * taken for taken in dense]), **changes)


def test_they_are_steps_times_share_times_the_dense_step(record):
    assert record.data[record.job.target].train == 900 and record.job.protocol.epochs == 2
    assert seconds(record, speed([0.2, 0.3, 0.4], 0.5)) == pytest.approx(STEPS * 0.5 * 0.3)


@pytest.mark.parametrize("factor", [1.3, 2.0, 77.0])
def test_a_machine_that_is_slower_during_one_measurement_changes_nothing(record, factor):
    quiet = [speed([0.2, 0.3, 0.4], 0.25, key=f"{index:016d}") for index in range(3)]
    busy = speed([factor * taken for taken in (0.2, 0.3, 0.4)], 0.5)
    assert seconds(record, busy, *quiet) == pytest.approx(STEPS * 0.5 * 0.3)


def test_they_do_not_read_the_clock_of_the_job(record):
    held_up = record.model_copy(update={"seconds": record.seconds.model_copy(update={"train": 1e4})})
    assert seconds(held_up, speed([0.3], 0.5)) == seconds(record, speed([0.3], 0.5))


def test_a_network_that_was_not_cut_takes_the_dense_step(record):
    whole = speed([0.3, 0.3], 1.1, widths=factories.DENSE_WIDTHS)
    assert seconds(record, whole) == pytest.approx(STEPS * 0.3)


def test_measurements_elsewhere_do_not_count(record):
    here = speed([0.3], 0.5)
    others = [speed([3.0], 0.5, precision="bf16"), speed([3.0], 0.5, input_size=16), speed([3.0], 0.5, network="x")]
    assert seconds(record, here, *others) == pytest.approx(STEPS * 0.5 * 0.3)


def test_a_split_smaller_than_a_batch_is_one_batch(record):
    used = {name: use.model_copy(update={"train": 64}) for name, use in record.data.items()}
    assert seconds(record.model_copy(update={"data": used}), speed([0.3], 0.5)) == pytest.approx(2 * 0.5 * 0.5 * 0.3)


def test_without_samples_or_images_nothing_is_said(record):
    assert seconds(record, speed([], 0.5)) is None
    assert seconds(record.model_copy(update={"data": {}}), speed([0.3], 0.5)) is None
