"""Magnitude against sums by hand and torch-pruning's own importance."""

from functools import partial

import pytest
import torch
import torch_pruning as tp

from stampbench.methods.magnitude import Magnitude, MagnitudeOptions, coupled_l2_norm, filter_l1_norm
from stampbench.pruning.groups import channel_groups, dependency_graph
from tests.conformance.conftest import ToyContext, toy_task
from tests.fixtures.strategies import NETWORKS, lively


@pytest.mark.parametrize("name", NETWORKS)
def test_filter_norms_are_li_et_als_sums(name):
    network = lively(name)
    for group in channel_groups(network, 16):
        expected = [0.0] * group.width
        for producer in group.producers:
            weight = network.get_submodule(producer).weight.detach()
            for channel in range(group.width):
                expected[channel] += sum(abs(w) for w in weight[channel].flatten().tolist())
        assert filter_l1_norm(network, group).tolist() == pytest.approx(expected, rel=1e-6)


def groups_of_both(network):
    """Our channel groups, each with torch-pruning's group of the same channels."""
    graph = dependency_graph(network, 16)
    for group in channel_groups(network, 16):
        producer, channels = network.get_submodule(group.producers[0]), list(range(group.width))
        yield group, graph.get_pruning_group(producer, tp.prune_conv_out_channels, idxs=channels)


@pytest.mark.parametrize("name", NETWORKS)
def test_coupled_norms_are_torch_prunings(name):
    """Its group importance, summed squares over producers and consumers, mean-normalised; ours is the root."""
    network = lively(name).eval()
    for group, found in groups_of_both(network):
        theirs = tp.importance.GroupMagnitudeImportance(
            p=2, group_reduction="sum", normalizer=None, target_types=[torch.nn.Conv2d, torch.nn.Linear]
        )(found)
        ours = coupled_l2_norm(network, group)
        assert ours.mean().item() == pytest.approx(1.0)
        root = theirs.double().sqrt()
        torch.testing.assert_close(ours, root / root.mean(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_torch_prunings_default_norm_also_holds_the_squared_scale_of_batch_norm(name):
    """The card says so of torch-pruning's default; all else is as in the comparison above."""
    network = lively(name).eval()
    for group, found in groups_of_both(network):
        importance = partial(tp.importance.GroupMagnitudeImportance, p=2, group_reduction="sum", normalizer=None)
        weights_only = importance(target_types=[torch.nn.Conv2d, torch.nn.Linear])(found)
        scales = sum(network.get_submodule(norm).weight.detach().square() for norm in group.norms)
        torch.testing.assert_close(importance()(found), weights_only + scales, rtol=1e-4, atol=1e-6)


def test_scope_says_whether_groups_compete():
    assert Magnitude(MagnitudeOptions()).uniform
    assert not Magnitude(MagnitudeOptions(scope="global")).uniform


def test_a_dead_filter_goes_first():
    network = lively("vgg19")
    with torch.no_grad():
        network.features.conv5.weight[3] = 0
    group = next(g for g in channel_groups(network, 16) if g.name == "features.conv5")
    assert int(filter_l1_norm(network, group).argmin()) == 3


def test_the_global_mask_over_weights_is_torchs():
    from torch.nn.utils import prune

    from stampbench.contract import Budget
    from stampbench.pruning.masks import prunable_weights

    network = lively("vgg19")
    plan = Magnitude(MagnitudeOptions(scope="global")).plan(
        network, toy_task(), Budget(resource="weights", keep=0.1), {}, ToyContext()
    )
    names = list(prunable_weights(network))
    total = sum(w.numel() for w in prunable_weights(network).values())
    modules = [(network.get_submodule(name.removesuffix(".weight")), "weight") for name in names]
    prune.global_unstructured(modules, pruning_method=prune.L1Unstructured, amount=total - int(0.1 * total))
    for name, (module, _) in zip(names, modules, strict=True):
        assert torch.equal(plan.keep[name], module.weight_mask.bool())


def test_a_uniform_mask_over_weights_keeps_the_same_share_of_each_layer():
    from stampbench.contract import Budget

    plan = Magnitude(MagnitudeOptions()).plan(
        lively("vgg19"), toy_task(), Budget(resource="weights", keep=0.1), {}, ToyContext()
    )
    for mask in plan.keep.values():
        assert abs(mask.float().mean().item() - 0.1) <= 2 / mask.numel() + 1e-6
