"""Where a dataset's images are looked for, and in which order."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stampbench.contract import Split
from stampbench.data.catalogue import Dataset
from stampbench.data.parquet import find_parquet, read_parquet
from stampbench.errors import DataError


@dataclass(frozen=True)
class Found:
    """Images that are at hand: what they are kept as, where, and how to read both splits (train, test)."""

    kind: str
    path: Path
    read: Callable[[], tuple[Split, Split]]


def data_root() -> Path | None:
    """The folder with the user's data, `STAMPBENCH_DATA`, which is only ever read; None if it is not set."""
    root = os.environ.get("STAMPBENCH_DATA")
    return Path(root) if root else None


def locate(dataset: Dataset, downloads: Path) -> Found | None:
    """The first of: embedded or own images, original archive, parquet mirror; None if there is nothing."""
    root = data_root()
    places = [place for place in (root, downloads) if place is not None]
    for place in places:
        folder = place / dataset.source
        if find_parquet(folder, "train") and find_parquet(folder, "test"):
            return Found("parquet", folder, partial(read_parquet, folder, dataset))
    return None


def missing(dataset: Dataset, cache: Path) -> DataError:
    """The error that says where images were looked for and what to do."""
    root = data_root()
    return DataError(
        f"{dataset.name}: no images found, neither packed in {cache} nor under "
        f"STAMPBENCH_DATA ({root or 'not set'}). Run `python -m stampbench data fetch {dataset.name}`, or set "
        f"STAMPBENCH_DATA to a folder with {dataset.source}/train*.parquet and test*.parquet or the original archive."
    )


def download(dataset: Dataset, downloads: Path) -> None:
    """Not yet."""
    raise DataError(f"{dataset.name} cannot be downloaded")
