"""Images in class folders that nobody has split into training and test images yet."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from stampbench import seeding
from stampbench.data.folder import SPLITS, class_images, has_tree
from stampbench.data.listing import is_folder, shown
from stampbench.data.sources import own_files
from stampbench.errors import DataError, UserError
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
    `DataError` for a folder that can be read neither way, and `UserError` where `out` is something else.
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
    links = {path: file for label, files in classes.items() for path, file in _split(files, label)}
    if os.path.lexists(out):
        _refuse_other(links, out)
    else:
        with whole_folder(out) as folder:
            for path, file in links.items():
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).symlink_to(file)
    return out.resolve()


def _split(files: Sequence[Path], label: str) -> Iterator[tuple[Path, Path]]:
    """Yield for each image of a class the path of its link, and the image."""
    if len(files) < 2:
        raise DataError(f"{shown(files[0].parent)}: a class needs an image to train on and one to test on; add images")
    order = torch.randperm(len(files), generator=seeding.generator(f"own-split/{label}", "own", 0)).tolist()
    tests = set(order[: max(1, len(files) // SHARE)])
    for number, file in enumerate(files):
        yield Path(SPLITS[number in tests], label, f"{number:06}{file.suffix.lower()}"), file.resolve()


def _refuse_other(links: Mapping[Path, Path], out: Path) -> None:
    """Raise `UserError` unless `out` holds these links alone. It may be anybody's, so that it is never removed."""
    there = {path.relative_to(out): path for path in out.rglob("*") if path.is_symlink() or not path.is_dir()}
    if {place: path.is_symlink() and path.readlink() for place, path in there.items()} != dict(links):
        raise UserError(
            f"{shown(out)} exists, and is not the split of the images that there are now; name another folder with "
            "--out, or remove it if an earlier `try` made it"
        )
