"""Shapes and initial weights of the networks, against torchvision's and He et al.'s."""

import pytest
import torch
from torch import nn

from stampbench.networks.initial import build, initialise
from stampbench.networks.resnet import Shortcut
from tests.fixtures.strategies import NETWORKS


def made(name: str, classes: int = 10, width: float = 1.0, widths=None, seed: int = 0) -> nn.Module:
    network = build(name, classes, width, widths)
    initialise(network, torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed + 1))
    return network


def convolutions(network: nn.Module) -> list[tuple[int, int, tuple[int, int], tuple[int, int]]]:
    return [
        (m.in_channels, m.out_channels, m.kernel_size, m.stride) for m in network.modules() if isinstance(m, nn.Conv2d)
    ]


def test_vgg19_has_torchvisions_convolutions():
    from torchvision.models import vgg19_bn

    with torch.device("meta"):
        theirs = vgg19_bn()
    assert convolutions(made("vgg19")) == convolutions(theirs)


def test_resnet18_has_torchvisions_convolutions_but_for_the_stem():
    from torchvision.models import resnet18

    with torch.device("meta"):
        theirs = resnet18()
    ours = convolutions(made("resnet18"))
    assert ours[0] == (3, 64, (3, 3), (1, 1))
    # Shortcuts take their stride before the convolution.
    expected = [(i, o, k, (1, 1) if k == (1, 1) else s) for i, o, k, s in convolutions(theirs)[1:]]
    assert sorted(ours[1:]) == sorted(expected)


def test_a_shortcut_is_a_strided_convolution():
    shortcut = Shortcut(5, 7, 2)
    shortcut.norm.eval()
    images = torch.randn(3, 5, 9, 9)
    expected = shortcut.norm(torch.nn.functional.conv2d(images, shortcut.conv.weight, stride=2))
    torch.testing.assert_close(shortcut(images), expected)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [16, 32, 64])
def test_logits_for_every_input_size(name, size):
    network = made(name, classes=7, width=0.125).eval()
    assert network(torch.randn(3, 3, size, size)).shape == (3, 7)


def test_a_missing_width_is_refused():
    with pytest.raises(KeyError, match=r"conv2"):
        build("vgg19", 10, 1.0, {"features.conv1": 8})


@pytest.mark.parametrize("name", NETWORKS)
def test_initial_weights_follow_kaiming_and_their_streams(name):
    network = made(name, width=0.5)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 4_000:
            fan_out = module.out_channels // module.groups * module.kernel_size[0] * module.kernel_size[1]
            assert module.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)
    again, other = made(name, width=0.5), made(name, width=0.5, seed=5)
    assert all(torch.equal(a, b) for a, b in zip(network.parameters(), again.parameters(), strict=True))
    assert not torch.equal(network.head.weight, other.head.weight)
