"""The original archives of the public datasets, in the form in which their authors publish them."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stampbench.data.catalogue import Dataset
from stampbench.data.decode import Encoded, check_label, collect, split_of
from stampbench.data.download import Remote, download
from stampbench.data.listing import lies
from stampbench.data.task import Split
from stampbench.errors import DataError
from stampbench.files import temporary_folder

TINY_URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
TINY_MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
AIRCRAFT_URL = "https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz"
# The archive has 2.75 GB, and its content is little larger.
AIRCRAFT_BYTES = 4 * 2**30


@dataclass(frozen=True)
class Archive:
    """The names of the files or folders that may hold a dataset, and functions that read and download it.

    `size` counts the bytes of the download.
    """

    names: tuple[str, ...]
    read: Callable[[Path, Dataset], tuple[Split, Split]]
    download: Callable[[Path], object]
    size: int


def find_archive(root: Path, source: str) -> Path | None:
    """Return the archive of `source` in the folder `root` or in `root / source`; None if there is none."""
    if source not in ARCHIVES:
        return None
    candidates = (folder / name for name in ARCHIVES[source].names for folder in (root, root / source))
    return next((path for path in candidates if lies(path)), None)


def check_md5(data: bytes | Path, expected: str, where: Path, name: str) -> None:
    """Raise `DataError` if the bytes, or the file's, have another MD5 than the authors' file."""
    with io.BytesIO(data) if isinstance(data, bytes) else data.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != expected:
        raise DataError(
            f"{where}: wrong checksum (MD5 {found}, not {expected}), so the file is truncated or damaged; "
            f"delete it and run `python -m stampbench data fetch {name}`, or put an intact copy there"
        )


class ArrayUnpickler(pickle.Unpickler):
    """An unpickler of numpy arrays, lists, strings and numbers that refuses everything that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the object of one of numpy's three names in a pickled array, with the modules of numpy 1 or 2."""
        core = ("numpy.core.multiarray", "numpy._core.multiarray")
        if module in core and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed in a batch of images")


def read_cifar(path: Path, dataset: Dataset) -> tuple[Split, Split]:
    """Read CIFAR-10 or -100 from the `.tar.gz` or the extracted folder, and check the MD5 of every file read."""
    from torchvision import datasets

    published = datasets.CIFAR10 if dataset.source == "cifar10" else datasets.CIFAR100
    if path.is_file():
        check_md5(path, published.tgz_md5, path, dataset.name)
        with tarfile.open(path) as archive:
            return _cifar_splits(published, path, dataset, lambda name: _member(archive, name, path))
    return _cifar_splits(published, path, dataset, lambda name: _file(path / Path(name).name))


def _cifar_splits(published: Any, path: Path, dataset: Dataset, read: Callable[[str], bytes]) -> tuple[Split, Split]:
    splits = []
    for batches in (published.train_list, published.test_list):
        images, labels = [], []
        for name, md5 in batches:
            data = read(f"{published.base_folder}/{name}")
            check_md5(data, md5, path / name, dataset.name)
            pixels, classes = _cifar_batch(data, path / name, dataset)
            images.append(pixels)
            labels.extend(classes)
        splits.append(split_of(np.concatenate(images), labels))
    return splits[0], splits[1]


def _cifar_batch(data: bytes, where: Path, dataset: Dataset) -> tuple[np.ndarray, list[int]]:
    try:
        batch = ArrayUnpickler(io.BytesIO(data), encoding="latin1").load()
        pixels = np.asarray(batch["data"], dtype=np.uint8).reshape(-1, 3, 32, 32)
        labels = [int(label) for label in batch["fine_labels" if dataset.source == "cifar100" else "labels"]]
    except (pickle.UnpicklingError, EOFError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"{where}: not a batch of CIFAR images ({error}); put an intact copy there") from error
    if len(labels) != len(pixels):
        raise DataError(f"{where}: {len(pixels)} images but {len(labels)} labels; put an intact copy there")
    for row, label in enumerate(labels):
        check_label(label, dataset.source_classes, f"{where}, image {row}")
    return pixels, labels


def _member(archive: tarfile.TarFile, name: str, path: Path) -> bytes:
    try:
        member = archive.extractfile(name)
    except KeyError:
        member = None
    if member is None:
        raise DataError(f"{path}: it contains no file {name}; put an intact copy there")
    return member.read()


def _file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error}); put an intact copy there") from error


def read_svhn(path: Path, dataset: Dataset) -> tuple[Split, Split]:
    """Read SVHN's cropped digits from `train_32x32.mat` and `test_32x32.mat`; torchvision checks their MD5."""
    from torchvision import datasets

    splits = []
    for name in ("train", "test"):
        where = path.parent / datasets.SVHN.split_list[name][1]
        try:
            published = datasets.SVHN(str(path.parent), split=name)
        except (RuntimeError, OSError, ValueError, TypeError, KeyError) as error:
            raise DataError(
                f"{where}: missing, or its checksum is wrong ({error}); delete it and run "
                "`python -m stampbench data fetch svhn`, or put an intact copy there"
            ) from error
        for row, label in enumerate(published.labels):
            check_label(int(label), dataset.source_classes, f"{where}, image {row}")
        splits.append(split_of(published.data, published.labels))
    return splits[0], splits[1]


def read_aircraft(path: Path, dataset: Dataset) -> tuple[Split, Split]:
    """Read FGVC-Aircraft's variants from the folder `fgvc-aircraft-2013b`, and cut the banners off its images."""
    from torchvision import datasets

    splits = []
    for name in ("trainval", "test"):
        try:
            published = datasets.FGVCAircraft(str(path.parent), split=name, loader=Path)
        except (RuntimeError, OSError, ValueError, KeyError) as error:
            raise DataError(f"{path}: its {name} lists cannot be read ({error}); put an intact copy there") from error
        items = (published[row] for row in range(len(published)))
        splits.append(collect(((str(image), image, label) for image, label in items), dataset, str(path)))
    return splits[0], splits[1]


def read_tiny(path: Path, dataset: Dataset) -> tuple[Split, Split]:
    """Read Tiny-ImageNet from the `.zip` or the extracted folder; its validation images become the test split.

    A label is the rank of its class's WordNet id among all ids.
    """
    if path.is_dir():
        return _tiny_splits(path, dataset, lambda name: _file(path / name), _listed(path))
    check_md5(path, TINY_MD5, path, dataset.name)
    with zipfile.ZipFile(path) as archive:
        root = "tiny-imagenet-200/"
        names = [name.removeprefix(root) for name in archive.namelist()]
        return _tiny_splits(path, dataset, lambda name: _zipped(archive, root + name, path), names)


def _tiny_splits(path: Path, dataset: Dataset, read: Callable[[str], bytes], names: list[str]) -> tuple[Split, Split]:
    ranks = {word: rank for rank, word in enumerate(sorted(read("wnids.txt").decode().split()))}
    annotations = [line.split("\t")[:2] for line in read("val/val_annotations.txt").decode().splitlines()]
    train = [name for name in names if name.startswith("train/") and name.endswith(".JPEG")]
    pairs = {
        "train": [(name, name.split("/")[1]) for name in sorted(train)],
        "val": [(f"val/images/{pair[0]}", pair[-1]) for pair in annotations],
    }

    def items(split: str) -> Iterator[Encoded]:
        for name, word in pairs[split]:
            if word not in ranks:
                raise DataError(f"{path}: {name} is of class {word!r}, which wnids.txt lacks; put an intact copy there")
            yield f"{path}, {name}", read(name), ranks[word]

    return collect(items("train"), dataset, str(path)), collect(items("val"), dataset, str(path))


def _listed(folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in folder.glob("train/*/images/*.JPEG")]


def _zipped(archive: zipfile.ZipFile, name: str, path: Path) -> bytes:
    try:
        return archive.read(name)
    except (KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: {name} cannot be read ({error}); put an intact copy there") from error


def _download_cifar(name: str) -> Callable[[Path], None]:
    def load(folder: Path) -> None:
        from torchvision import datasets

        published = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
        download(Remote(published.url, published.filename, published.tgz_md5), folder)

    return load


def _download_svhn(folder: Path) -> None:
    from torchvision import datasets

    for split in ("test", "train"):
        download(Remote(*datasets.SVHN.split_list[split]), folder)


def _download_aircraft(folder: Path) -> None:
    # The authors publish no checksum.
    archive = download(Remote(AIRCRAFT_URL, "fgvc-aircraft-2013b.tar.gz", None), folder)
    with temporary_folder(folder, ".extracting-") as working:
        extract(archive, working, AIRCRAFT_BYTES)
        (working / "fgvc-aircraft-2013b").replace(folder / "fgvc-aircraft-2013b")
    archive.unlink()


def extract(archive: Path, folder: Path, most: int) -> None:
    """Extract a tar archive whose content has at most `most` bytes into `folder`.

    Raises `DataError` for a damaged archive and, before anything is written, for one that is larger or would write
    outside `folder`.
    """
    try:
        with tarfile.open(archive) as tar:
            size = 0
            for member in tar:
                size += member.size
                tarfile.data_filter(member, str(folder))
                if size > most:
                    raise DataError(
                        f"{archive}: it holds more than {most:,} bytes, so it is not the published archive; delete it"
                    )
            tar.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{archive}: cannot be extracted ({error}); delete it and fetch again") from error


ARCHIVES: Mapping[str, Archive] = {
    "cifar10": Archive(
        names=("cifar-10-python.tar.gz", "cifar-10-batches-py"),
        read=read_cifar,
        download=_download_cifar("cifar10"),
        size=170_498_071,
    ),
    "cifar100": Archive(
        names=("cifar-100-python.tar.gz", "cifar-100-python"),
        read=read_cifar,
        download=_download_cifar("cifar100"),
        size=169_001_437,
    ),
    "svhn": Archive(
        names=("train_32x32.mat",),
        read=read_svhn,
        download=_download_svhn,
        size=182_040_794 + 64_275_384,
    ),
    "aircraft": Archive(
        names=("fgvc-aircraft-2013b",),
        read=read_aircraft,
        download=_download_aircraft,
        size=2_753_340_328,
    ),
    "tinyimagenet": Archive(
        names=("tiny-imagenet-200.zip", "tiny-imagenet-200"),
        read=read_tiny,
        download=lambda folder: download(Remote(TINY_URL, "tiny-imagenet-200.zip", TINY_MD5), folder),
        size=248_100_043,
    ),
}
