"""Networks with non-trivial batch norms, and random plans for them."""

import torch
from hypothesis import strategies as st
from torch import nn

from stampbench import registry
from stampbench.networks.initial import build, initialise
from stampbench.pruning.groups import Group

NETWORKS = sorted(registry.NETWORKS.targets())


def lively(name: str, seed: int = 0, width: float = 0.125) -> nn.Module:
    """A small network whose norms, biases and head all matter to the output."""
    network = build(name, 10, width)
    stream = torch.Generator().manual_seed(seed)
    initialise(network, stream, stream)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor, low, high in (
                    (module.weight, 0.5, 1.5),
                    (module.bias, -0.5, 0.5),
                    (module.running_mean, -0.5, 0.5),
                    (module.running_var, 0.5, 1.5),
                ):
                    tensor.uniform_(low, high, generator=stream)
        network.head.weight.normal_(std=1.0, generator=stream)
    return network


@st.composite
def keeps(draw, groups: tuple[Group, ...]) -> dict[str, torch.Tensor]:
    """For each group, channels to keep: at least one."""
    stream = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    shares = draw(st.lists(st.floats(0, 1), min_size=len(groups), max_size=len(groups)))
    plan = {}
    for group, share in zip(groups, shares, strict=True):
        keep = torch.rand(group.width, generator=stream) < share
        keep[torch.randint(group.width, (), generator=stream)] = True
        plan[group.name] = keep
    return plan
