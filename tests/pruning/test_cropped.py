"""The cropped forward pass is the gated one: outputs, gradients, batch norm's statistics."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stampbench.pruning.cropped import cropped_forward
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.masks import channel_gates
from tests.pruning.strategies import NETWORKS, keeps, lively


@pytest.mark.parametrize("name", NETWORKS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_cropped_and_gated_passes_agree(name, data):
    cropped = lively(name, seed=data.draw(st.integers(0, 99))).double().train(data.draw(st.booleans()))
    gated = copy.deepcopy(cropped)
    groups = channel_groups(cropped, 16)
    keep = data.draw(keeps(groups))
    images = torch.randn(6, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with channel_gates(gated, groups, {n: k.double() for n, k in keep.items()}):
        expected = gated(images)
    found = cropped_forward(cropped, groups, keep, images)
    torch.testing.assert_close(found, expected)

    expected.square().sum().backward()
    found.square().sum().backward()
    for (parameter, other), named in zip(
        zip(cropped.parameters(), gated.parameters(), strict=True), dict(cropped.named_parameters()), strict=True
    ):
        torch.testing.assert_close(parameter.grad, other.grad, msg=named)
    for group in groups:
        kept = keep[group.name]
        for statistic in (f"{norm}.{part}" for norm in group.norms for part in ("running_mean", "running_var")):
            torch.testing.assert_close(cropped.get_buffer(statistic)[kept], gated.get_buffer(statistic)[kept])
