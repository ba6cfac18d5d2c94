"""The cache of packed datasets: one folder each, with uint8 images in a safetensors file and a JSON manifest."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
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
from stampbench.data.listing import described, is_folder, lies
from stampbench.data.task import Split
from stampbench.errors import DamagedError, DataError
from stampbench.files import lock, set_aside, whole_folder

PACKING_VERSION = 1
Content = TypeVar("Content")
_TENSORS, _MANIFEST = "images.safetensors", "manifest.json"


class Manifest(BaseModel):
    """The description of a packed dataset.

    `display_name` is the dataset's name if its source holds all its images; otherwise the number of training images is
    appended. `mean` and `std` are the training images', per channel, in [0, 1]. `digest` is that of the decoded arrays,
    whatever they were decoded from. A `partial` dataset lacks training images here; every other field describes the
    whole.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
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

    If only a part of the training images is held, `held` bool (N,) says which; the others are black.
    """

    manifest: Manifest
    train: Split
    test: Split
    held: Tensor | None = None

    def holds(self, rows: Tensor) -> bool:
        """Return whether all these rows of the training images are held."""
        return self.held is None or bool(self.held[rows].all())


@dataclass(frozen=True)
class Status:
    """The place and state of a dataset.

    `found` is "cache", "cache, in part", "archive", "parquet", "folder", "embedded", "damaged" (a cache folder `path`
    to delete) or None. `cached` means that all of it is packed. The counts of images, and a display name that contains
    them, are known only once it is packed.
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
    """Return the folder for everything that can be made again: `STAMPBENCH_CACHE`, or the user's cache folder.

    Raises `DataError` where the user has no home folder or may not enter the cache, and where something else has the
    folder's name.
    """
    root = Path(os.environ.get("STAMPBENCH_CACHE") or _user_cache())
    if os.path.lexists(root) and not root.is_dir():
        raise DataError(f"{root} is no folder, and so no cache; set STAMPBENCH_CACHE to a folder")
    if is_folder(root) and not os.access(root, os.X_OK):
        raise DataError(f"{root} may not be entered; allow it, or set STAMPBENCH_CACHE to another folder")
    return root


def _user_cache() -> str:
    import platformdirs  # a machine that has STAMPBENCH_CACHE set may lack this package

    try:
        return platformdirs.user_cache_dir("stampbench")
    except RuntimeError as error:
        raise DataError("this user has no home folder for a cache; set STAMPBENCH_CACHE to a folder") from error


def load(name: str, custom: Mapping[str, CustomDataset] | None = None) -> PackedDataset:
    """Return the packed dataset of that name; pack it now if its images are found, but never download.

    Packed images that are damaged are set aside and packed anew.
    Raises a `DataError` that says what is missing or damaged and what to run.
    """
    return _read_or_repack(cached_read, name, custom)


def manifest(name: str, custom: Mapping[str, CustomDataset] | None = None) -> Manifest:
    """Return the manifest of what `load` returns, without reading packed images."""
    return _read_or_repack(_manifest, name, custom)


def _read_or_repack(
    reader: Callable[[Path], Content], name: str, custom: Mapping[str, CustomDataset] | None
) -> Content:
    """Read a packed folder; set a damaged one aside and pack it anew."""
    folder = _packed_folder(name, custom)
    try:
        return reader(folder)
    except DamagedError:
        with _packing(folder):
            # Another process may have mended it meanwhile.
            try:
                return reader(folder)
            except DamagedError as error:
                set_aside(folder, error.what)
    return reader(_packed_folder(name, custom))


def _packing(folder: Path) -> AbstractContextManager[bool]:
    """Hold the lock under which one process at a time packs or mends that folder."""
    return lock(cache_root() / ".locks" / folder.name)


def _packed_folder(name: str, custom: Mapping[str, CustomDataset] | None) -> Path:
    """Return the folder of a packed dataset; pack it first if it is not there."""
    dataset = resolve(name, custom)
    folder = folder_of(dataset)
    if lies(folder / _MANIFEST):
        return folder
    found = sources.locate(dataset, _downloads())
    if found is None:
        raise sources.missing(dataset, folder)
    with _packing(folder):
        if not lies(folder / _MANIFEST):
            try:
                whole = pack(dataset, found)
            except ImportError as error:
                raise DataError(f"{name}: reading its images needs the package {error.name}; install it") from error
            write(whole, folder)
    return folder


def fetch(name: str, custom: Mapping[str, CustomDataset] | None = None) -> PackedDataset:
    """Download the dataset into the cache unless its images are found, and pack it.

    Raises `DataError` if there is nothing to download from, or the download fails its integrity check.
    """
    if not at_hand(name, custom):
        sources.download(resolve(name, custom), _downloads())
    return load(name, custom)


def at_hand(name: str, custom: Mapping[str, CustomDataset] | None = None) -> bool:
    """Return whether `load` would find the dataset: packed, in part or whole, or its images."""
    dataset = resolve(name, custom)
    return lies(folder_of(dataset) / _MANIFEST) or sources.locate(dataset, _downloads()) is not None


def verify(name: str, custom: Mapping[str, CustomDataset] | None = None) -> Manifest:
    """Read the packed arrays from the disk and compare their digest with the manifest's; return the manifest.

    Raises `DamagedError` if they differ, and `DataError` if only a part of the dataset is packed.
    """
    held = manifest(name, custom)
    if held.partial:
        raise DataError(f"only a part of {name} is packed here; verify it on the machine that packed it from the whole")
    read(folder_of(resolve(name, custom)))
    return held


def status(custom: Mapping[str, CustomDataset] | None = None) -> list[Status]:
    """Return the place and state of each dataset, without reading an image."""
    return [_status(resolve(name, custom)) for name in [*DATASETS, *(custom or {})]]


def pack(dataset: Dataset, found: sources.Found) -> PackedDataset:
    """Read all images of a source and describe them in a manifest."""
    train, test = found.read()
    mean, std = channel_statistics(train.images)
    classes = dataset.classes or _own_classes(train, test, found.path)
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


def _own_classes(train: Split, test: Split, where: Path | None) -> int:
    """Return the number of classes of a user's own images: the largest training label, plus one.

    Raises `DataError` for a single class, for more classes than training images, and for test images of a class that no
    training image is of.
    """
    largest = int(train.labels.max())
    if unknown := sorted(set(test.labels.tolist()) - set(train.labels.tolist())):
        raise DataError(f"{where}: test label {unknown[0]} is that of no training image; correct the labels")
    if largest >= len(train):
        raise DataError(
            f"{where}: label {largest} means {largest + 1} classes, but there are {len(train)} training images; "
            "number the classes from 0"
        )
    if len(train.labels.unique()) < 2:
        raise DataError(f"{where}: all training images are of one class; add images of another")
    return largest + 1


def write_part(name: str, rows: Tensor, root: Path, custom: Mapping[str, CustomDataset] | None = None) -> Path:
    """Write the dataset, but only these rows (int64 (n,)) of its training images, under another cache's root.

    Returns the folder. Raises `DataError` for a user's own images, because their path identifies them, and if a row is
    not held here.
    """
    dataset, whole = resolve(name, custom), load(name, custom)
    if dataset.custom is not None:
        raise DataError(
            f"{name}: your own images are packed only on the machine that uses them; copy the folder "
            f"{dataset.custom.path} there"
        )
    if not whole.holds(rows):
        raise DataError(f"only a part of {name} is packed here, for other jobs; run this where all of it is")
    folder = root / "data" / folder_of(dataset).name
    if len(rows) == len(whole.train):
        write(whole, folder)
    else:
        chosen = {"train_images": whole.train.images[rows], "train_rows": rows}
        _write(whole.manifest.model_copy(update={"partial": True}), _tensors(whole) | chosen, folder)
    return folder


def channel_statistics(images: Tensor) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """Return mean and (population) standard deviation, in [0, 1], of each channel of uint8 images (N, 3, H, W).

    Both are computed from histograms in integers, so that every machine gets the same bits.
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


def folder_of(dataset: Dataset) -> Path:
    """Return the folder that holds the dataset once it is packed.

    For a user's own images it changes with the name, size and times of every file that is read, so that changed images
    are packed anew; raises `DataError` for files that `described` refuses.
    """
    name = dataset.name
    if dataset.custom is not None:
        files = described(sources.own_files(dataset.custom.path))
        name += "-" + seeding.digest_of_json([dataset.custom.model_dump(mode="json"), files])
    return cache_root() / "data" / f"{name}-v{PACKING_VERSION}"


def _tensors(packed: PackedDataset) -> dict[str, Tensor]:
    parts = ("images", "labels")
    return {f"{split}_{part}": getattr(getattr(packed, split), part) for split in ("train", "test") for part in parts}


def write(packed: PackedDataset, folder: Path) -> None:
    """Write a packed dataset into a folder, which is whole or absent at any time; an existing one is kept."""
    _write(packed.manifest, _tensors(packed), folder)


def _write(manifest: Manifest, tensors: Mapping[str, Tensor], folder: Path) -> None:
    with whole_folder(folder) as working:
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, working / _TENSORS)
        (working / _MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n")


def _manifest(folder: Path) -> Manifest:
    for name in (_MANIFEST, _TENSORS):
        if not (folder / name).is_file():
            raise _damaged(folder, f"{name} is missing or no regular file")
    try:
        return Manifest.model_validate_json((folder / _MANIFEST).read_bytes())
    except (OSError, ValidationError) as error:
        raise _damaged(folder, f"{_MANIFEST} is not a manifest of this version") from error


def read(folder: Path) -> PackedDataset:
    """Read a packed folder, and check its shapes and, unless it is partial, its digest.

    Raises `DamagedError` if they are not the manifest's.
    """
    manifest = _manifest(folder)
    try:
        tensors = load_file(folder / _TENSORS)
        held = _spread_over_all(tensors, manifest) if manifest.partial else None
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


cached_read = lru_cache(maxsize=4)(read)


def _spread_over_all(tensors: dict[str, Tensor], manifest: Manifest) -> Tensor:
    """Replace the training images in `tensors` by all N, black where not held, and return which are held, bool (N,)."""
    images, rows = tensors["train_images"], tensors["train_rows"]
    tensors["train_images"] = images.new_zeros(manifest.train, *images.shape[1:]).index_copy_(0, rows, images)
    return torch.zeros(manifest.train, dtype=torch.bool).index_fill_(0, rows, True)


def _damaged(folder: Path, reason: str) -> DamagedError:
    return DamagedError(f"{folder}: damaged packed data ({reason})", "delete that folder and run again")


def _status(dataset: Dataset) -> Status:
    folder = folder_of(dataset)
    if lies(folder / _MANIFEST):
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
