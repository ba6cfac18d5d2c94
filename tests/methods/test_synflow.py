"""SynFlow's conservation laws, and its promise: no layer collapse."""

import pytest
import torch
from torch import nn

from stampbench.contract import Budget
from stampbench.methods.magnitude import Magnitude, MagnitudeOptions
from stampbench.methods.synflow import Synflow, SynflowOptions, positive_copy
from stampbench.networks.initial import build, initialise
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.masks import apply_weight_masks, prunable_weights
from tests.conformance.conftest import ToyContext, toy_task
from tests.fixtures.strategies import NETWORKS, lively

METHOD = Synflow(SynflowOptions())


class Size:
    input_size = 16


class Chain(nn.Module):
    """A chain without bias or batch norm."""

    def __init__(self):
        super().__init__()
        self.one = nn.Conv2d(3, 5, 3, padding=1, bias=False)
        self.two = nn.Conv2d(5, 7, 3, padding=1, bias=False)
        self.head = nn.Linear(7, 4, bias=False)

    def forward(self, images):
        hidden = torch.relu(self.two(torch.relu(self.one(images))))
        return self.head(hidden.mean((2, 3)))


def test_summed_scores_are_conserved_from_layer_to_layer():
    """Σ over a layer of θ ∂R/∂θ is R itself, for every layer (Tanaka et al., theorem 1)."""
    network = Chain()
    scores = METHOD.weight_scores(network, Size, ToyContext())
    flow = positive_copy(network)(torch.ones(1, 3, 16, 16, dtype=torch.float64)).sum().item()
    for score in scores.values():
        assert (score >= 0).all()
        assert score.sum().item() == pytest.approx(flow, rel=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_vggs_layers_carry_the_same_flow_and_all_scores_are_positive(name):
    network = lively(name)
    scores = METHOD.weight_scores(network, Size, ToyContext())
    assert all((score >= 0).all() and score.sum() > 0 for score in scores.values())
    if name == "vgg19":
        sums = [score.sum().item() for score in scores.values()]
        assert sums == pytest.approx([sums[0]] * len(sums), rel=1e-9)


@pytest.mark.parametrize("name", NETWORKS)
def test_channel_scores_are_the_flow_through_a_groups_filters(name):
    """A gate scales a producer's output as its filter does, so in a chain both have the same derivative."""
    network = lively(name)
    groups = channel_groups(network, 16)
    by_gate = METHOD.scores(network, groups, Size, ToyContext())
    by_weight = METHOD.weight_scores(network, Size, ToyContext())
    for group in groups:
        through = sum(by_weight[f"{producer}.weight"].flatten(1).sum(1) for producer in group.producers)
        torch.testing.assert_close(by_gate[group.name], through, rtol=1e-9, atol=0)


def test_no_layer_collapses_at_1000_times_where_magnitude_does():
    network = build("vgg19", 10, 0.25)
    initialise(network, *(torch.Generator().manual_seed(seed) for seed in (0, 1)))
    task, budget = toy_task(classes=10), Budget(resource="weights", keep=1e-3)
    ours = METHOD.plan(network, task, budget, {}, ToyContext())
    theirs = Magnitude(MagnitudeOptions(scope="global")).plan(network, task, budget, {}, ToyContext())
    assert ours.notes["emptied"] == []
    assert theirs.notes["emptied"] != []
    weights = prunable_weights(network)
    total = sum(w.numel() for w in weights.values())
    assert sum(int(mask.sum()) for mask in ours.keep.values()) == int(1e-3 * total)
    # Something still flows from input to output.
    apply_weight_masks(network, ours.keep)
    assert positive_copy(network)(torch.ones(1, 3, 16, 16, dtype=torch.float64)).sum() > 0


def test_it_looks_at_no_data():
    class Untouchable:
        input_size = 16

        def __iter__(self):
            raise AssertionError

    network = lively("resnet18")
    METHOD.scores(network, channel_groups(network, 16), Untouchable(), ToyContext())
