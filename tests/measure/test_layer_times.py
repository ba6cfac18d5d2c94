"""Tables of layers: every block at every pair of widths, all seconds in it, and none twice."""

import random
from dataclasses import replace
from itertools import islice, product
from statistics import median

import pytest
import torch

from stampbench import registry
from stampbench.errors import NetworkError
from stampbench.measure import layer_times
from stampbench.measure.layer_times import (
    POINTS,
    calibrated,
    directions,
    measure_layers,
    points_of,
    position,
    quiet_moments,
    random_widths,
    scaled,
    timed_blocks,
)
from stampbench.measure.speed import BATCH, made_up_images, network_at
from stampbench.networks.check import checked
from stampbench.pruning.cost import CostModel
from stampbench.pruning.resources.layer_table import never_falling
from stampbench.pruning.resources.time import Latency, TrainingTime
from tests.fixtures.quickly import quicken
from tests.fixtures.strategies import NETWORKS
from tests.fixtures.tables import made_up_table


@pytest.mark.parametrize("width", [1, 3, 8, 16, 64, 100, 512])
@pytest.mark.parametrize("round_to", [1, 4, 8])
def test_points_ascend_to_the_dense_width(width, round_to):
    points = points_of(width, round_to)
    assert len(points) == POINTS and points == sorted(points) and points[0] >= 1 and points[-1] == width
    assert all(point % round_to == 0 or point == width for point in points)


@pytest.mark.parametrize(("width", "round_to"), [(64, 8), (128, 8), (128, 16), (256, 16), (512, 16)])
def test_half_the_width_is_measured_and_small_groups_at_every_width(width, round_to):
    """Kernels favour 64 and 128 channels: a table without them priced networks that had many up to 13 % too high."""
    points = set(points_of(width, round_to))
    assert width // 2 in points
    if width // round_to <= 8:
        assert points == set(range(round_to, width + 1, round_to))


def test_points_are_no_favourites_of_kernels_unless_plans_are():
    assert all(point % 8 for point in points_of(512, 1)[:-1])
    assert all(point % 8 == 0 for point in points_of(512, 8))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_visits_show_every_block_at_every_pair_of_points_once(name):
    network, groups = checked(name, 0.125, 32)
    sides = list(layer_times._sides(network, CostModel.of(network, groups, 32)).values())
    steps = directions([group.name for group in groups], sides)
    visits = list(product(range(POINTS), repeat=2))
    for reads, writes in sides:
        found = {tuple(position(v, steps[g]) for g in (reads, writes) if g is not None) for v in visits}
        assert len(found) == POINTS ** sum(g is not None for g in (reads, writes))


def test_too_many_groups_that_share_blocks_are_refused():
    groups = [f"group {index}" for index in range(POINTS + 2)]
    with pytest.raises(NetworkError, match=f"shares blocks with more than {POINTS}"):
        directions(groups, [(a, b) for a in groups for b in groups if a < b])


@pytest.mark.parametrize("timing", ["train_step", "latency"])
def test_blocks_hold_most_of_a_step_and_no_more_than_all(timing):
    network, _ = checked("resnet18", 0.125, 16)
    widths = {group.name: group.width for group in checked("resnet18", 0.125, 16)[1]}
    module = network_at("resnet18", 2, widths, torch.device("cpu"))
    images = made_up_images(timing, 16, torch.device("cpu"))[:8]
    layers = {name for name, _ in layer_times._layers(network)}
    shares = []
    for seconds in timed_blocks(module, images, timing, "fp32"):
        whole = seconds.pop("")
        assert seconds.keys() == layers and min(seconds.values()) > 0
        shares.append(sum(seconds.values()) / whole)
    # Other work may have interrupted one step outside of the blocks.
    assert 0.5 < max(shares) <= 1


@pytest.mark.parametrize(("timing", "resource"), [("train_step", TrainingTime), ("latency", Latency)])
def test_a_measured_table_prices_its_network(timing, resource, monkeypatch):
    quicken(monkeypatch.setattr)
    monkeypatch.setitem(BATCH, "train_step", 4)
    network, groups = checked("resnet18", 0.125, 16)
    table, notes = measure_layers("resnet18", network, groups, 16, 1, timing, "fp32", torch.device("cpu"))
    pricing = resource(table.tensors).pricing(CostModel.of(network, groups, 16))
    least = dict.fromkeys(pricing.widths, 1)
    # One step a network tells little, so noise may take the blocks for nothing.
    assert 0 < pricing.cost(least) <= pricing.cost()
    assert registry.RESOURCES.load(resource.name) is resource
    assert len(notes["yardstick"]) == 2 and min(notes["yardstick"]) > 0


def test_busy_moments_are_waited_for_until_patience_ends():
    """The first moment cannot be known to be busy; of the others 1.6 is, and 1.4 is not."""
    seconds = iter([1.0, 1.6, 1.4, 9.0, 0.9, 1.4, 9.0, 1.0, 9.0])
    assert list(islice(quiet_moments(lambda: next(seconds), 3), 5)) == [1.0, 1.4, 0.9, 9.0, 1.0]


def test_calibration_finds_what_the_blocks_leave_out_and_undoes_their_scale():
    """The blocks run 1.7 times too slow, and a step takes 3 ms and 5 ns a parameter besides."""
    network, groups = checked("resnet18", 0.125, 16)
    cost = CostModel.of(network, groups, 16)
    table = made_up_table(cost)
    # Costs are whole nanoseconds, so blocks of milliseconds leave no error of rounding.
    table = replace(table, seconds=1000 * table.seconds)
    right = replace(table, rest=torch.tensor([3e-3, 5e-9], dtype=torch.float64))
    expected = TrainingTime(right.tensors).pricing(cost)
    shares = list(random_widths(cost.widths, 1, 12, random.Random(2)))
    whole = [(w, [[expected.cost() / 1e9] * 3, [expected.cost(w) / 1e9] * 3]) for w in shares]
    slow = replace(table, seconds=1.7 * table.seconds, rest=torch.zeros(2, dtype=torch.float64))
    found = calibrated(slow, cost, whole)
    torch.testing.assert_close(found.seconds, right.seconds, rtol=1e-6, atol=0)
    torch.testing.assert_close(found.rest, right.rest, rtol=1e-3, atol=0)


@pytest.mark.parametrize("wrong", [1.25, 0.8])
def test_a_dense_network_whose_blocks_were_measured_wrong_does_not_bend_the_shares(wrong):
    network, groups = checked("resnet18", 0.125, 16)
    cost = CostModel.of(network, groups, 16)
    right = made_up_table(cost)
    # Costs are whole nanoseconds, so blocks of milliseconds leave no error of rounding.
    right = replace(right, seconds=1000 * right.seconds)
    expected = TrainingTime(right.tensors).pricing(cost)
    shares = list(random_widths(cost.widths, 1, 48, random.Random(2)))
    whole = [(w, [[expected.cost() / 1e9] * 3, [expected.cost(w) / 1e9] * 3]) for w in shares]
    bent = right.seconds.clone()
    bent[:, -1, -1] *= wrong
    found = TrainingTime(calibrated(replace(right, seconds=bent), cost, whole).tensors).pricing(cost)
    assert found.cost() == pytest.approx(expected.cost(), rel=1e-6)
    small = [w for w in shares if expected.cost(w) < 0.6 * expected.cost()]
    errors = [abs(found.cost(widths) / expected.cost(widths) - 1) for widths in small]
    assert len(small) > 20 and median(errors) < 0.03 and max(errors) < 0.06


def test_no_block_takes_longer_than_in_the_dense_network():
    network, groups = checked("resnet18", 0.125, 16)
    table = made_up_table(CostModel.of(network, groups, 16))
    noisy = table.seconds * (1 + torch.rand(table.seconds.shape, generator=torch.Generator().manual_seed(0)).double())
    found = scaled(replace(table, seconds=never_falling(noisy)), 3.0, 0.5)
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
