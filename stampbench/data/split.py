"""The images that a job trains on, validates on, and is tested on."""

from __future__ import annotations

import torch

from stampbench import seeding
from stampbench.data.catalogue import Dataset
from stampbench.data.packed import PackedDataset
from stampbench.data.task import Split, Task
from stampbench.errors import DataError


def make_task(
    packed: PackedDataset,
    dataset: Dataset,
    train_images: int | None,
    validation_images: int,
    seed: int,
    device: torch.device | str,
) -> tuple[Task, str]:
    """Draw a task from the training split by the stream ("split", dataset, seed), and put it on the device.

    `train_images` counts the validation images too; None means all. Returns the task, with images at the packed size,
    and the digest of the drawn rows. Raises `DataError` if there are fewer images, or no training image is left.
    """
    available = len(packed.train)
    total = available if train_images is None else train_images
    name = packed.manifest.display_name
    if total > available:
        raise DataError(f"{name} has {available} training images, but {total} are asked for; lower train_images")
    if not 0 <= validation_images < total:
        raise DataError(
            f"{validation_images} validation images of {total} training images of {name} leave none "
            "to train on; lower validation_images"
        )
    drawn = drawn_rows(packed, dataset, train_images, seed)
    if not packed.holds(drawn):
        raise DataError(
            f"only a part of {name} is packed here, for other jobs; pack it for these jobs where all of it is"
        )
    validation, train = drawn[:validation_images], drawn[validation_images:]
    task = Task(
        train=_take(packed.train, train, device),
        validation=_take(packed.train, validation, device),
        classes=packed.manifest.classes,
        input_size=dataset.input_size,
        mean=packed.manifest.mean,
        std=packed.manifest.std,
    )
    return task, seeding.digest_of(train, validation)


def drawn_rows(packed: PackedDataset, dataset: Dataset, train_images: int | None, seed: int) -> torch.Tensor:
    """Return the rows of the training split that a task of this size and seed draws, int64, validation rows first."""
    stream = seeding.generator("split", dataset.name, seed)
    return torch.randperm(len(packed.train), generator=stream)[:train_images]


def test_split(packed: PackedDataset, device: torch.device | str) -> Split:
    """Return all test images, on the device."""
    return Split(packed.test.images.to(device), packed.test.labels.to(device))


def _take(split: Split, indices: torch.Tensor, device: torch.device | str) -> Split:
    return Split(split.images[indices].to(device), split.labels[indices].to(device))
