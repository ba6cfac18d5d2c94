"""Predicted time against closed forms: a table that is filled from a bilinear function returns that function."""

from dataclasses import replace

import pytest
import torch

from stampbench import registry
from stampbench.pruning.allocate import allocate
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.resources.layer_table import FIXED, LayerTable, TablePricing, never_falling
from stampbench.pruning.resources.polynomial import Polynomial
from stampbench.pruning.resources.time import TrainingTime

WIDTHS = {"a": 16, "b": 40}
GRID = torch.tensor([[1, 2, 4, 7, 10, 13, 16], [2, 5, 10, 16, 24, 31, 40]])


def seconds(reads, writes):
    """A block's time, bilinear in its widths."""
    return 1e-6 * (3 + 0.5 * reads + 0.25 * writes + 0.125 * reads * writes)


def exact(a, b):
    """The whole network's time: an image of 3 channels to a, a to b, b to a head, and the rest."""
    return seconds(3, a) + seconds(a, b) + seconds(b, 10) + 2e-6 + 1e-8 * (5 * a + a * b)


@pytest.fixture
def pricing():
    a, b = GRID.double()
    fixed = torch.ones(7, dtype=torch.float64)
    blocks = [
        seconds(3 * fixed[:, None], a[None] * fixed[:, None]),
        seconds(a[:, None], b[None]),
        seconds(b[:, None], 10 * fixed[None]),
    ]
    sides = torch.tensor([[FIXED, 0], [0, 1], [1, FIXED]])
    rest = torch.tensor([2e-6, 1e-8], dtype=torch.float64)
    params = Polynomial(((5, 1, "a"), (1, "a", "b")), WIDTHS, "parameters")
    return TablePricing(LayerTable(GRID, sides[:, 0], sides[:, 1], torch.stack(blocks), rest), params, "ns")


@pytest.mark.parametrize("widths", [(16, 40), (1, 2), (5, 17), (12, 3), (16, 39)])
def test_between_the_points_the_prediction_is_bilinear(pricing, widths):
    a, b = widths
    assert pricing.cost({"a": a, "b": b}) == round(exact(a, b) * 1e9)


def test_the_dense_network_is_the_default(pricing):
    assert pricing.cost() == round(exact(16, 40) * 1e9)


@pytest.mark.parametrize("widths", [(5.3, 17.2), (1.5, 39.5), (12.25, 30.0)])
def test_prices_are_the_derivatives_of_the_cost(pricing, widths):
    relaxed = pricing.relaxed()
    at = torch.tensor(widths, dtype=torch.float64)
    step = 1e-4
    found = [
        (relaxed.cost(at + step * side) - relaxed.cost(at - step * side)) / (2 * step)
        for side in torch.eye(2, dtype=torch.float64)
    ]
    torch.testing.assert_close(relaxed.prices(at), torch.stack(found), rtol=1e-6, atol=0)


def test_narrow_groups_may_have_points_twice(pricing):
    table = pricing.table
    grid = torch.stack([torch.tensor([1, 1, 1, 2, 2, 3, 4]), GRID[1]])
    narrow = TablePricing(
        LayerTable(
            grid,
            table.reads,
            table.writes,
            torch.stack(
                [
                    seconds(torch.full((7, 1), 3.0).double(), grid[0][None].double()),
                    seconds(grid[0][:, None].double(), grid[1][None].double()),
                    table.seconds[2],
                ]
            ),
            table.rest,
        ),
        Polynomial(((5, 1, "a"), (1, "a", "b")), {"a": 4, "b": 40}, "parameters"),
        "ns",
    )
    for a in range(1, 5):
        assert narrow.cost({"a": a, "b": 9}) == round(exact(a, 9) * 1e9)


@pytest.mark.parametrize("seed", range(20))
def test_no_price_is_negative_and_no_time_is_not_even_below_the_least_width_that_was_measured(pricing, seed):
    """A bilinear function that is continued below its points may fall as a width grows, in noise as in kernels."""
    stream = torch.Generator().manual_seed(seed)
    noisy = never_falling(torch.rand(3, 7, 7, generator=stream, dtype=torch.float64))
    grid = torch.tensor([[8, 8, 8, 8, 16, 16, 16], [16, 24, 24, 32, 32, 40, 40]])
    relaxed = TablePricing(replace(pricing.table, grid=grid, seconds=noisy), pricing.params, "ns").relaxed()
    dense = torch.tensor([16.0, 40.0]).double()
    for _ in range(50):
        widths = dense * torch.rand(2, generator=stream, dtype=torch.float64) ** 3
        more = widths + (dense - widths) * torch.rand(2, generator=stream, dtype=torch.float64)
        assert (relaxed.prices(widths) >= 0).all()
        assert 0 <= relaxed.cost(widths) <= relaxed.cost(more)


def test_below_the_least_width_the_line_through_the_two_least_goes_on_until_it_meets_zero(pricing):
    relaxed = pricing.relaxed()
    for a, b in ((0.25, 30.0), (0.0, 30.0), (12.0, 0.5)):
        assert float(relaxed.cost(torch.tensor([a, b]).double())) == pytest.approx(exact(a, b) * 1e9)
    steep = replace(pricing.table, seconds=(pricing.table.seconds - 6e-6).clamp_min(0))
    kept = TablePricing(steep, pricing.params, "ns").relaxed()
    assert float(kept.cost(torch.zeros(2).double())) == pytest.approx(float(steep.rest[0]) * 1e9)


def test_the_nearest_table_that_never_falls_keeps_one_that_does_not_and_evens_out_noise():
    rising = seconds(torch.arange(7.0)[:, None], torch.arange(7.0)[None])[None]
    assert torch.equal(never_falling(rising), rising)
    noisy = rising + 1e-6 * torch.randn(1, 7, 7, generator=torch.Generator().manual_seed(0))
    found = never_falling(noisy)
    assert (found.diff(dim=1) >= 0).all() and (found.diff(dim=2) >= 0).all()
    assert (found - rising).abs().mean() <= (noisy - rising).abs().mean() * 1.5


def test_a_budget_of_time_is_filled_and_never_exceeded(pricing):
    scores = {name: torch.rand(width, generator=torch.Generator().manual_seed(1)) for name, width in WIDTHS.items()}
    for keep in (0.5, 0.3, 0.2):
        limit = int(keep * pricing.cost())
        found = allocate(scores, pricing, limit)
        assert found.used <= limit
        more = {name: int(mask.sum()) + 1 for name, mask in found.keep.items()}
        assert pricing.cost(more) > limit


def test_a_table_of_other_widths_is_refused(pricing):
    network = registry.NETWORKS.load("resnet18")(10, 0.125)
    groups = channel_groups(network, 16)
    with pytest.raises(ValueError, match="of widths \\[16, 40\\], not of"):
        TrainingTime(pricing.table.tensors).pricing(CostModel.of(network, groups, 16))
