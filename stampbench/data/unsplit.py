"""Images in class folders that nobody has split into training and test images yet."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import torch

from stampbench import seeding
from stampbench.data.folder import SPLITS, class_images, has_tree
from stampbench.data.listing import is_folder, shown
from stampbench.data.sources import own_files
from stampbench.errors import DataError
from stampbench.files import whole_folder

# One of so many images of a class becomes a test image.
SHARE = 5
LAYOUT = (
    "it must hold train/<class>/ and test/<class>/ folders of images, or only <class>/ folders, or train*.parquet and "
    "test*.parquet"
)


def with_splits(images: Path, out: Path) -> Path:
    """Return a folder with both splits: `images` itself or, if it has only class folders, `out` with links to them.

    A fifth of each class, drawn by the stream ("own-split/<class>", "own", 0), becomes the test images. Raises
    `DataError` for a folder that can be read neither way.
    """
    if not is_folder(images):
        raise DataError(f"{shown(images)}: there is no such folder; {LAYOUT}")
    if has_tree(images) or (not any(is_folder(images / name) for name in SPLITS) and own_files(images)):
        return images.resolve()
    if present := [name for name in SPLITS if is_folder(images / name)]:
        raise DataError(f"{shown(images)}: there is a folder {present[0]}, but not the other one; {LAYOUT}")
    try:
        classes = class_images(images)
    except DataError as error:
        raise DataError(f"{error}; {LAYOUT}") from error
    shutil.rmtree(out, ignore_errors=True)
    with whole_folder(out) as folder:
        for label, files in classes.items():
            _link(files, label, folder)
    return out.resolve()


def _link(files: Sequence[Path], label: str, out: Path) -> None:
    if len(files) < 2:
        raise DataError(f"{shown(files[0].parent)}: a class needs an image to train on and one to test on; add images")
    order = torch.randperm(len(files), generator=seeding.generator(f"own-split/{label}", "own", 0)).tolist()
    tests = set(order[: max(1, len(files) // SHARE)])
    for split in SPLITS:
        (out / split / label).mkdir(parents=True)
    for number, file in enumerate(files):
        split = SPLITS[number in tests]
        (out / split / label / f"{number:06}{file.suffix.lower()}").symlink_to(file.resolve())
