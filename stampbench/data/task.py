"""The images and labels of a target that a job and its method use, on one device."""

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
        """Return the number of images."""
        return len(self.labels)


@dataclass(frozen=True)
class Task:
    """The part of a target that a method may see: training and validation images, never the test split.

    `mean` and `std` are the per-channel statistics, in [0, 1], that normalise its images.
    """

    train: Split
    validation: Split
    classes: int
    input_size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
