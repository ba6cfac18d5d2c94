"""Training as tutorials write it: DataLoader with workers, torchvision transforms, fp32, the loss read each step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from stampbench.contract import Task

WORKERS = 2


class Photographs(Dataset[tuple[Tensor, int]]):
    """Images as torchvision's CIFAR-10 keeps them, a transform run on each."""

    def __init__(self, task: Task) -> None:
        self._pixels = np.ascontiguousarray(task.train.images.permute(0, 2, 3, 1).numpy())
        self._labels = task.train.labels.tolist()
        self._transform = transforms.Compose(
            [
                transforms.RandomCrop(task.input_size, padding=task.input_size // 8),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(task.mean, task.std),
            ]
        )

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._transform(Image.fromarray(self._pixels[index])), self._labels[index]


def epochs(network: nn.Module, task: Task, batch_size: int) -> Callable[[], float]:
    """A function that trains for one epoch and returns the mean loss. Its workers stay alive between epochs."""
    loader = DataLoader(
        Photographs(task), batch_size, shuffle=True, num_workers=WORKERS, drop_last=True, persistent_workers=True
    )
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
    network.train()

    def epoch() -> float:
        total = 0.0
        for images, labels in loader:
            optimizer.zero_grad()
            loss = criterion(network(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item()
        return total / len(loader)

    return epoch
