"""ResNet-18 with a CIFAR stem (3×3, stride 1, no pooling) (He et al., arXiv 1512.03385)."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional as F

from stampbench.networks.contract import Network, scaled

STAGES = (64, 128, 256, 512)
BLOCKS_PER_STAGE = 2


class Shortcut(nn.Module):
    """The projection of a block that changes the width or the resolution: a 1×1 convolution with that stride."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(channels, out, 1, bias=False)
        self.norm = nn.BatchNorm2d(out)

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, H / stride, W / stride)."""
        # Strided here, as oneDNN's strided 1×1 convolution corrupts the heap in its backward pass (torch 2.15, CPU).
        projected: Tensor = self.norm(self.conv(images[:, :, :: self.stride, :: self.stride]))
        return projected


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with batch norm, added to the shortcut, then ReLU."""

    def __init__(self, channels: int, middle: int, out: int, stride: int, project: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, middle, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.shortcut = Shortcut(channels, out, stride) if project else nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """(N, C, H, W) to (N, out, H / stride, W / stride)."""
        hidden = F.relu(self.norm1(self.conv1(images)), inplace=True)
        return F.relu(self.norm2(self.conv2(hidden)) + self.shortcut(images))


class ResNet(Network):
    """Basic blocks in four stages. Input (N, 3, H, W), H = W ≥ 8."""

    def __init__(self, classes: int, width: float, widths: Mapping[str, int] | None = None) -> None:
        super().__init__()

        def size(group: str, base: int) -> int:
            return scaled(base, width) if widths is None else widths[group]

        channels = size("conv1", STAGES[0])
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        stages = []
        for stage, base in enumerate(STAGES):
            # Stage 0 adds to the stem's output, so it shares the stem's group.
            out = channels if stage == 0 else size(f"stages.{stage}.0.conv2", base)
            blocks = []
            for index in range(BLOCKS_PER_STAGE):
                middle = size(f"stages.{stage}.{index}.conv1", base)
                project = stage > 0 and index == 0
                blocks.append(BasicBlock(channels, middle, out, 2 if project else 1, project))
                channels = out
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        hidden = F.relu(self.norm1(self.conv1(images)), inplace=True)
        logits: Tensor = self.head(self.pool(self.stages(hidden)).flatten(1))
        return logits


def resnet18(classes: int, width: float = 1.0, widths: Mapping[str, int] | None = None) -> ResNet:
    """ResNet-18; `widths` gives every group's width and overrides the multiplier. Raises KeyError if one is missing."""
    return ResNet(classes, width, widths)
