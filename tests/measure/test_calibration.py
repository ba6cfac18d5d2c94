"""Calibrated tables of layers: shares are right although the blocks, or the dense network's, were measured wrong."""

import random
from dataclasses import replace
from statistics import median

import pytest
import torch

from stampbench.measure.calibration import anchored, calibrated, levelled, median_error, random_widths
from stampbench.networks.check import checked
from stampbench.pruning.cost import CostModel
from stampbench.pruning.resources.layer_table import never_falling
from stampbench.pruning.resources.time import TrainingTime
from tests.fixtures.tables import made_up_table


@pytest.fixture
def cost():
    return CostModel.of(*checked("resnet18", 0.125, 16), 16)


@pytest.fixture
def table(cost):
    """Costs are whole nanoseconds, so blocks of milliseconds leave no error of rounding."""
    made = made_up_table(cost)
    return replace(made, seconds=1000 * made.seconds)


def timed(expected, count):
    """Return random widths, with three steps of the dense network and of theirs that take what is expected."""
    drawn = random_widths(expected.widths, 1, count, random.Random(2))
    return [(widths, [[expected.cost() / 1e9] * 3, [expected.cost(widths) / 1e9] * 3]) for widths in drawn]


def test_calibration_finds_what_the_blocks_leave_out_and_undoes_their_scale(cost, table):
    """The blocks run 1.7 times too slow, and a step takes 3 ms and 5 ns a parameter besides."""
    right = replace(table, rest=torch.tensor([3e-3, 5e-9], dtype=torch.float64))
    slow = replace(table, seconds=1.7 * table.seconds, rest=torch.zeros(2, dtype=torch.float64))
    found = calibrated(slow, cost, timed(TrainingTime(right.tensors).pricing(cost), 12))
    torch.testing.assert_close(found.seconds, right.seconds, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.rest, right.rest, rtol=1e-3, atol=0)


@pytest.mark.parametrize("wrong", [1.25, 0.8])
def test_a_dense_network_whose_blocks_were_measured_wrong_does_not_bend_the_shares(cost, table, wrong):
    expected = TrainingTime(table.tensors).pricing(cost)
    whole = timed(expected, 48)
    bent = table.seconds.clone()
    bent[:, -1, -1] *= wrong
    found = TrainingTime(calibrated(replace(table, seconds=bent), cost, whole).tensors).pricing(cost)
    assert found.cost() == pytest.approx(expected.cost(), rel=1e-6)
    small = [widths for widths, _ in whole if expected.cost(widths) < 0.6 * expected.cost()]
    errors = [abs(found.cost(widths) / expected.cost(widths) - 1) for widths in small]
    assert len(small) > 20 and median(errors) < 0.03 and max(errors) < 0.06


@pytest.mark.parametrize("wrong", [1.3, 0.75])
def test_a_resolution_whose_blocks_were_all_measured_wrong_is_put_right(cost, table, wrong):
    """Networks that are narrow at one resolution alone show it. Part is left, as factors are drawn towards 1."""
    expected = TrainingTime(table.tensors).pricing(cost)
    whole = timed(expected, 72)
    at = {layer.out_group: layer.positions for layer in cost.layers if layer.out_group}
    sizes = sorted(set(at.values()))
    wide = [layer.positions == sizes[-2] for layer in cost.layers]
    bent = torch.where(torch.tensor(wide), wrong, 1.0).double()
    measured = replace(table, seconds=table.seconds * bent[:, None, None])
    narrow = [{g: max(1, w // (8 if at[g] == size else 2)) for g, w in expected.widths.items()} for size in sizes]

    def error(found):
        pricing = TrainingTime(found.tensors).pricing(cost)
        shares = [pricing.cost(w) / pricing.cost() / (expected.cost(w) / expected.cost()) for w in narrow]
        return max(abs(share - 1) for share in shares)

    assert error(calibrated(measured, cost, whole)) < 0.5 * error(levelled(measured, cost, whole))


def test_the_median_error_is_that_of_the_shares(cost, table):
    """All networks but the dense one take a quarter longer than the table says, so its shares are 1/5 too low."""
    whole = timed(TrainingTime(table.tensors).pricing(cost), 12)
    assert median_error(table, cost, whole) == pytest.approx(0, abs=1e-6)
    longer = [(widths, [dense, [1.25 * seconds for seconds in small]]) for widths, (dense, small) in whole]
    assert median_error(table, cost, longer) == pytest.approx(0.2, abs=1e-6)


def test_no_block_takes_longer_than_in_the_dense_network(table):
    noisy = table.seconds * (1 + torch.rand(table.seconds.shape, generator=torch.Generator().manual_seed(0)).double())
    found = anchored(replace(table, seconds=never_falling(noisy)), 3.0, 0.5)
    dense = found.seconds[:, -1, -1]
    assert float(dense.sum()) == pytest.approx(0.5)
    assert (found.seconds <= dense[:, None, None]).all()
    assert (found.seconds.diff(dim=1) >= 0).all() and (found.seconds.diff(dim=2) >= 0).all()


@pytest.mark.parametrize("round_to", [1, 8])
def test_random_widths_are_widths_that_plans_may_have(round_to):
    dense = {"a": 100, "b": 64, "c": 4}
    found = list(random_widths(dense, round_to, 50, random.Random(0)))
    assert len(found) == 50 and len({tuple(widths.values()) for widths in found}) > 25
    for widths in found:
        assert all(1 <= w <= dense[g] and (w % round_to == 0 or w == dense[g]) for g, w in widths.items())
