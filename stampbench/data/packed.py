"""The packed cache: one folder a dataset, of a safetensors file with uint8 images and a JSON manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import torch
from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from stampbench import seeding
from stampbench.data import sources
from stampbench.data.catalogue import DATASETS, CustomDataset, Dataset, resolve
from stampbench.data.task import Split
from stampbench.errors import DamagedError, DataError
from stampbench.files import lock, set_aside, whole_folder

PACKING_VERSION = 1
Read = TypeVar("Read")
_TENSORS, _MANIFEST = "images.safetensors", "manifest.json"


class Manifest(BaseModel):
    """What a packed dataset holds.

    `display_name` is the dataset's plain name only if all its images are there, else it ends in the number of
    training images. `mean` and `std` are the training images', per channel, in [0, 1]. `digest` is of the
    decoded arrays, whatever they were decoded from. A `partial` one lacks training images; all else is of the whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    display_name: str
    source: str
    train: int
    test: int
    classes: int
    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    digest: str
    packing_version: int = PACKING_VERSION
    partial: bool = False


@dataclass(frozen=True)
class PackedDataset:
    """A manifest and its splits, on the CPU: images uint8 (N, 3, size, size), labels int64 (N,).

    Where only part of the training images is held, `held` bool (N,) says which; the others are black.
    """

    manifest: Manifest
    train: Split
    test: Split
    held: Tensor | None = None

    def holds(self, rows: Tensor) -> bool:
        """Whether these training images are there."""
        return self.held is None or bool(self.held[rows].all())


@dataclass(frozen=True)
class Status:
    """Where a dataset stands: `found` is cache, "cache, in part", archive, parquet, folder, embedded,
    damaged (the cache: delete `path`) or None. `cached` means packed, and whole.

    The counts of images, and the name that tells of them, are known once it is packed.
    """

    name: str
    display_name: str
    description: str
    cached: bool
    found: str | None
    path: str | None
    train: int | None
    test: int | None


def cache_root() -> Path:
    """The folder for everything that can be made again: `STAMPBENCH_CACHE`, or the user's cache folder."""
    if chosen := os.environ.get("STAMPBENCH_CACHE"):
        return Path(chosen)
    import platformdirs

    return Path(platformdirs.user_cache_dir("stampbench"))


def load(name: str, custom: Mapping[str, CustomDataset] | None = None) -> PackedDataset:
    """The packed dataset of that name, packed now if its images are found; never downloads.

    Packed images that are damaged are set aside and packed anew.
    Raises `DataError` that says what is missing or damaged and what to run.
    """
    return _mended(_read, name, custom)


def manifest(name: str, custom: Mapping[str, CustomDataset] | None = None) -> Manifest:
    """The manifest of what `load` gives, without reading packed images."""
    return _mended(_manifest, name, custom)


def _mended(read: Callable[[Path], Read], name: str, custom: Mapping[str, CustomDataset] | None) -> Read:
    """Reads a packed folder; a damaged one is set aside and packed anew."""
    try:
        return read(_packed_folder(name, custom))
    except DamagedError as error:
        set_aside(_folder(resolve(name, custom)), error.what)
        return read(_packed_folder(name, custom))


def _packed_folder(name: str, custom: Mapping[str, CustomDataset] | None) -> Path:
    dataset = resolve(name, custom)
    folder = _folder(dataset)
    if (folder / _MANIFEST).is_file():
        return folder
    found = sources.locate(dataset, _downloads())
    if found is None:
        raise sources.missing(dataset, folder)
    with lock(cache_root() / ".locks" / folder.name):
        if not (folder / _MANIFEST).is_file():
            try:
                whole = pack(dataset, found)
            except ImportError as error:
                raise DataError(f"{name}: reading its images needs the package {error.name}; install it") from error
            _write(whole.manifest, _tensors(whole), folder)
    return folder


def fetch(name: str, custom: Mapping[str, CustomDataset] | None = None) -> PackedDataset:
    """Downloads the dataset into the cache unless its images are at hand, and packs it.

    Raises `DataError` if there is nothing to download from, or the download fails its integrity check.
    """
    dataset = resolve(name, custom)
    if not (_folder(dataset) / _MANIFEST).is_file() and sources.locate(dataset, _downloads()) is None:
        sources.download(dataset, _downloads())
    return load(name, custom)


def verify(name: str, custom: Mapping[str, CustomDataset] | None = None) -> Manifest:
    """Reads the packed arrays and computes their digest anew; raises `DamagedError` if it is not the manifest's."""
    held = manifest(name, custom)
    if held.partial:
        raise DataError(f"{name} is packed here in part: only the whole has a digest to verify")
    _read.__wrapped__(_folder(resolve(name, custom)))
    return held


def status(custom: Mapping[str, CustomDataset] | None = None) -> list[Status]:
    """Where each dataset stands, without reading an image."""
    return [_status(resolve(name, custom)) for name in [*DATASETS, *(custom or {})]]


def pack(dataset: Dataset, found: sources.Found) -> PackedDataset:
    """Reads all images of a source and describes them in a manifest."""
    train, test = found.read()
    mean, std = channel_statistics(train.images)
    classes = dataset.classes or int(train.labels.max()) + 1
    if int(test.labels.max()) >= classes:
        raise DataError(f"{found.path}: test label {int(test.labels.max())} never occurs in training; mend it")
    complete = dataset.full_train in (None, len(train)) and dataset.full_test in (None, len(test))
    manifest = Manifest(
        name=dataset.name,
        display_name=dataset.name if complete else f"{dataset.name}-{len(train)}",
        source=found.kind,
        train=len(train),
        test=len(test),
        classes=classes,
        size=dataset.pack_size,
        mean=mean,
        std=std,
        digest=_digest(train, test),
    )
    return PackedDataset(manifest, train, test)


def write_part(name: str, rows: Tensor, root: Path, custom: Mapping[str, CustomDataset] | None = None) -> Path:
    """Writes the dataset under another cache's root, of its training images only these rows, int64 (n,).

    Returns the folder. Raises `DataError` for images of the user's own, which are known by their place.
    """
    dataset, whole = resolve(name, custom), load(name, custom)
    if dataset.custom is not None:
        raise DataError(f"{name}: your own images are packed where they lie; carry the folder {dataset.custom.path}")
    if not whole.holds(rows):
        raise DataError(f"{name} is packed here in part, and lacks images that are needed")
    folder = root / "data" / _folder(dataset).name
    if len(rows) == len(whole.train):
        _write(whole.manifest, _tensors(whole), folder)
    else:
        chosen = {"train_images": whole.train.images[rows], "train_rows": rows}
        _write(whole.manifest.model_copy(update={"partial": True}), _tensors(whole) | chosen, folder)
    return folder


def channel_statistics(images: Tensor) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Mean and (population) standard deviation of each channel of uint8 (N, 3, H, W), in [0, 1].

    Computed from the histogram, in integers, so that every machine finds the same.
    """
    values = torch.arange(256)
    means, deviations = [], []
    for channel in range(3):
        counts = torch.bincount(images[:, channel].flatten(), minlength=256)
        total, first, second = (int((counts * values**power).sum()) for power in (0, 1, 2))
        means.append(first / total / 255)
        deviations.append((total * second - first * first) ** 0.5 / total / 255)
    red, green, blue = means
    return (red, green, blue), (deviations[0], deviations[1], deviations[2])


def _digest(train: Split, test: Split) -> str:
    return seeding.digest_of(train.images, train.labels, test.images, test.labels)


def _downloads() -> Path:
    return cache_root() / "downloads"


def _folder(dataset: Dataset) -> Path:
    """Own images are packed again whenever a file among them changes its name, size or time."""
    name = dataset.name
    if dataset.custom is not None:
        root = dataset.custom.path
        files = [(str(f.relative_to(root)), f.stat()) for f in sorted(root.rglob("*")) if f.is_file()]
        listing = [[place, stat.st_size, stat.st_mtime_ns] for place, stat in files]
        name += "-" + seeding.digest_of_json([dataset.custom.model_dump(mode="json"), listing])
    return cache_root() / "data" / f"{name}-v{PACKING_VERSION}"


def _tensors(packed: PackedDataset) -> dict[str, Tensor]:
    parts = ("images", "labels")
    return {f"{split}_{part}": getattr(getattr(packed, split), part) for split in ("train", "test") for part in parts}


def _write(manifest: Manifest, tensors: Mapping[str, Tensor], folder: Path) -> None:
    with whole_folder(folder) as working:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, working / _TENSORS)
        (working / _MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")


def _manifest(folder: Path) -> Manifest:
    try:
        return Manifest.model_validate_json((folder / _MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise _damaged(folder, f"{_MANIFEST} is not a manifest of this version") from error


@lru_cache(maxsize=4)
def _read(folder: Path) -> PackedDataset:
    manifest = _manifest(folder)
    try:
        tensors = load_file(folder / _TENSORS)
        held = _spread(tensors, manifest) if manifest.partial else None
        train, test = (Split(tensors[f"{s}_images"], tensors[f"{s}_labels"]) for s in ("train", "test"))
    except (OSError, SafetensorError, KeyError, IndexError, RuntimeError) as error:
        raise _damaged(folder, str(error)) from error
    for split, count in ((train, manifest.train), (test, manifest.test)):
        shape = (count, 3, manifest.size, manifest.size)
        if split.images.shape != shape or split.images.dtype != torch.uint8 or split.labels.shape != (count,):
            raise _damaged(folder, f"images of shape {tuple(split.images.shape)}, not {shape}")
    if not manifest.partial and (digest := _digest(train, test)) != manifest.digest:
        raise _damaged(folder, f"the images' digest is {digest}, the manifest's {manifest.digest}")
    return PackedDataset(manifest, train, test, held)


def _spread(tensors: dict[str, Tensor], manifest: Manifest) -> Tensor:
    """Puts the images held in part at their rows, in place; returns which rows those are, bool (N,)."""
    images, rows = tensors["train_images"], tensors["train_rows"]
    tensors["train_images"] = images.new_zeros(manifest.train, *images.shape[1:]).index_copy_(0, rows, images)
    return torch.zeros(manifest.train, dtype=torch.bool).index_fill_(0, rows, True)


def _damaged(folder: Path, reason: str) -> DamagedError:
    return DamagedError(f"{folder}: damaged packed data ({reason})", "delete that folder and run again")


def _status(dataset: Dataset) -> Status:
    folder = _folder(dataset)
    if (folder / _MANIFEST).is_file():
        try:
            held = _manifest(folder)
        except DamagedError:
            return Status(dataset.name, dataset.name, dataset.description, False, "damaged", str(folder), None, None)
        return Status(
            dataset.name,
            held.display_name,
            dataset.description,
            not held.partial,
            "cache, in part" if held.partial else "cache",
            str(folder),
            held.train,
            held.test,
        )
    found = sources.locate(dataset, _downloads())
    kind, path = (found.kind, str(found.path or "") or None) if found else (None, None)
    return Status(dataset.name, dataset.name, dataset.description, False, kind, path, None, None)
