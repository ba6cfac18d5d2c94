"""Random pruning draws every channel alike."""

import pytest
import torch
from scipy import stats

from stampbench.methods.random import Random, RandomOptions
from stampbench.pruning.allocate import allocate, fractional_ranks
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import channel_groups
from tests.conformance.conftest import ToyContext
from tests.fixtures.strategies import lively


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_kept_channels_are_uniform_over_many_draws(scope):
    """Chi-square over 10,000 draws of the first group's kept channels; a fixed seed, so no chance failures."""
    method = Random(RandomOptions(scope=scope))
    network = lively("vgg19")
    groups = channel_groups(network, 16)[:1]
    counts = torch.zeros(groups[0].width)
    for seed in range(10_000):
        scores = method.scores(network, groups, [], ToyContext(seed=seed))[groups[0].name]
        counts[scores.topk(3).indices] += 1
    assert counts.sum() == 30_000
    assert stats.chisquare(counts.numpy()).pvalue > 1e-3


def test_global_draws_differ_from_uniform_shares():
    network = lively("vgg19", width=0.25)
    groups = channel_groups(network, 16)
    pricing = CostModel.of(network, groups, 16).macs_form
    scores = Random(RandomOptions(scope="global")).scores(network, groups, [], ToyContext())
    free = allocate(scores, pricing, pricing.cost() // 4)
    even = allocate(fractional_ranks(scores), pricing, pricing.cost() // 4)

    def spread(found):
        shares = [keep.float().mean().item() for keep in found.keep.values()]
        return max(shares) - min(shares)

    assert spread(even) < 0.07 < spread(free)
