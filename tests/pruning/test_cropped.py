"""A cropped pass leaves out what is gated; that it equals the gated one is in the conformance suite."""

import pytest
import torch
from torch import nn

from stampbench.pruning.cropped import cropped_forward
from stampbench.pruning.groups import channel_groups
from tests.fixtures.small_networks import Separable
from tests.fixtures.strategies import NETWORKS, lively

IMAGES = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", NETWORKS)
def test_masks_of_bools_are_gates_of_zero_and_one(name):
    network = lively(name, width=0.5).eval()
    groups = channel_groups(network, 16)
    keep = {group.name: torch.arange(group.width) % 3 == 0 for group in groups}
    with torch.no_grad():
        found = cropped_forward(network, groups, keep, IMAGES)
        assert torch.equal(found, cropped_forward(network, groups, {n: k.float() for n, k in keep.items()}, IMAGES))


class Linear(Separable):
    """No ReLU between the pointwise batch norm and the head."""

    def forward(self, images):
        hidden = self.active(self.norm2(self.deep1(self.active(self.norm1(self.stem(images))))))
        return self.head(self.pool(self.norm4(self.deep2(self.norm3(self.point(hidden))))))


def channels_run(network: nn.Module, gates: dict[str, torch.Tensor], layer: str) -> int:
    seen = []
    hook = network.get_submodule(layer).register_forward_hook(lambda _m, _i, output: seen.append(output.shape[1]))
    cropped_forward(network, channel_groups(network, 16), gates, IMAGES)
    hook.remove()
    return seen[-1]


def test_a_group_is_whole_where_a_zero_gate_has_a_gradient():
    network = Linear(4, 2.0)
    network.initialise_body(torch.Generator().manual_seed(0))
    assert {g.name: g.rectified for g in channel_groups(network, 16)} == {"stem": True, "point": False}
    masks = {"stem": torch.arange(64) < 10, "point": torch.arange(96) < 10}
    gates = {name: mask.float().requires_grad_() for name, mask in masks.items()}
    assert [channels_run(network, masks, layer) for layer in ("deep1", "deep2")] == [16, 16]
    assert [channels_run(network, gates, layer) for layer in ("deep1", "deep2")] == [16, 96]
    assert (network.deep1.groups, network.deep2.groups) == (64, 96)
