"""VGG-19 with batch norm, global average pooling and one linear head (Simonyan and Zisserman, arXiv 1409.1556)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from torch import Tensor, nn

from stampbench.networks.contract import Network, scaled

STAGES = ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4)


class VGG(Network):
    """Convolution, batch norm, ReLU sixteen times, max-pooled between stages. Input (N, 3, H, W), H = W ≥ 16."""

    def __init__(self, classes: int, width: float, widths: Mapping[str, int] | None = None) -> None:
        super().__init__()
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        channels, index = 3, 0
        for stage, base_widths in enumerate(STAGES, start=1):
            for base in base_widths:
                index += 1
                out = scaled(base, width) if widths is None else widths[f"features.conv{index}"]
                layers[f"conv{index}"] = nn.Conv2d(channels, out, 3, padding=1, bias=False)
                layers[f"norm{index}"] = nn.BatchNorm2d(out)
                layers[f"relu{index}"] = nn.ReLU(inplace=True)
                channels = out
            if stage < len(STAGES):
                layers[f"pool{stage}"] = nn.MaxPool2d(2)
        self.features = nn.Sequential(layers)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (N, classes)."""
        logits: Tensor = self.head(self.pool(self.features(images)).flatten(1))
        return logits


def vgg19(classes: int, width: float = 1.0, widths: Mapping[str, int] | None = None) -> VGG:
    """VGG-19; `widths` gives every group's width and overrides the multiplier. Raises KeyError if one is missing."""
    return VGG(classes, width, widths)
