"""What a job and its method see of a target: images and labels on one device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Split:
    """Images, uint8 (N, 3, H, W), and labels, int64 (N,), on one device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Task:
    """What a method may see of a target: training and validation images, never the test split.

    `mean` and `std` are the per-channel statistics, in [0, 1], that normalise its images.
    """

    train: Split
    validation: Split
    classes: int
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
