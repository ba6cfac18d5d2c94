"""The catalogue of datasets. It imports nothing heavy, so that they are listed at once."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from stampbench import seeding
from stampbench.errors import DataError

FOLDS = 4
CLASSES_PER_FOLD = 10
TINY_CLASSES = 200
GLYPH_CLASSES, GLYPH_TRAIN, GLYPH_TEST = 400, 50, 10


class CustomDataset(BaseModel):
    """A user's own images, declared in a suite as `[datasets.NAME]`.

    `path`, which a suite file gives relative to itself, is a folder tree (`train/<class>/*.png`, `test/<class>/*`) or a
    folder of `train*.parquet` and `test*.parquet`; images are resized to `size` × `size` pixels. Columns that are not
    given are guessed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    path: Path
    size: int = Field(ge=8, le=512)
    flip: bool = True
    image_column: str | None = None
    label_column: str | None = None


@dataclass(frozen=True)
class Dataset:
    """The facts about a dataset that are known before an image is read.

    Images are stored at `pack_size` and enter the network at `input_size` pixels. `classes` and the image
    counts `full_train`, `full_test` are None where they are known only from the data. `source` names the images in the
    data root, which have `source_classes` classes; `part` names the share of those classes that belongs to this
    dataset ("" for all). `banner` is the height in pixels of the credits below each original image. `terms` says under
    which terms the authors publish the images; a user's own have none. `version` rises when the images, or the way of
    decoding them, change: records of older versions become stale.
    """

    name: str
    description: str
    classes: int | None
    input_size: int
    pack_size: int
    flip: bool
    crop: Literal["pad", "resized"]
    full_train: int | None
    full_test: int | None
    source: str
    part: str = ""
    source_classes: int | None = None
    image_columns: tuple[str, ...] = ("image", "img")
    label_columns: tuple[str, ...] = ("label",)
    banner: int = 0
    custom: CustomDataset | None = None
    terms: str = ""
    version: int = 1


def _small(
    name: str,
    description: str,
    classes: int,
    counts: tuple[int, int],
    *,
    terms: str,
    size: int = 32,
    flip: bool = True,
    source: str = "",
    part: str = "",
    source_classes: int | None = None,
    label_columns: tuple[str, ...] = ("label",),
) -> Dataset:
    """Return a dataset that is packed at the size at which it enters the network."""
    return Dataset(
        name,
        description,
        classes,
        input_size=size,
        pack_size=size,
        flip=flip,
        crop="pad",
        full_train=counts[0],
        full_test=counts[1],
        source=source or name,
        part=part,
        source_classes=source_classes or classes,
        label_columns=label_columns,
        terms=terms,
    )


def _tiny(name: str, description: str, classes: int, part: str) -> Dataset:
    counts = (500 * classes, 50 * classes)
    terms = "ImageNet's terms: for non-commercial research and education only"
    described = (name, description, classes, counts)
    return _small(*described, terms=terms, source="tinyimagenet", part=part, source_classes=TINY_CLASSES)


AIRCRAFT = Dataset(
    "aircraft",
    "FGVC-Aircraft: 100 variants of aeroplanes, at 64×64",
    100,
    input_size=64,
    pack_size=96,
    flip=True,
    crop="resized",
    full_train=6667,
    full_test=3333,
    source="aircraft",
    source_classes=100,
    label_columns=("variant", "label"),
    banner=20,
    terms="for non-commercial research only; cite Maji et al. (2013)",
)
# Its authors' pages are gone, so only mirrors hold it. Each image is squeezed to a square.
CARS = Dataset(
    "cars",
    "Stanford Cars: 196 models of cars, at 64×64",
    196,
    input_size=64,
    pack_size=64,
    flip=True,
    crop="resized",
    full_train=8144,
    full_test=8041,
    source="cars",
    source_classes=196,
    terms="for non-commercial research only; cite Krause et al. (2013)",
)
NO_LICENCE = "no licence is stated; cite Krizhevsky (2009)"

DATASETS: Mapping[str, Dataset] = {
    dataset.name: dataset
    for dataset in [
        _small("cifar10", "CIFAR-10: photographs of 10 kinds of things", 10, (50_000, 10_000), terms=NO_LICENCE),
        _small(
            "cifar100",
            "CIFAR-100: photographs of 100 kinds of things",
            100,
            (50_000, 10_000),
            terms=NO_LICENCE,
            label_columns=("fine_label", "label"),
        ),
        _small(
            "svhn",
            "SVHN: cropped house numbers, 10 digits",
            10,
            (73_257, 26_032),
            terms="for non-commercial use only; cite Netzer et al. (2011)",
            flip=False,
        ),
        AIRCRAFT,
        CARS,
        _tiny("tinyimagenet", "Tiny-ImageNet without the development classes: reference", 160, "reference"),
        *(
            _tiny(f"tinyimagenet-dev{fold}", f"Tiny-ImageNet, development target {fold}", 10, f"dev{fold}")
            for fold in range(FOLDS)
        ),
        _small(
            "digits",
            "scikit-learn's handwritten digits, at 16×16",
            10,
            (1297, 500),
            terms="CC BY 4.0; cite Alpaydin and Kaynak (1998)",
            size=16,
            flip=False,
        ),
        _small(
            "glyphs",
            "Characters, no digits, in matplotlib's fonts: reference for digits",
            GLYPH_CLASSES,
            (GLYPH_CLASSES * GLYPH_TRAIN, GLYPH_CLASSES * GLYPH_TEST),
            terms="drawn here, from matplotlib's fonts",
            size=16,
            flip=False,
        ),
    ]
}


def selected_classes(dataset: Dataset) -> tuple[int, ...] | None:
    """Return the source's classes that make up `dataset`, ascending, so that new labels are ranks; None for all.

    The 40 development classes are drawn from the stream ("development-classes", "tinyimagenet", 0).
    """
    if not dataset.part:
        return None
    import torch

    stream = seeding.generator("development-classes", "tinyimagenet", 0)
    drawn: list[int] = torch.randperm(TINY_CLASSES, generator=stream).tolist()
    if dataset.part == "reference":
        return tuple(sorted(drawn[FOLDS * CLASSES_PER_FOLD :]))
    first = CLASSES_PER_FOLD * int(dataset.part.removeprefix("dev"))
    return tuple(sorted(drawn[first : first + CLASSES_PER_FOLD]))


def resolve(name: str, custom: Mapping[str, CustomDataset] | None = None) -> Dataset:
    """Return the dataset of that name, from the catalogue or the user's own.

    Raises `DataError` for an unknown name, and for a user's dataset that has the name of a known one.
    """
    own = custom or {}
    if taken := sorted(own.keys() & DATASETS.keys()):
        raise DataError(f"{taken[0]!r} is the name of a known dataset; give your own in [datasets] another name")
    if name in DATASETS:
        return DATASETS[name]
    if name in own:
        return _own(name, own[name])
    known = [*DATASETS, *own]
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}"
    raise DataError(f"unknown dataset {name!r}: {hint}")


def version_of(name: str) -> int:
    """Return the version of a known dataset, and 1 for the user's own."""
    return DATASETS[name].version if name in DATASETS else 1


def _own(name: str, custom: CustomDataset) -> Dataset:
    image, label = custom.image_column, custom.label_column
    return Dataset(
        name,
        f"your own images in {custom.path}",
        classes=None,
        input_size=custom.size,
        pack_size=custom.size,
        flip=custom.flip,
        crop="pad",
        full_train=None,
        full_test=None,
        source=name,
        image_columns=(image,) if image else ("image", "img"),
        label_columns=(label,) if label else ("label", "fine_label"),
        custom=custom,
    )
