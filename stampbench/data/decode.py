"""The decoding of image files into the arrays that are packed."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from stampbench.data.catalogue import Dataset, selected_classes
from stampbench.data.task import Split
from stampbench.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
Encoded = tuple[str, bytes | Path, int]


def decode(image: bytes | Path, dataset: Dataset, where: str) -> np.ndarray:
    """Return one image as uint8 (pack_size, pack_size, 3), with its banner cut off and resized to a square.

    Raises `DataError`, naming `where` it came from, if it cannot be decoded.
    """
    try:
        source = io.BytesIO(image) if isinstance(image, bytes) else image
        picture = Image.open(source, formats=FORMATS).convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{where}: cannot decode the image ({error}); replace the file with an intact copy") from error
    width, height = picture.size
    size = dataset.pack_size
    # An image that somebody has already reduced has lost its banner too.
    if dataset.banner and height > size + dataset.banner:
        height -= dataset.banner
        picture = picture.crop((0, 0, width, height))
    if (width, height) != (size, size):
        shrinks = min(width, height) >= size
        picture = picture.resize((size, size), Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR)
    return np.asarray(picture)


def collect(items: Iterable[Encoded], dataset: Dataset, where: str) -> Split:
    """Decode (origin, encoded image, label) triples into one split, in their order.

    Only the dataset's share of its source's classes is kept, labelled anew from 0. Raises `DataError` if no image is
    left, if an image cannot be decoded, or if a label is no class of the source.
    """
    chosen = selected_classes(dataset)
    relabel = None if chosen is None else {old: new for new, old in enumerate(chosen)}
    pixels, labels = [], []
    for origin, image, label in items:
        check_label(label, dataset.source_classes, origin)
        if relabel is None or label in relabel:
            pixels.append(decode(image, dataset, origin))
            labels.append(label if relabel is None else relabel[label])
    if not labels:
        raise DataError(f"{where}: it holds no images of {dataset.name}; replace it with an intact copy")
    return split_of(np.stack(pixels).transpose(0, 3, 1, 2), labels)


def check_label(label: int, classes: int | None, where: str) -> None:
    """Raise `DataError` unless 0 <= label < classes; without `classes`, unless 0 <= label."""
    if label < 0 or (classes is not None and label >= classes):
        known = f"0 to {classes - 1}" if classes else "0 and above"
        raise DataError(f"{where}: label {label} is out of range ({known}); replace the file with an intact copy")


def split_of(images: np.ndarray, labels: Iterable[int] | np.ndarray) -> Split:
    """Return a split of contiguous tensors from images uint8 (N, 3, H, W) and N integer labels."""
    return Split(
        torch.from_numpy(np.array(images, dtype=np.uint8, order="C")),
        torch.from_numpy(np.array(labels, dtype=np.int64)),
    )
