"""Parquet mirrors of datasets, in the layout of the public data hubs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stampbench.data.catalogue import Dataset
from stampbench.data.decode import Encoded, collect
from stampbench.data.task import Split
from stampbench.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_SPLITS = {"train": ("train",), "test": ("test", "valid", "val")}


def find_parquet(folder: Path, split: str) -> list[Path]:
    """Return the sorted files of a split, "train" or "test" (or "valid" on some hubs); [] if there are none."""
    for prefix in _SPLITS[split]:
        for parent in (folder, folder / "data"):
            if files := sorted(parent.glob(f"{prefix}*.parquet")):
                return files
    return []


def read_parquet(folder: Path, dataset: Dataset) -> tuple[Split, Split]:
    """Read the train and test splits of `dataset` from the mirror of its source.

    Raises `DataError` for a truncated file, a missing column, a label out of range, or an undecodable image.
    """
    train, test = (find_parquet(folder, split) for split in ("train", "test"))
    return _read(train, dataset, folder), _read(test, dataset, folder)


def _read(files: Sequence[Path], dataset: Dataset, folder: Path) -> Split:
    return collect((item for file in files for item in _rows(file, dataset)), dataset, str(folder))


def _rows(file: Path, dataset: Dataset) -> Iterator[Encoded]:
    # Imported here, because a machine whose data is packed needs no pyarrow.
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        schema = pq.read_schema(file)
        image = _column(schema, dataset.image_columns, file)
        label = _column(schema, dataset.label_columns, file)
        table = pq.read_table(file, columns=[image, label])
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{file}: not a readable parquet file ({error}); replace it with an intact copy") from error
    blobs, labels = table[image], table[label]
    if pa.types.is_struct(blobs.type):
        if blobs.type.get_field_index("bytes") < 0:
            raise DataError(
                f"{file}: column {image!r} has no field 'bytes' with the encoded image; write the file with that field"
            )
        blobs = pa.chunked_array([chunk.field("bytes") for chunk in blobs.chunks], pa.binary())
    if not pa.types.is_binary(blobs.type) or not pa.types.is_integer(labels.type):
        raise DataError(
            f"{file}: column {image!r} must hold encoded images and column {label!r} integers; write the file so"
        )
    for row, (blob, value) in enumerate(zip(blobs, labels, strict=True)):
        where = f"{file}, row {row}"
        if not (blob.is_valid and value.is_valid):
            raise DataError(f"{where}: an image or a label is missing; replace the file with an intact copy")
        yield where, blob.as_py(), value.as_py()


def _column(schema: pa.Schema, names: Sequence[str], file: Path) -> str:
    for name in names:
        if name in schema.names:
            return name
    raise DataError(f"{file}: no column {' or '.join(map(repr, names))}; it has {', '.join(schema.names)}")
