"""Compact networks compute what gated ones do, and cost what the closed form says."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from stampbench.networks.initial import build
from stampbench.pruning.compact import Shrinking, compact, widths_of
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import channel_groups
from tests.fixtures.examples import examples
from tests.fixtures.strategies import NETWORKS, keeps, lively


def macs_by_flop_counter(network: torch.nn.Module) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        copy.deepcopy(network).eval()(torch.zeros(1, 3, 32, 32))
    assert counter.get_total_flops() % 2 == 0
    return counter.get_total_flops() // 2


@pytest.mark.parametrize("name", NETWORKS)
def test_macs_equal_the_flop_counters(name):
    """A second oracle beside fvcore, which the conformance suite asks."""
    network = lively(name)
    groups = channel_groups(network, 32)
    cost = CostModel.of(network, groups, 32)
    assert cost.macs() == macs_by_flop_counter(network)
    keep = {g.name: torch.arange(g.width) % 3 != 1 for g in groups}
    assert cost.macs(widths_of(keep)) == macs_by_flop_counter(compact(network, groups, keep, 32))


def test_resnet18_has_the_published_macs():
    network = build("resnet18", 10, 1.0)
    cost = CostModel.of(network, channel_groups(network, 32), 32)
    assert 2 * cost.macs() == 1_110_845_440
    assert cost.params() == 11_173_962


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
@examples(10)
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
        assert shrinking.groups == channel_groups(small, 32) or one_channel_left(left, groups)
    expected = compact(network, groups, left, 32).state_dict()
    assert all(torch.equal(expected[name], tensor) for name, tensor in small.state_dict().items())


def one_channel_left(keep, groups) -> bool:
    """Then a depthwise convolution cannot be told from a plain one any more."""
    return any(group.depthwise and keep[group.name].sum() == 1 for group in groups)


def test_a_network_that_loses_nothing_is_not_copied_but_its_compact_one_is():
    network = lively("vgg19")
    groups = channel_groups(network, 32)
    everything = {g.name: torch.ones(g.width, dtype=torch.bool) for g in groups}
    assert Shrinking(network, groups, 32).keep_only(everything) is network
    assert compact(network, groups, everything, 32) is not network
