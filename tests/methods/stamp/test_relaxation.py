"""The priced threshold: against finite differences, the closed form of MACs, and the allocator's hard masks."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stampbench.methods.stamp.relaxation import PricedThreshold, SoftCost, logistic_noise, relaxed_mask, soft_mask
from stampbench.pruning.allocate import allocate
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.resources.base import Pricing
from tests.fixtures.examples import examples
from tests.fixtures.strategies import NETWORKS, lively

MODELS = {}


def pricing_of(name: str) -> Pricing:
    if name not in MODELS:
        network = lively(name, width=0.0625)
        MODELS[name] = CostModel.of(network, channel_groups(network, 16), 16).macs_form
    return MODELS[name]


def draws(pricing: Pricing, seed: int) -> torch.Tensor:
    stream = torch.Generator().manual_seed(seed)
    return torch.randn(sum(pricing.widths.values()), generator=stream, dtype=torch.float64)


@pytest.mark.parametrize("name", NETWORKS)
@given(seed=st.integers(0, 1000))
@examples(20)
def test_soft_macs_of_whole_widths_are_the_closed_forms(name, seed):
    pricing = pricing_of(name)
    soft = SoftCost.of(pricing)
    mask = (draws(pricing, seed) > 0).double()
    widths = dict(zip(pricing.widths, (int(width) for width in soft.widths(mask)), strict=True))
    assert soft.pricing.cost(soft.widths(mask)).item() == pricing.cost(widths)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_price_is_what_one_more_channel_costs(name):
    """MACs are at most quadratic in one group's width, so the central difference of step 1 is exact."""
    pricing = pricing_of(name)
    soft = SoftCost.of(pricing)
    widths = {group: max(1, width // 2) for group, width in pricing.widths.items()}
    prices = soft.pricing.prices(torch.tensor(list(widths.values()), dtype=torch.float64))
    for group, price in zip(widths, prices.tolist(), strict=True):
        wider, narrower = ({**widths, group: widths[group] + step} for step in (1, -1))
        assert price == (pricing.cost(wider) - pricing.cost(narrower)) / 2


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("keep", [1 / 32, 0.25, 0.9])
def test_the_soft_mask_meets_the_budget(name, keep):
    pricing = pricing_of(name)
    soft, limit = SoftCost.of(pricing), keep * pricing.cost()
    mask = soft_mask(draws(pricing, 1), soft, limit, 0.5)
    assert soft.pricing.cost(soft.widths(mask)).item() == pytest.approx(limit, rel=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_of_threshold_and_mask_are_the_difference_quotients(name):
    pricing = pricing_of(name)
    soft, limit = SoftCost.of(pricing), 0.3 * pricing.cost()
    logits = draws(pricing, 2)
    weights = draws(pricing, 3)

    def threshold(values):
        return PricedThreshold.apply(values, soft, limit, 0.5)

    def objective(values):
        return (weights * soft_mask(values, soft, limit, 0.5)).sum()

    for function in (threshold, objective):
        variable = logits.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(function(variable), variable)
        for index in range(0, len(logits), 37):
            moved = torch.zeros_like(logits)
            moved[index] = 1e-5
            quotient = (function(logits + moved) - function(logits - moved)) / 2e-5
            assert gradient[index].item() == pytest.approx(quotient.item(), rel=1e-4, abs=1e-8)


def test_the_threshold_moves_one_for_one_with_all_logits():
    pricing = pricing_of("vgg19")
    variable = draws(pricing, 4).requires_grad_()
    threshold = PricedThreshold.apply(variable, SoftCost.of(pricing), 0.3 * pricing.cost(), 0.5)
    (gradient,) = torch.autograd.grad(threshold, variable)
    assert gradient.sum().item() == pytest.approx(1)
    assert (gradient >= 0).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_gates_are_the_allocators_and_their_gradient_the_soft_masks(name):
    pricing = pricing_of(name)
    soft = SoftCost.of(pricing)
    parts = dict(zip(pricing.widths, draws(pricing, 5).split(list(pricing.widths.values())), strict=True))
    logits = {group: part.clone().requires_grad_() for group, part in parts.items()}
    gates = relaxed_mask(logits, pricing, soft, 0.25, 0.5, floor=0.05)
    kept = allocate(parts, pricing, math.floor(0.25 * pricing.cost()), floor=0.05).keep
    for group, gate in gates.items():
        assert torch.allclose(gate, kept[group].double(), atol=1e-12)
    straight = torch.autograd.grad(sum(gate.sum() for gate in gates.values()), list(logits.values()))
    flat = torch.cat(list(parts.values())).requires_grad_()
    (smooth,) = torch.autograd.grad(soft_mask(flat, soft, 0.25 * pricing.cost(), 0.5).sum(), flat)
    assert torch.allclose(torch.cat(straight), smooth)


def test_noise_is_logistic():
    """Against the distribution function at a few points, over many draws."""
    noise = logistic_noise({"a": torch.zeros(200_000)}, 2.0, torch.Generator().manual_seed(0))["a"]
    for point in (-3.0, 0.0, 1.0):
        assert (noise < point).float().mean().item() == pytest.approx(1 / (1 + math.exp(-point / 2)), abs=0.005)
