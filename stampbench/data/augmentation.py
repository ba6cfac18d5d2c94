"""Random crops and flips of a whole epoch in a few tensor operations on the device, with one draw per image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

AREA = (0.5, 1.0)
RATIO = (3 / 4, 4 / 3)
_CHUNK = 1024


@dataclass(frozen=True)
class Augmentation:
    """The augmentation of training images: `crop` "pad" crops after zero padding, "resized" resizes a random part.

    The result has `size` × `size` pixels. A draw is one row of a tensor: for "pad" it holds the integers row offset,
    column offset and flip; for "resized" area, ratio, row, column and flip, uniform in [0, 1).
    """

    crop: str
    size: int
    flip: bool

    @property
    def padding(self) -> int:
        """The zero pixels on each side before a "pad" crop: 4 at 32×32."""
        return self.size // 8

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Return one draw for each of `count` images, on the CPU: int64 (count, 3) or float32 (count, 5)."""
        if self.crop == "resized":
            return torch.rand(count, 5, generator=generator)
        offsets = torch.randint(2 * self.padding + 1, (count, 2), generator=generator)
        flips = torch.randint(2, (count, 1), generator=generator)
        return torch.cat([offsets, flips], dim=1)

    def apply(self, images: Tensor, draws: Tensor) -> Tensor:
        """Augment uint8 images (N, 3, H, W) to uint8 (N, 3, size, size): image i by row i of `draws`, on one device."""
        if self.crop == "pad":
            return self._padded_crop(images, draws)
        parts = zip(torch.split(images, _CHUNK), torch.split(draws, _CHUNK), strict=True)
        return torch.cat([self._resized_crop(*part) for part in parts])

    def _padded_crop(self, images: Tensor, draws: Tensor) -> Tensor:
        padded = F.pad(images, [self.padding] * 4)
        windows = padded.unfold(2, self.size, 1).unfold(3, self.size, 1)
        rows, columns, flips = draws.unbind(1)
        crops = windows[torch.arange(len(images), device=images.device), :, rows, columns]
        if not self.flip:
            return crops
        return torch.where(flips.bool()[:, None, None, None], crops.flip(3), crops)

    def _resized_crop(self, images: Tensor, draws: Tensor) -> Tensor:
        """Crop as Inception does (Szegedy et al. 2015), bilinearly; a side longer than the image is cut to it."""
        area = AREA[0] + (AREA[1] - AREA[0]) * draws[:, 0]
        low, high = math.log(RATIO[0]), math.log(RATIO[1])
        ratio = torch.exp(low + (high - low) * draws[:, 1])
        height, width = (area / ratio).sqrt().clamp(max=1), (area * ratio).sqrt().clamp(max=1)
        centre_y = (2 * draws[:, 2] - 1) * (1 - height)
        centre_x = (2 * draws[:, 3] - 1) * (1 - width)
        if self.flip:
            width = torch.where(draws[:, 4] < 0.5, -width, width)
        zero = torch.zeros_like(width)
        theta = torch.stack([width, zero, centre_x, zero, height, centre_y], dim=1).view(-1, 2, 3)
        grid = F.affine_grid(theta, [len(images), 3, self.size, self.size], align_corners=False)
        sampled = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
        return sampled.round().clamp(0, 255).to(torch.uint8)


def resize(images: Tensor, size: int) -> Tensor:
    """Resize uint8 images (N, 3, H, W) to (N, 3, size, size), antialiased bilinear; return those of that size as is."""
    if images.shape[-2:] == (size, size):
        return images
    resized = F.interpolate(images.float(), size=(size, size), mode="bilinear", antialias=True)
    return resized.round().clamp(0, 255).to(torch.uint8)


def channel_affine(mean: Sequence[float], std: Sequence[float], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return scale and shift, float32 (1, 3, 1, 1) each, that map a byte x to (x / 255 - mean) / std.

    A channel that is the same everywhere has a std of 0 and is only centred.
    """
    std = [s or 1.0 for s in std]
    scale = torch.tensor([1 / (255 * s) for s in std], device=device)
    shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=device)
    return scale.view(1, -1, 1, 1), shift.view(1, -1, 1, 1)


def scale_and_shift(images: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """Return uint8 images (N, 3, H, W) as float32 in channels-last order: scale · x + shift."""
    return images.to(torch.float32, memory_format=torch.channels_last).mul_(scale).add_(shift)


def normalise(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Return uint8 images (N, 3, H, W) as float32 in channels-last order: (x / 255 - mean) / std for each channel."""
    return scale_and_shift(images, *channel_affine(mean, std, images.device))
