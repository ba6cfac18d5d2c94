"""Images, folders and parquet files that are not what they seem: each is refused by its name, before any training."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from tests.fixtures.images import png
from tests.gauntlet.row import Row

SUITE = """
title = "Own images"

[datasets.pets]
path = "PATH"
size = 16

[presets.quick.protocol]
train_images = 4
validation_images = 1
epochs = 1
threads = 1
learning_rate = { random = 0.1, reference = 0.05, target = 0.05 }
reference = { dataset = "glyphs", epochs = 1, images = 400 }

[[presets.quick.grid]]
targets = ["pets"]
networks = ["vgg19"]
width = 0.25
methods = [{ name = "random", start = "random" }]
budgets = [0.5]
seeds = 1
"""
PIXELS = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
Spoil = Callable[[Path], object]


def with_images(spoil: Spoil, fill: Spoil | None = None) -> Callable[[Path], Sequence[str]]:
    """Run a suite on images of one's own in `pets`, good ones but for what `spoil` does to that folder."""

    def make(folder: Path) -> list[str]:
        pets = folder / "pets"
        pets.mkdir()
        (fill or good_tree)(pets)
        spoil(pets)
        suite = folder / "own.toml"
        suite.write_text(SUITE.replace("PATH", str(pets)))
        return ["run", str(suite), "--results", str(folder / "results")]

    return make


def good_tree(pets: Path) -> None:
    """Two classes, with three images for training and one for the test."""
    for split, count in (("train", 3), ("test", 1)):
        for name in ("cat", "dog"):
            (pets / split / name).mkdir(parents=True)
            for number in range(count):
                (pets / split / name / f"{number}.png").write_bytes(png(PIXELS + np.uint8(number)))


def good_parquet(pets: Path) -> None:
    """The same as parquet files."""
    for split, count in (("train", 6), ("test", 2)):
        write_table(pets / f"{split}.parquet", [png(PIXELS)] * count, [n % 2 for n in range(count)])


def write_table(file: Path, images: Sequence, labels: Sequence, kind: pa.DataType | None = None) -> None:
    """Write the columns `image` and `label`."""
    label = labels if isinstance(labels, pa.Array) else pa.array(labels)
    pq.write_table(pa.table({"image": pa.array(images, kind or pa.binary()), "label": label}), file)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    """Return the image's bytes in that format."""
    image.save(stream := io.BytesIO(), kind, **options)
    return stream.getvalue()


def as_first(content: bytes, name: str = "0.png") -> Spoil:
    """Put these bytes in the place of the first image."""

    def spoil(pets: Path) -> None:
        (pets / "train" / "cat" / "0.png").unlink()
        (pets / "train" / "cat" / name).write_bytes(content)

    return spoil


def linked(name: str, target: str) -> Spoil:
    """Put a link in the place of a file or folder, or where nothing is."""

    def spoil(pets: Path) -> None:
        path = pets / name
        if path.is_file():
            path.unlink()
        path.symlink_to(target)

    return spoil


def piped(name: str) -> Spoil:
    """Put a pipe there, which nobody writes to."""

    def spoil(pets: Path) -> None:
        (pets / name).unlink(missing_ok=True)
        os.mkfifo(pets / name)

    return spoil


def without(*names: str) -> Spoil:
    """Remove these files."""

    def spoil(pets: Path) -> None:
        for name in names:
            (pets / name).unlink()

    return spoil


def moved(old: str, new: str) -> Spoil:
    """Rename a file or folder."""
    return lambda pets: (pets / old).rename(pets / new)


def table(images: Sequence, labels: Sequence, kind: pa.DataType | None = None) -> Spoil:
    """Write other training rows."""
    return lambda pets: write_table(pets / "train.parquet", images, labels, kind)


def columns(**arrays: pa.Array) -> Spoil:
    """Write other training columns."""
    return lambda pets: pq.write_table(pa.table(arrays), pets / "train.parquet")


def doubled_columns(pets: Path) -> None:
    """Write a column twice under one name."""
    blobs, labels = pa.array([png(PIXELS)] * 2), pa.array([0, 1])
    pq.write_table(pa.Table.from_arrays([blobs, blobs, labels], ["image", "image", "label"]), pets / "train.parquet")


def bytes_of(content: bytes, file: str = "train.parquet") -> Spoil:
    """Write these bytes in the place of a file."""
    return lambda pets: (pets / file).write_bytes(content)


RAMP = np.linspace(0, 1, 64).reshape(8, 8)
GOOD = png(PIXELS)
FLOAT = encoded(Image.fromarray(RAMP.astype(np.float32)), "TIFF")
INT32 = encoded(Image.fromarray((RAMP * 2**30).astype(np.int32)), "TIFF")
BOMB = encoded(Image.new("1", (30_000, 30_000)))
# What stands in the place of an image in the tree, under which name, and what is said about it.
FILES: dict[str, tuple[bytes, str, str]] = {
    "floats": (FLOAT, "0.tif", "its samples are floats whose black and white are unknown"),
    "integers of 32 bits": (INT32, "0.tif", "its samples are integers of 32 bits or with a sign"),
    "nothing": (b"", "0.png", "cannot decode the image (none of"),
    "text": (b"no image", "0.png", "cannot decode the image (none of"),
    "half an image": (GOOD[: len(GOOD) // 2], "0.png", "cannot decode the image"),
    "a flipped byte": (GOOD[:45] + bytes([GOOD[45] ^ 255]) + GOOD[46:], "0.png", "cannot decode the image"),
    "a bomb of 900 million pixels": (BOMB, "0.png", "decompression bomb"),
    "a header alone": (GOOD[:33], "0.png", "cannot decode the image"),
    "an SVG": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "0.png", "cannot decode the image (none of"),
    "an EPS, which would start a program": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n",
        "0.png",
        "cannot decode",
    ),
}
TREES: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "a loop of links": (linked("train/cat/loop", ".."), ("train/cat/loop", "once more, reached by a link")),
    "a loop to the top": (linked("train/cat/loop", "../.."), ("train/cat/loop", "once more")),
    "a class that is another one": (linked("train/eel", "cat"), ("eel", "once more")),
    "an image twice": (linked("train/cat/9.png", "0.png"), ("9.png", "once more, reached by a link")),
    "a training image as a test image": (linked("test/cat/9.png", "../../train/cat/0.png"), ("9.png", "once more")),
    "a dangling link": (linked("train/cat/0.png", "nowhere.png"), ("0.png", "cannot be read", "No such file")),
    "a link to itself": (linked("train/cat/0.png", "0.png"), ("0.png", "cannot be read", "symbolic links")),
    "a pipe as an image": (piped("train/cat/0.png"), ("0.png", "not a regular file")),
    "an endless device": (linked("train/cat/0.png", "/dev/zero"), ("0.png", "not a regular file")),
    "a class without images": (
        without(*(f"train/cat/{n}.png" for n in range(3))),
        ("no image in the class folders cat",),
    ),
    "a class that the test lacks": (moved("test/cat", "test/cow"), ("cat, cow", "not in both train and test")),
    "no test": (moved("test", "tests"), ("pets", "correct its `path`")),
    "no class folders": (
        lambda pets: [moved(f"train/{name}", f"away-{name}")(pets) for name in ("cat", "dog")],
        ("train", "no class folder"),
    ),
    "one class only": (
        lambda pets: [moved(f"{split}/cat", f"{split}-cat")(pets) for split in ("train", "test")],
        ("all training images are of one class",),
    ),
    "images that are no images by their names": (
        lambda pets: [moved(f"train/cat/{n}.png", f"train/cat/{n}.txt")(pets) for n in range(3)],
        ("no image in the class folders cat",),
    ),
    "a name that is not UTF-8, of a damaged image": (
        as_first(b"x", os.fsdecode(b"\xff.png")),
        ("\\xff.png", "cannot decode"),
    ),
}
STRUCT = pa.struct([("bytes", pa.string()), ("path", pa.string())])
NO_BYTES = pa.struct([("path", pa.string())])
SIX = [n % 2 for n in range(6)]
TABLES: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "a label of 10^7": (table([GOOD] * 6, [0, 1, 0, 1, 0, 10**7]), ("row 5: label 10000000 is out of range",)),
    "a label of 2^63": (table([GOOD] * 2, pa.array([0, 2**63], pa.uint64())), ("row 1: label 9223372036854775808",)),
    "a label of -1": (table([GOOD] * 2, [0, -1]), ("row 1: label -1 is out of range",)),
    "a label of 2^31": (table([GOOD] * 2, [0, 2**31]), ("row 1: label 2147483648 is out of range",)),
    "a label that means more classes than images": (
        table([GOOD] * 3, [0, 1, 9]),
        ("label 9 means 10 classes", "3 training"),
    ),
    "no label": (table([GOOD] * 2, [0, None]), ("row 1", "label")),
    "labels of text": (table([GOOD] * 2, ["cat", "dog"]), ("column 'label' integers", "string")),
    "labels of floats": (table([GOOD] * 2, [0.0, 1.0]), ("column 'label' integers", "double")),
    "labels of true and false": (table([GOOD] * 2, [True, False]), ("column 'label' integers", "bool")),
    "no image": (table([GOOD, None], [0, 1]), ("row 1", "image")),
    "an image of text": (table([GOOD, b"text"], [0, 1]), ("row 1: cannot decode the image",)),
    "an image of nothing": (table([GOOD, b""], [0, 1]), ("row 1: cannot decode the image",)),
    "an image of floats": (table([GOOD, FLOAT], [0, 1]), ("row 1", "its samples are floats")),
    "images of lists": (table([[1, 2], [3]], [0, 1], pa.list_(pa.int64())), ("must hold encoded images", "list")),
    "images of text": (table(["a", "b"], [0, 1], pa.string()), ("must hold encoded images", "string")),
    "bytes of text in a struct": (
        columns(image=pa.array([{"bytes": "x", "path": "y"}] * 2, STRUCT), label=pa.array([0, 1])),
        ("must hold encoded images", "struct"),
    ),
    "a struct without bytes": (
        columns(image=pa.array([{"path": "y"}] * 2, NO_BYTES), label=pa.array([0, 1])),
        ("must hold encoded images", "struct"),
    ),
    "no rows": (table([], pa.array([], pa.int64())), ("it holds no images",)),
    "no column of images": (columns(picture=pa.array([GOOD] * 2), label=pa.array([0, 1])), ("no column", "picture")),
    "no column of labels": (columns(image=pa.array([GOOD] * 2), kind=pa.array([0, 1])), ("no column", "kind")),
    "a column twice": (doubled_columns, ("several columns 'image'",)),
    "a file of nothing": (bytes_of(b""), ("train.parquet: not a readable parquet file",)),
    "a file of text": (bytes_of(b"no parquet at all"), ("train.parquet: not a readable parquet file",)),
    "a file of marks alone": (bytes_of(b"PAR1PAR1"), ("train.parquet: not a readable parquet file",)),
    "a pipe as a file": (piped("train.parquet"), ("train.parquet: not a regular file",)),
    "an endless device as a file": (linked("train.parquet", "/dev/zero"), ("train.parquet: not a regular file",)),
    "the test file as training file": (linked("train.parquet", "test.parquet"), ("once more, reached by a link",)),
    "no test file": (without("test.parquet"), ("pets", "correct its `path`")),
    "one class only": (table([GOOD] * 6, [0] * 6), ("is that of no training image",)),
    "a test label that training lacks": (
        lambda pets: write_table(pets / "test.parquet", [GOOD], [2]),
        ("test label 2 is that of no training image",),
    ),
}


def half(pets: Path) -> None:
    """Cut the training file in the middle, as an interrupted download does."""
    content = (pets / "train.parquet").read_bytes()
    (pets / "train.parquet").write_bytes(content[: len(content) // 2])


ROWS: list[Row] = [
    *(
        Row(f"own images: {case} as an image", with_images(as_first(content, name)), (f"train/cat/{name}", said))
        for case, (content, name, said) in FILES.items()
    ),
    *(Row(f"own images: {case}", with_images(spoil), said) for case, (spoil, said) in TREES.items()),
    *(
        Row(f"own parquet: {case}", with_images(spoil, good_parquet), said)
        for case, (spoil, said) in {**TABLES, "half a file": (half, ("not a readable parquet file",))}.items()
    ),
]
