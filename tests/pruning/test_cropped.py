"""The cropped forward pass is the gated one: outputs, gradients, batch norm's statistics."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stampbench.pruning.cropped import STEP, cropped_forward
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.masks import channel_gates
from tests.pruning.strategies import NETWORKS, keeps, lively


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_cropped_and_gated_passes_agree(name, data):
    seed, width = data.draw(st.integers(0, 99)), data.draw(st.sampled_from([0.125, 0.5]))
    cropped = lively(name, seed, width).double().train(data.draw(st.booleans()))
    gated = copy.deepcopy(cropped)
    groups = channel_groups(cropped, 16)
    assert width == 0.125 or max(group.width for group in groups) > STEP
    keep = data.draw(keeps(groups))
    images = torch.randn(6, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    stream = torch.Generator().manual_seed(2)
    levels = {n: torch.rand(len(k), dtype=torch.float64, generator=stream) + 0.5 for n, k in keep.items()}
    gates, others = ({n: (keep[n] * level).requires_grad_() for n, level in levels.items()} for _ in range(2))

    with channel_gates(gated, groups, others):
        expected = gated(images)
    found = cropped_forward(cropped, groups, gates, images)
    torch.testing.assert_close(found, expected)

    expected.square().sum().backward()
    found.square().sum().backward()
    for (parameter, other), named in zip(
        zip(cropped.parameters(), gated.parameters(), strict=True), dict(cropped.named_parameters()), strict=True
    ):
        torch.testing.assert_close(parameter.grad, other.grad, msg=named)
    for group in groups:
        kept = keep[group.name]
        torch.testing.assert_close(gates[group.name].grad, others[group.name].grad)
        assert not gates[group.name].grad[~kept].any()
        for statistic in (f"{norm}.{part}" for norm in group.norms for part in ("running_mean", "running_var")):
            torch.testing.assert_close(cropped.get_buffer(statistic)[kept], gated.get_buffer(statistic)[kept])


@pytest.mark.parametrize("name", NETWORKS)
def test_masks_of_bools_are_gates_of_zero_and_one(name):
    network = lively(name, width=0.5).eval()
    groups = channel_groups(network, 16)
    keep = {group.name: torch.arange(group.width) % 3 == 0 for group in groups}
    images = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        found = cropped_forward(network, groups, keep, images)
        assert torch.equal(found, cropped_forward(network, groups, {n: k.float() for n, k in keep.items()}, images))
