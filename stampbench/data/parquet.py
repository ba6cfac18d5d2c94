"""Parquet mirrors of datasets, in the layout of the public data hubs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stampbench.data.catalogue import Dataset
from stampbench.data.decode import Encoded, collect
from stampbench.data.listing import described, is_folder
from stampbench.data.task import Split
from stampbench.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa

_SPLITS = {"train": ("train",), "test": ("test", "valid", "val")}


def find_parquet(folder: Path, split: str) -> list[Path]:
    """Return the sorted files of a split, "train" or "test" (or "valid" on some hubs); [] if there are none."""
    for prefix in _SPLITS[split]:
        for parent in (folder, folder / "data"):
            if is_folder(parent) and (files := sorted(parent.glob(f"{prefix}*.parquet"))):
                return files
    return []


def read_parquet(folder: Path, dataset: Dataset) -> tuple[Split, Split]:
    """Read the train and test splits of `dataset` from the mirror of its source.

    Raises `DataError` for a file that is truncated, no regular one or there twice, a missing column, a label out of
    range, or an undecodable image.
    """
    train, test = (find_parquet(folder, split) for split in ("train", "test"))
    described([*train, *test])
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
        blobs, labels = _encoded(table[image]), table[label]
        types = f"{table[image].type} and {labels.type}"
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: not a readable parquet file ({error}); replace it with an intact copy") from error
    if blobs is None or not pa.types.is_integer(labels.type):
        raise DataError(
            f"{file}: column {image!r} must hold encoded images, as bytes or in a field 'bytes', and column {label!r} "
            f"integers; they are {types}; write the file so"
        )
    for row, (blob, value) in enumerate(zip(blobs, labels, strict=True)):
        where = f"{file}, row {row}"
        if not (blob.is_valid and value.is_valid):
            raise DataError(f"{where}: an image or a label is missing; replace the file with an intact copy")
        yield where, blob.as_py(), value.as_py()


def _encoded(column: pa.ChunkedArray) -> pa.ChunkedArray | None:
    """Return a column of bytes: `column`, or its field `bytes` where it is a struct; None if there is none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_struct(column.type):
        if column.type.get_field_index("bytes") < 0:
            return None
        column = pc.struct_field(column, "bytes")
    kinds = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return column if any(is_kind(column.type) for is_kind in kinds) else None


def _column(schema: pa.Schema, names: Sequence[str], file: Path) -> str:
    for name in names:
        if schema.names.count(name) > 1:
            raise DataError(f"{file}: it has several columns {name!r}; write it with one")
        if name in schema.names:
            return name
    raise DataError(f"{file}: no column {' or '.join(map(repr, names))}; it has {', '.join(schema.names)}")
