"""The sets that the generator reads: images of the target, noise, or images of another dataset."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from stampbench.contract import Artefact, Context, Task
from stampbench.data.augmentation import normalise, resize

SET = 64
# Normalised float32 images (n, 3, H, W) and their int64 labels (n,).
LabelledSet = tuple[Tensor, Tensor]


def draw_sets(task: Task, count: int, context: Context) -> list[LabelledSet]:
    """Return at most `count` disjoint sets of 64 training images, or one smaller set if there are fewer images."""
    train = task.train
    order = torch.randperm(len(train), generator=context.generator("stamp/set")).to(train.labels.device)
    whole = [drawn for drawn in order[: count * SET].split(SET) if len(drawn) == min(SET, len(order))]
    return [
        (normalise(resize(train.images[drawn], task.input_size), task.mean, task.std), train.labels[drawn])
        for drawn in whole
    ]


def noise_sets(task: Task, count: int, context: Context) -> list[LabelledSet]:
    """Return sets of standard normal pixels with the target's labels."""
    stream = context.generator("stamp/noise-set")
    sets = draw_sets(task, count, context)
    return [(torch.randn(images.shape, generator=stream).to(images), labels) for images, labels in sets]


def packed_sets(sets: Sequence[LabelledSet]) -> Artefact:
    """Return sets as an artefact, for a job on another target."""
    tensors = {f"images.{index}": images for index, (images, _) in enumerate(sets)}
    return Artefact(tensors | {f"labels.{index}": labels for index, (_, labels) in enumerate(sets)}, 0.0)


def unpacked_sets(made: Artefact, task: Task, context: Context) -> list[LabelledSet]:
    """Return the sets of an artefact of `packed_sets`, at this target's image size."""
    sets = []
    for index in range(len(made.tensors) // 2):
        images, labels = (made.tensors[f"{what}.{index}"].to(context.device) for what in ("images", "labels"))
        sized = images if images.shape[-1] == task.input_size else F.interpolate(images, size=task.input_size)
        sets.append((sized, labels))
    return sets
