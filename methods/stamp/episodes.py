"""Episodes are subsets of the reference dataset that differ in classes and image domain (docs/design.md, section 7)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from stampbench.contract import Split, Task

LEAST_CLASSES, MOST_CLASSES = 5, 100
LEAST_KEEP = 1 / 32
MOVED = 0.25
HELD_OUT = 0.1


@dataclass(frozen=True)
class Episode:
    """A subset of the reference dataset.

    `task.train` holds its images, `classes` its classes in ascending order. `keep` is the share of MACs to keep, and
    `domain` the image domain, a key of `DOMAINS`.
    """

    task: Task
    classes: Tensor
    keep: float
    domain: str

    def positions(self, labels: Tensor) -> Tensor:
        """Return labels of the reference dataset as indices into `classes`."""
        return torch.searchsorted(self.classes, labels)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy of logits (n, all reference classes), restricted to the episode's classes."""
        return F.cross_entropy(logits[:, self.classes], self.positions(labels))


class Episodes:
    """A source of episodes from a part of the classes.

    `neighbours` (classes, classes) lists for each class all classes, the nearest first. Episodes are drawn from
    `classes` (n,).
    """

    def __init__(self, task: Task, neighbours: Tensor, classes: Tensor) -> None:
        self._task, self._classes = task, classes
        ranked = neighbours[classes]
        self._neighbours = ranked[torch.isin(ranked, classes)].view(len(classes), len(classes))
        self._by_class = [(task.train.labels == label).nonzero().flatten() for label in range(task.classes)]

    def draw(self, images: int, stream: torch.Generator) -> Episode:
        """Return an episode of at most `images` images, drawn without replacement from its classes.

        The number of classes and the share of MACs are log-uniform. The classes are random or the neighbours of one
        class. In a quarter of the episodes the images are moved to another domain.
        """
        chance = torch.rand(4, generator=stream).tolist()
        most = min(MOST_CLASSES, len(self._classes))
        least = min(LEAST_CLASSES, most)
        count = round(least * (most / least) ** chance[0])
        if chance[1] < 0.5:
            classes = self._classes[torch.randperm(len(self._classes), generator=stream)[:count]]
        else:
            anchor = int(torch.randint(len(self._classes), (), generator=stream))
            classes = self._neighbours[anchor, :count]
        names = list(DOMAINS)
        drawn = names[int(torch.randint(len(names), (), generator=stream))]
        domain = drawn if chance[2] < MOVED else "plain"
        pool = torch.cat([self._by_class[label] for label in classes.tolist()])
        chosen = pool[torch.randperm(len(pool), generator=stream)[:images].to(pool.device)]
        train = self._task.train
        moved = Split(DOMAINS[domain](train.images[chosen]), train.labels[chosen])
        subset = Task(moved, moved, self._task.classes, self._task.input_size, self._task.mean, self._task.std)
        keep = math.exp(math.log(LEAST_KEEP) * chance[3])
        return Episode(subset, classes.sort().values.to(pool.device), keep, domain)


def parted_classes(present: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return classes to meta-train on and held-out ones: a tenth, at least one. A lone class is in both."""
    held_out = max(1, round(HELD_OUT * len(present)))
    order = present[torch.randperm(len(present), generator=stream)]
    return order[held_out:] if len(present) > 1 else order, order[:held_out]


def nearest_classes(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Return for each class all classes by distance between mean features (n, d): itself first, (classes, classes)."""
    means = torch.zeros(classes, features.shape[1]).index_add(0, labels, features)
    means /= torch.bincount(labels, minlength=classes).clamp_min(1)[:, None]
    return torch.cdist(means, means).argsort(dim=1, stable=True)


def _bytes(images: Tensor) -> Tensor:
    return images.round().clamp(0, 255).to(torch.uint8)


def _blurred(images: Tensor) -> Tensor:
    return F.avg_pool2d(images.float(), 5, stride=1, padding=2, count_include_pad=False)


def _grey(images: Tensor) -> Tensor:
    return _bytes(images.float().mean(1, keepdim=True).expand(-1, 3, -1, -1))


def _edges(images: Tensor) -> Tensor:
    grey = images.float().mean(1, keepdim=True)
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    across = padded[:, :, 1:-1, 2:] - padded[:, :, 1:-1, :-2]
    down = padded[:, :, 2:, 1:-1] - padded[:, :, :-2, 1:-1]
    return _bytes((across.square() + down.square()).sqrt().expand(-1, 3, -1, -1))


def _zoomed(images: Tensor) -> Tensor:
    quarter = images.shape[-1] // 4
    middle = images[:, :, quarter : images.shape[-2] - quarter, quarter : images.shape[-1] - quarter]
    return _bytes(F.interpolate(middle.float(), size=images.shape[-2:], mode="bilinear", align_corners=False))


# Functions from uint8 images (n, 3, H, W) to the same; the first leaves the reference's images unchanged.
DOMAINS: dict[str, Callable[[Tensor], Tensor]] = {
    "plain": lambda images: images,
    "grey": _grey,
    "inverted": lambda images: 255 - images,
    "colours swapped": lambda images: images.roll(1, dims=1),
    "blurred": lambda images: _bytes(_blurred(images)),
    "high-pass": lambda images: _bytes(images.float() - _blurred(images) + 128),
    "edges": _edges,
    "zoomed": _zoomed,
}
