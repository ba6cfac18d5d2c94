"""The search for a dataset's images: the places, and their order."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path

from stampbench.data.archives import ARCHIVES, find_archive
from stampbench.data.catalogue import Dataset
from stampbench.data.embedded import read_digits, read_glyphs
from stampbench.data.folder import has_tree, read_tree, tree_files
from stampbench.data.parquet import find_parquet, read_parquet
from stampbench.data.task import Split
from stampbench.errors import DataError


@dataclass(frozen=True)
class Found:
    """Images that were found: the kind of their source, its path (None if embedded), and a reader of (train, test)."""

    kind: str
    path: Path | None
    read: Callable[[], tuple[Split, Split]]


def data_root() -> Path | None:
    """Return the folder of the user's data, `STAMPBENCH_DATA`, or None if it is not set. It is never written."""
    root = os.environ.get("STAMPBENCH_DATA")
    return Path(root) if root else None


def locate(dataset: Dataset, downloads: Path) -> Found | None:
    """Return the first that exists of embedded or own images, original archive and parquet mirror, or None.

    Archives and mirrors are looked for in the user's data folder, then in `downloads`.
    """
    if dataset.source in _EMBEDDED:
        return Found("embedded", None, partial(_EMBEDDED[dataset.source], dataset))
    if dataset.custom is not None:
        return _own(dataset.custom.path, dataset)
    roots = [root for root in (data_root(), downloads) if root is not None]
    for root in roots:
        if path := find_archive(root, dataset.source):
            return Found("archive", path, partial(ARCHIVES[dataset.source].read, path, dataset))
    for root in roots:
        if found := _mirror(root / dataset.source, dataset):
            return found
    return None


def missing(dataset: Dataset, cache: Path) -> DataError:
    """Return the error that says where images were looked for and what to do."""
    if dataset.custom is not None:
        return DataError(
            f"{dataset.name}: no images in {dataset.custom.path}; correct its `path` in the suite: it must "
            "hold train/<class>/ and test/<class>/ folders of images, or train*.parquet and test*.parquet"
        )
    source = dataset.source
    searched = f"neither packed in {cache} nor under STAMPBENCH_DATA ({data_root() or 'not set'})"
    mirror = f"{source}/train*.parquet and {source}/test*.parquet"
    if source not in ARCHIVES:
        return DataError(
            f"{dataset.name}: no images found, {searched}. Nobody offers its archive for download any more; set "
            f"STAMPBENCH_DATA to a folder with {mirror}"
        )
    return DataError(
        f"{dataset.name}: no images found, {searched}. Run `python -m stampbench data fetch {dataset.name}`, or set "
        f"STAMPBENCH_DATA to a folder with {' or '.join(ARCHIVES[source].names)}, or with {mirror}"
    )


def download(dataset: Dataset, downloads: Path) -> None:
    """Download the original archive into its folder under `downloads`; its MD5 is compared with its authors'.

    Raises `DataError` if there is nothing to download from, or the download fails; what has arrived by then stays.
    """
    if dataset.source not in ARCHIVES:
        raise missing(dataset, downloads)
    folder = downloads / dataset.source
    try:
        ARCHIVES[dataset.source].download(folder)
    except (OSError, HTTPException) as error:
        raise DataError(
            f"{dataset.name}: the download failed ({error}); try again, which goes on from there, or put the "
            "archive or its parquet mirror into a folder and set STAMPBENCH_DATA to it"
        ) from error


def own_files(root: Path) -> list[Path]:
    """Return the files that `locate` would have read of a user's own images; [] where there is no image."""
    return tree_files(root) if has_tree(root) else [*find_parquet(root, "train"), *find_parquet(root, "test")]


def _own(root: Path, dataset: Dataset) -> Found | None:
    if has_tree(root):
        return Found("folder", root, partial(read_tree, root, dataset))
    return _mirror(root, dataset)


def _mirror(folder: Path, dataset: Dataset) -> Found | None:
    if find_parquet(folder, "train") and find_parquet(folder, "test"):
        return Found("parquet", folder, partial(read_parquet, folder, dataset))
    return None


_EMBEDDED: Mapping[str, Callable[[Dataset], tuple[Split, Split]]] = {
    "digits": read_digits,
    "glyphs": read_glyphs,
}
