"""Compact networks compute what gated ones do, and cost what the closed form says."""

import copy
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from stampbench.networks.initial import build
from stampbench.pruning.compact import Shrinking, compact, widths_of
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.masks import channel_gates
from tests.pruning.strategies import NETWORKS, keeps, lively


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_compact_and_gated_outputs_agree_and_costs_are_exact(name, data):
    network = lively(name, seed=data.draw(st.integers(0, 99))).eval()
    groups = channel_groups(network, 32)
    keep = data.draw(keeps(groups))
    small = compact(network, groups, keep, 32)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), channel_gates(network, groups, {n: k.float() for n, k in keep.items()}):
        gated = network(images)
    with torch.no_grad():
        torch.testing.assert_close(small(images), gated, atol=1e-5, rtol=1e-5)

    widths = widths_of(keep)
    cost = CostModel.of(network, groups, 32)
    assert cost.macs(widths) == macs_by_flop_counter(small)
    assert cost.params(widths) == sum(p.numel() for p in small.parameters())
    rebuilt = build(name, 10, 1.0, widths)
    rebuilt.load_state_dict(small.state_dict())


def macs_by_flop_counter(network: torch.nn.Module) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy.deepcopy(network).eval()(torch.zeros(1, 3, 32, 32))
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


def macs_by_fvcore(network: torch.nn.Module) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(copy.deepcopy(network).eval(), torch.zeros(1, 3, 32, 32))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        counted = analysis.by_operator()
    return int(counted["conv"] + counted["linear"])


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("width", [0.25, 1.0])
def test_dense_macs_equal_fvcore_and_flop_counter(name, width):
    network = build(name, 10, width)
    groups = channel_groups(network, 32)
    macs = CostModel.of(network, groups, 32).macs()
    assert macs == macs_by_flop_counter(network) == macs_by_fvcore(network)


@pytest.mark.parametrize("name", NETWORKS)
def test_pruned_macs_equal_fvcore(name):
    network = lively(name)
    groups = channel_groups(network, 32)
    keep = {g.name: torch.arange(g.width) % 3 != 0 for g in groups}
    small = compact(network, groups, keep, 32)
    assert CostModel.of(network, groups, 32).macs(widths_of(keep)) == macs_by_fvcore(small)


def test_resnet18_has_the_published_macs():
    network = build("resnet18", 10, 1.0)
    cost = CostModel.of(network, channel_groups(network, 32), 32)
    assert 2 * cost.macs() == 1_110_845_440
    assert cost.params() == 11_173_962


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("training", [True, False])
def test_looking_at_a_network_changes_nothing(name, training):
    network = lively(name).train(training)
    network.head.eval()
    before = copy.deepcopy(network.state_dict())
    modes = [module.training for module in network.modules()]
    state = torch.get_rng_state()
    groups = channel_groups(network, 32)
    CostModel.of(network, groups, 32)
    compact(network, groups, {g.name: torch.arange(g.width) > 0 for g in groups}, 32)
    assert modes == [module.training for module in network.modules()]
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_groups_of_resnet18_couple_the_residual_streams():
    groups = {group.name: group for group in channel_groups(build("resnet18", 10, 0.25), 32)}
    assert len(groups) == 12
    assert groups["conv1"].producers == ("conv1", "stages.0.0.conv2", "stages.0.1.conv2")
    assert groups["stages.1.0.conv2"].producers == (
        "stages.1.0.conv2",
        "stages.1.0.shortcut.conv",
        "stages.1.1.conv2",
    )
    assert "head" in groups["stages.3.0.conv2"].consumers


def test_an_emptied_group_is_refused():
    network = lively("vgg19")
    groups = channel_groups(network, 32)
    keep = {g.name: torch.ones(g.width, dtype=torch.bool) for g in groups}
    keep["features.conv3"][:] = False
    with pytest.raises(ValueError, match=r"features\.conv3"):
        compact(network, groups, keep, 32)


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_shrinking_in_rounds_ends_where_one_removal_does(name, data):
    network = lively(name, seed=data.draw(st.integers(0, 99)))
    groups = channel_groups(network, 32)
    rounds = [data.draw(keeps(groups)) for _ in range(3)]
    alone = {g.name: torch.zeros(g.width, dtype=torch.bool) for g in groups}
    for name in alone:
        alone[name][data.draw(st.integers(0, len(alone[name]) - 1))] = True
    shrinking, left = Shrinking(network, groups, 32), None
    for keep in rounds:
        keep = {name: mask | alone[name] for name, mask in keep.items()}
        left = keep if left is None else {name: mask & keep[name] for name, mask in left.items()}
        small = shrinking.keep_only(keep)
        assert {g.name: g.width for g in shrinking.groups} == widths_of(left)
        assert shrinking.groups == channel_groups(small, 32)
    expected = compact(network, groups, left, 32).state_dict()
    assert all(torch.equal(expected[name], tensor) for name, tensor in small.state_dict().items())


def test_a_network_that_loses_nothing_is_not_copied_but_its_compact_one_is():
    network = lively("vgg19")
    groups = channel_groups(network, 32)
    everything = {g.name: torch.ones(g.width, dtype=torch.bool) for g in groups}
    assert Shrinking(network, groups, 32).keep_only(everything) is network
    assert compact(network, groups, everything, 32) is not network
