"""The user's own image folder tree: `train/<class>/*` and `test/<class>/*`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from stampbench.data.catalogue import Dataset
from stampbench.data.decode import Encoded, collect
from stampbench.data.listing import Known, is_folder, refuse_twice, shown
from stampbench.data.task import Split
from stampbench.errors import DataError

SPLITS = ("train", "test")
# Those of torchvision's `ImageFolder`; files with other endings are ignored.
ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def has_tree(root: Path) -> bool:
    """Return whether the folder has a `train` and a `test` folder."""
    return all(is_folder(root / name) for name in SPLITS)


def tree_files(root: Path) -> list[Path]:
    """Return all image files of a tree. Raises `DataError` as `class_images` does."""
    return [file for name in SPLITS for files in class_images(root / name).values() for file in files]


def class_images(split: Path) -> dict[str, list[Path]]:
    """Return the image files of each class folder, in the order in which torchvision's `ImageFolder` reads them.

    Links are followed, as there. Raises `DataError` for a split without class folders, a class without images, a folder
    that cannot be read, and one that is reached twice: such a link would lead in a circle, or repeat images.
    """
    known: Known = {}
    for folder in reversed([split, *split.resolve().parents]):
        refuse_twice(folder, known)
    names = sorted(name for name, is_dir in _entries(split) if is_dir)
    classes = {name: list(_images(split / name, known)) for name in names}
    if not classes:
        raise DataError(f"{shown(split)}: no class folder; put images there as <class>/<image>.png")
    if empty := [name for name, files in classes.items() if not files]:
        raise DataError(
            f"{shown(split)}: no image in the class folders {shown(', '.join(empty))}; put images of "
            f"{', '.join(ENDINGS)} there, or remove the folders"
        )
    return classes


def _images(top: Path, known: Known) -> Iterator[Path]:
    """Yield the images below a class folder: sorted by their folder's path, then by name."""
    below: dict[Path, list[str]] = {}
    pending = [top]
    while pending:
        folder = pending.pop()
        entries = _entries(folder)
        refuse_twice(folder, known)
        below[folder] = sorted(name for name, is_dir in entries if not is_dir and name.lower().endswith(ENDINGS))
        pending += [folder / name for name, is_dir in entries if is_dir]
    for folder in sorted(below, key=str):
        yield from (folder / name for name in below[folder])


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """Return the name of each entry of a folder, and whether it is a folder or a link to one."""
    try:
        with os.scandir(folder) as entries:
            return [(entry.name, is_folder(Path(entry))) for entry in entries]
    except OSError as error:
        raise DataError(f"{shown(folder)}: cannot be read ({error.strerror}); mend or remove that folder") from error


def read_tree(root: Path, dataset: Dataset) -> tuple[Split, Split]:
    """Read both splits; a label is the rank of the class folder's name among all names.

    Raises `DataError` as `class_images` does, for classes not in both splits, and for an undecodable image.
    """
    train, test = (class_images(root / name) for name in SPLITS)
    if differing := sorted(train.keys() ^ test.keys()):
        names = shown(", ".join(differing))
        raise DataError(f"{shown(root)}: classes {names} are not in both train and test; make them equal")
    first, second = (collect(_labelled(images), dataset, shown(root)) for images in (train, test))
    return first, second


def _labelled(classes: dict[str, list[Path]]) -> Iterator[Encoded]:
    for label, files in enumerate(classes.values()):
        for file in files:
            yield shown(file), file, label
