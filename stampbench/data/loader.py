"""Batches of a split that is kept on the device, so that no workers and no copies from the host are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from stampbench.data.augmentation import Augmentation, channel_affine, resize, scale_and_shift
from stampbench.data.catalogue import Dataset
from stampbench.data.task import Split, Task
from stampbench.seeding import Digest

Batch = tuple[Tensor, Tensor]


class EpochLoader:
    """A loader of shuffled, augmented, normalised training batches that digests every permutation and draw.

    The last partial batch of an epoch is dropped if there is a full one.
    """

    def __init__(
        self,
        split: Split,
        dataset: Dataset,
        mean: Sequence[float],
        std: Sequence[float],
        batch_size: int,
        order: torch.Generator,
        draws: torch.Generator,
    ) -> None:
        """Load from `split`; `order` and `draws` are CPU generators, so that every device sees the same draws."""
        self._split = split
        self._augmentation = Augmentation(dataset.crop, dataset.input_size, dataset.flip)
        # Made only once, because every copy to the device would make a step wait.
        self._affine = channel_affine(mean, std, split.images.device)
        self._batch_size = batch_size
        self._order, self._draws = order, draws
        self.order_digest, self.augmentation_digest = Digest(), Digest()

    @property
    def image_size(self) -> int:
        """The number of pixels along a side of the images in a batch."""
        return self._augmentation.size

    @property
    def batch_size(self) -> int:
        """The number of images in a batch: as many as asked for or, if the split has fewer, all of them."""
        return min(self._batch_size, len(self._split))

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        return max(1, len(self._split) // self._batch_size)

    def epoch(self) -> Iterator[Batch]:
        """Yield the batches of one epoch: images float32 (B, 3, size, size) channels last, labels int64 (B,)."""
        images, labels = self._shuffled()
        for part, target in _batches(images, labels, self._batch_size):
            yield scale_and_shift(part, *self._affine), target

    def skip(self, epochs: int) -> None:
        """Draw what some epochs draw, without their batches, to go on where an interrupted training stopped."""
        for _ in range(epochs):
            self._drawn()

    def digests(self) -> dict[str, str]:
        """Return the digests so far, 16 hexadecimal digits each, of the batch order and the augmentation draws."""
        return {"batch_order": self.order_digest.hex(), "augmentation": self.augmentation_digest.hex()}

    def _drawn(self) -> tuple[Tensor, Tensor]:
        order = torch.randperm(len(self._split), generator=self._order)
        draws = self._augmentation.draw(len(self._split), self._draws)
        self.order_digest.add(order)
        self.augmentation_digest.add(draws)
        return order, draws

    def _shuffled(self) -> Batch:
        count, device = len(self._split), self._split.images.device
        order, draws = self._drawn()
        used = order[: min(count, len(self) * self._batch_size)].to(device)
        images = self._augmentation.apply(self._split.images[used], draws.to(device)[used])
        return images, self._split.labels[used]


def training_batches(
    task: Task, dataset: Dataset, batch_size: int, stream: Callable[[str], torch.Generator]
) -> EpochLoader:
    """Return the loader of a task; `stream` gives its generators for "batch-order" and "augmentation"."""
    order, draws = stream("batch-order"), stream("augmentation")
    return EpochLoader(task.train, dataset, task.mean, task.std, batch_size, order, draws)


def evaluation_batches(
    split: Split, dataset: Dataset, mean: Sequence[float], std: Sequence[float], batch_size: int
) -> Iterator[Batch]:
    """Yield all images in order, resized to the input size, in batches like those of `EpochLoader.epoch`."""
    affine = channel_affine(mean, std, split.images.device)
    for images, labels in _batches(split.images, split.labels, batch_size):
        yield scale_and_shift(resize(images, dataset.input_size), *affine), labels


def _batches(images: Tensor, labels: Tensor, size: int) -> Iterator[Batch]:
    return zip(torch.split(images, size), torch.split(labels, size), strict=True)
