"""The decoding of image files into the arrays that are packed."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, SAMPLEFORMAT, TiffImageFile

from stampbench.data.catalogue import Dataset, selected_classes
from stampbench.data.task import Split
from stampbench.errors import DataError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
# What Pillow raises for damaged images of these formats.
UNDECODABLE = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    ArithmeticError,
    LookupError,
    EOFError,
    struct.error,
    Image.DecompressionBombError,
)
_SAMPLES = {"F": "its samples are floats", "I": "its samples are integers of 32 bits or with a sign,"}
# A classifier has an output per class; ImageNet-21k, the largest set that is in use, has 21,841.
MOST_CLASSES = 2**16
Encoded = tuple[str, bytes | Path, int]


class _UnknownScaleError(ValueError):
    """The samples of an image have no known black and white."""


def decode(image: bytes | Path, dataset: Dataset, where: str) -> np.ndarray:
    """Return one image as uint8 (pack_size, pack_size, 3), with its banner cut off and resized to a square.

    It is read as torchvision's `ImageFolder` does: the first frame, alpha dropped, not turned by EXIF. Only greys of 16
    bits are scaled. Raises `DataError`, naming `where` it came from, if it cannot be decoded.
    """
    if isinstance(image, Path) and image.exists() and not image.is_file():
        raise DataError(f"{where}: not a regular file; remove it or put an intact image there")
    try:
        with Image.open(io.BytesIO(image) if isinstance(image, bytes) else image, formats=FORMATS) as opened:
            picture = _eight_bits(opened).convert("RGB")
    except UnidentifiedImageError as error:
        formats = ", ".join(FORMATS)
        raise DataError(
            f"{where}: cannot decode the image (none of {formats}); replace it with an intact copy"
        ) from error
    except _UnknownScaleError as error:
        raise DataError(f"{where}: {error}") from error
    except UNDECODABLE as error:
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


def _eight_bits(picture: Image.Image) -> Image.Image:
    """Return an image whose samples have 8 bits; of 16-bit greys the upper 8, as Pillow does with 16-bit colours.

    Raises `_UnknownScaleError` for samples whose black and white are unknown: floats, 32 bits, signed, rare TIFFs.
    """
    tags = picture.tag_v2 if isinstance(picture, TiffImageFile) else {}
    ordinary = tags.get(SAMPLEFORMAT, (1,))[0] == 1
    # Pillow reads PGM of more than 8 bits as integers from 0 to 65535.
    if picture.mode.startswith("I;16") or (picture.mode == "I" and isinstance(picture, PpmImageFile)):
        if tags.get(BITSPERSAMPLE, (16,)) == (16,) and tags.get(PHOTOMETRIC_INTERPRETATION, 1) == 1:
            return Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
        ordinary = False
    if not ordinary or picture.mode[0] in "IF":
        raise _UnknownScaleError(
            f"{_SAMPLES.get(picture.mode, 'its samples')} whose black and white are unknown; "
            "convert it to greys or colours of 8 bits, or to greys of 16 bits without a sign"
        )
    return picture


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
    """Raise `DataError` unless 0 <= label < classes; without `classes`, unless 0 <= label < `MOST_CLASSES`."""
    if not 0 <= label < (classes or MOST_CLASSES):
        remedy = "replace the file with an intact copy" if classes else "number the classes from 0"
        raise DataError(f"{where}: label {label} is out of range (0 to {(classes or MOST_CLASSES) - 1}); {remedy}")


def split_of(images: np.ndarray, labels: Iterable[int] | np.ndarray) -> Split:
    """Return a split of contiguous tensors from images uint8 (N, 3, H, W) and N integer labels."""
    return Split(
        torch.from_numpy(np.array(images, dtype=np.uint8, order="C")),
        torch.from_numpy(np.array(labels, dtype=np.int64)),
    )
