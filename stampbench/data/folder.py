"""The user's own image folder tree: `train/<class>/*` and `test/<class>/*`."""

from __future__ import annotations

from pathlib import Path

from stampbench.data.catalogue import Dataset
from stampbench.data.decode import collect
from stampbench.data.task import Split
from stampbench.errors import DataError


def has_tree(root: Path) -> bool:
    """Return whether the folder has a `train` and a `test` folder."""
    return (root / "train").is_dir() and (root / "test").is_dir()


def read_tree(root: Path, dataset: Dataset) -> tuple[Split, Split]:
    """Read both splits; a label is the rank of the class folder's name among all names.

    Raises `DataError` for a class without images, for classes not in both splits, and for an undecodable image.
    """
    from torchvision.datasets import ImageFolder

    found = []
    for name in ("train", "test"):
        try:
            found.append(ImageFolder(str(root / name)))
        except FileNotFoundError as error:
            raise DataError(f"{root / name}: {error}; put images there as {name}/<class>/<image>.png") from error
    train, test = found
    if train.classes != test.classes:
        differing = sorted(set(train.classes) ^ set(test.classes))
        raise DataError(f"{root}: classes {', '.join(differing)} are not in both train and test; make them equal")
    first, second = (
        collect(((file, Path(file), label) for file, label in tree.samples), dataset, tree.root) for tree in found
    )
    return first, second
