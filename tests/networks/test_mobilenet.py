"""MobileNetV2 against torchvision's, and its depthwise convolutions against sums over unfolded images."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stampbench.networks.initial import build


def convolutions(network: nn.Module) -> list[tuple[int, ...]]:
    return [
        (m.in_channels, m.out_channels, *m.kernel_size, m.groups) for m in network.modules() if type(m) is nn.Conv2d
    ]


def test_it_has_torchvisions_convolutions_and_an_expansion_in_the_first_block():
    from torchvision.models import mobilenet_v2

    with torch.device("meta"):
        theirs = mobilenet_v2(num_classes=10)
    ours = build("mobilenetv2", 10, 1.0)
    expansion = (32, 32, 1, 1, 1)
    assert convolutions(ours)[1] == expansion
    assert convolutions(ours)[:1] + convolutions(ours)[2:] == convolutions(theirs)
    weights, norms = 32 * 32, 2 * 32
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters()) + weights + norms


def test_blocks_of_stride_1_and_equal_widths_are_residual_and_32_pixels_become_4():
    network = build("mobilenetv2", 10, 0.25)
    blocks = [block for stage in network.stages for block in stage]
    equal = [b.depthwise.stride == (1, 1) and b.expand.in_channels == b.project.out_channels for b in blocks]
    assert [block.residual for block in blocks] == equal
    assert sum(equal) == 10
    sizes = []
    network.pool.register_forward_hook(lambda _module, inputs, _output: sizes.append(inputs[0].shape[2:]))
    network(torch.zeros(1, 3, 32, 32))
    assert sizes == [(4, 4)]


@pytest.mark.parametrize("channels", [1, 3, 33, 144])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [2, 8, 9])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_depthwise_convolutions_and_their_gradients_are_right_here(channels, stride, size, memory_format):
    """Strided 1×1 convolutions are not, on the CPU; see `stampbench.networks.resnet.Shortcut`."""
    stream = torch.Generator().manual_seed(channels)
    images = torch.randn(7, channels, size, size, generator=stream)
    weight = torch.randn(channels, 1, 3, 3, generator=stream)
    out = (size - 1) // stride + 1
    upstream = torch.randn(7, channels, out, out, generator=stream)
    placed = [tensor.to(memory_format=memory_format).requires_grad_() for tensor in (images, weight)]
    found = F.conv2d(*placed, stride=stride, padding=1, groups=channels)
    exact = [tensor.double().requires_grad_() for tensor in (images, weight)]
    windows = F.unfold(exact[0], 3, padding=1, stride=stride).view(7, channels, 9, out * out)
    expected = (windows * exact[1].view(1, channels, 9, 1)).sum(2).view(7, channels, out, out)
    pairs = [(found, expected)]
    pairs += zip(
        torch.autograd.grad(found, placed, upstream),
        torch.autograd.grad(expected, exact, upstream.double()),
        strict=True,
    )
    for ours, theirs in pairs:
        torch.testing.assert_close(ours.double(), theirs, rtol=1e-4, atol=1e-4)
