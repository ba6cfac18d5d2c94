"""MobileNetV2 for small images (Sandler et al., arXiv 1801.04381), in the form that pruning papers use on CIFAR."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from stampbench.networks.contract import Network, scaled

STEM, LAST = 32, 1280
# Expansion, output width, blocks, stride of the first block.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class InvertedResidual(nn.Module):
    """Expand by a 1×1 convolution, filter depthwise by a 3×3 one, project by a 1×1 one without ReLU behind it.

    The input is added where the stride is 1 and input and output have one width (Sandler et al., figure 4d).
    """

    def __init__(self, channels: int, hidden: int, out: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.residual = residual
        self.expand = nn.Conv2d(channels, hidden, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(hidden)
        self.depthwise = nn.Conv2d(hidden, hidden, 3, stride=stride, padding=1, groups=hidden, bias=False)
        self.norm2 = nn.BatchNorm2d(hidden)
        self.project = nn.Conv2d(hidden, out, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, H / stride, W / stride)."""
        hidden = F.relu(self.norm1(self.expand(images)), inplace=True)
        hidden = F.relu(self.norm2(self.depthwise(hidden)), inplace=True)
        projected: Tensor = self.norm3(self.project(hidden))
        return projected + images if self.residual else projected


class MobileNetV2(Network):
    """Inverted residuals in seven stages. Input (N, 3, H, W), H = W ≥ 8.

    The form is that of kuangliu/pytorch-cifar (models/mobilenetv2.py): the stem and the second stage have stride 1,
    ReLU takes the place of ReLU6, and the first block has an expansion, by 1. Shortcuts are the paper's alone: at
    stride 1 and equal widths, without that file's 1×1 convolutions. The multiplier scales every width, that of the
    last convolution too.
    """

    def __init__(self, classes: int, width: float, widths: Mapping[str, int] | None = None) -> None:
        super().__init__()

        def size(group: str, dense: int) -> int:
            return dense if widths is None else widths[group]

        channels = size("stem", scaled(STEM, width))
        self.stem = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        dense = scaled(STEM, width)
        stages = []
        for stage, (expansion, base, count, stride) in enumerate(STAGES):
            blocks: list[nn.Module] = []
            for index in range(count):
                name = f"stages.{stage}.{index}"
                hidden = size(f"{name}.expand", expansion * dense)
                dense = scaled(base, width)
                # All blocks of a stage add to the first one's output, so they share its group.
                out = channels if index else size(f"{name}.project", dense)
                blocks.append(InvertedResidual(channels, hidden, out, 1 if index else stride, residual=index > 0))
                channels = out
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        last = size("last", scaled(LAST, width))
        self.last = nn.Conv2d(channels, last, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(last)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(last, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        hidden = F.relu(self.norm1(self.stem(images)), inplace=True)
        hidden = F.relu(self.norm2(self.last(self.stages(hidden))), inplace=True)
        logits: Tensor = self.head(self.pool(hidden).flatten(1))
        return logits


def mobilenetv2(classes: int, width: float = 1.0, widths: Mapping[str, int] | None = None) -> MobileNetV2:
    """MobileNetV2; `widths` gives every group's width and overrides `width`. Raises KeyError if one is missing."""
    return MobileNetV2(classes, width, widths)
