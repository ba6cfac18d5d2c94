"""Plans fill their budgets: never above, and no room for the next channels in rank."""

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from stampbench.errors import BudgetError
from stampbench.networks.initial import build
from stampbench.pruning.allocate import allocate, allocate_weights, fractional_ranks
from stampbench.pruning.compact import widths_of
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.resources.base import Pricing
from stampbench.pruning.resources.macs import Macs
from stampbench.pruning.resources.params import Params
from tests.fixtures.examples import examples
from tests.fixtures.strategies import NETWORKS


def model(name: str, width: float = 0.25) -> CostModel:
    network = build(name, 10, width)
    return CostModel.of(network, channel_groups(network, 32), 32)


COSTS = {name: model(name) for name in NETWORKS}
PRICINGS = {name: cost.macs_form for name, cost in COSTS.items()}


def draws(pricing: Pricing, seed: int, ties: bool = False) -> dict[str, torch.Tensor]:
    stream = torch.Generator().manual_seed(seed)
    scores = {name: torch.rand(width, generator=stream) for name, width in pricing.widths.items()}
    return {name: (score * 4).round() for name, score in scores.items()} if ties else scores


@pytest.mark.parametrize("resource", [Macs(), Params()], ids=lambda resource: resource.name)
@pytest.mark.parametrize("name", NETWORKS)
@examples(40)
@given(
    seed=st.integers(0, 10_000),
    share=st.floats(0.05, 1.0),
    round_to=st.sampled_from([1, 4, 8]),
    uniform=st.booleans(),
    ties=st.booleans(),
)
def test_budgets_are_filled_and_never_exceeded(name, resource, seed, share, round_to, uniform, ties):
    pricing = resource.pricing(COSTS[name])
    scores = draws(pricing, seed, ties)
    budget = int(share * pricing.cost())
    assume(pricing.cost({group: min(width, round_to) for group, width in pricing.widths.items()}) <= budget)
    ranked = fractional_ranks(scores) if uniform else scores
    found = allocate(ranked, pricing, budget, round_to)
    widths = widths_of(found.keep)
    assert found.used == pricing.cost(widths) <= budget
    assert found.unused == budget - found.used
    for group, width in widths.items():
        assert 1 <= width <= pricing.widths[group]
        assert width % round_to == 0 or width == pricing.widths[group]
    larger = [
        pricing.cost(widths | {group: min(pricing.widths[group], width + round_to)}) - found.used
        for group, width in widths.items()
        if width < pricing.widths[group]
    ]
    assert found.unused < max(larger, default=1)


@given(seed=st.integers(0, 10_000), share=st.floats(0.1, 0.9))
@examples(30)
def test_the_next_channel_in_rank_would_not_fit(seed, share):
    """Brute force: with one channel as unit and no floor in the way, add channels in rank until one exceeds."""
    pricing = PRICINGS["vgg19"]
    scores = draws(pricing, seed)
    budget = int(share * pricing.cost())
    found = allocate(scores, pricing, budget)
    ranking = sorted(
        ((float(s), -gi, -ci) for gi, g in enumerate(pricing.widths) for ci, s in enumerate(scores[g].tolist())),
        reverse=True,
    )
    names = list(pricing.widths)
    kept: dict[str, set[int]] = {name: set() for name in names}
    for _, gi, ci in ranking:
        kept[names[-gi]].add(-ci)
        if pricing.cost({name: max(1, len(channels)) for name, channels in kept.items()}) > budget:
            kept[names[-gi]].discard(-ci)
            break
    for name in names:
        expected = kept[name] or {int(scores[name].argmax())}
        assert set(found.keep[name].nonzero().flatten().tolist()) == expected


@pytest.mark.parametrize("name", NETWORKS)
def test_uniform_ranks_keep_equal_shares(name):
    pricing = PRICINGS[name]
    found = allocate(fractional_ranks(draws(pricing, 0)), pricing, pricing.cost() // 4)
    shares = [int(keep.sum()) / len(keep) for keep in found.keep.values()]
    assert max(shares) - min(shares) <= 1 / min(pricing.widths.values())


def test_the_best_scored_channels_of_a_group_are_kept():
    pricing = PRICINGS["resnet18"]
    scores = draws(pricing, 3)
    for name, keep in allocate(scores, pricing, pricing.cost() // 3).keep.items():
        if keep.any() and not keep.all():
            assert scores[name][keep].min() >= scores[name][~keep].max()


def test_the_floor_keeps_groups_alive_and_is_reported():
    pricing = PRICINGS["vgg19"]
    scores = {name: torch.full((width,), float(i)) for i, (name, width) in enumerate(pricing.widths.items())}
    found = allocate(scores, pricing, pricing.cost() // 8, floor=0.25)
    assert found.keep["features.conv1"].sum() == 4
    assert "features.conv1" in found.floored
    assert found.used <= pricing.cost() // 8


def test_a_budget_that_no_plan_meets():
    pricing = PRICINGS["vgg19"]
    with pytest.raises(BudgetError, match="raise the budget"):
        allocate(draws(pricing, 0), pricing, pricing.cost() // 100, round_to=8)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_must_be_finite(bad):
    pricing = PRICINGS["vgg19"]
    scores = draws(pricing, 0)
    scores["features.conv4"][3] = bad
    with pytest.raises(ValueError, match=r"features\.conv4.*not finite"):
        allocate(scores, pricing, pricing.cost() // 4)


def test_scores_must_fit_the_network():
    pricing = PRICINGS["vgg19"]
    scores = draws(pricing, 0)
    with pytest.raises(ValueError, match="groups"):
        allocate({k: v for k, v in scores.items() if k != "features.conv4"}, pricing, pricing.cost())
    with pytest.raises(ValueError, match="shape"):
        allocate(scores | {"features.conv4": torch.zeros(3)}, pricing, pricing.cost())


def test_fractional_ranks_order_like_the_scores():
    ranks = fractional_ranks({"a": torch.tensor([0.1, 0.9, 0.5, 0.5])})["a"]
    assert ranks.tolist() == [0.25, 1.0, 0.75, 0.5]


@given(
    seed=st.integers(0, 10_000),
    keep=st.floats(0, 1),
    uniform=st.booleans(),
    ties=st.booleans(),
)
@examples(60)
def test_weight_masks_keep_exactly_the_best(seed, keep, uniform, ties):
    stream = torch.Generator().manual_seed(seed)
    scores = {
        name: torch.rand(shape, generator=stream) for name, shape in (("a", (4, 3, 2)), ("b", (5,)), ("c", (7, 2)))
    }
    if ties:
        scores = {name: (score * 3).round() for name, score in scores.items()}
    masks = allocate_weights(scores, keep, uniform)
    flat = {name: score.flatten() for name, score in scores.items()}
    ranked = fractional_ranks(flat) if uniform else flat
    values = torch.cat(list(ranked.values()))
    order = sorted(range(len(values)), key=lambda i: (-values[i].item(), i))
    expected = set(order[: int(keep * len(values))])
    found = torch.cat([masks[name].flatten() for name in scores]).nonzero().flatten().tolist()
    assert set(found) == expected
    assert all(masks[name].shape == scores[name].shape for name in scores)
