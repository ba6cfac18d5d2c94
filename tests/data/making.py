"""Small datasets in the layouts of the real ones."""

import hashlib
import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def png(image: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def write_parquet(file: Path, images, labels, image="img", label="label") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    blobs = [one if isinstance(one, bytes) else png(one) for one in images]
    column = pa.array([{"bytes": blob, "path": None} for blob in blobs])
    pq.write_table(pa.table({image: column, label: pa.array([int(x) for x in labels])}), file)


def chw(images: np.ndarray) -> np.ndarray:
    return images.transpose(0, 3, 1, 2)


def md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def batch(images: np.ndarray, labels, key: str = "labels") -> bytes:
    """A CIFAR batch as bytes: rows of 3072 values, channel by channel."""
    return pickle.dumps({"data": chw(images).reshape(len(images), -1), key: list(labels)}, protocol=4)


def python2_batch(images: np.ndarray, labels) -> bytes:
    """The same as Python 2 and numpy 1 wrote it: protocol 2 with byte strings, as in the real archive."""

    def text(value: bytes) -> bytes:
        return b"T" + len(value).to_bytes(4, "little") + value

    rows = chw(images).reshape(len(images), -1)

    def shape(*sizes: int) -> bytes:
        return b"(" + b"".join(b"M" + size.to_bytes(2, "little") for size in sizes) + b"t"

    dtype = (
        b"cnumpy\ndtype\n(" + text(b"u1") + b"K\x00K\x01tR"
        b"(K\x03" + text(b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    )
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n" + shape(0) + text(b"b") + b"tR"
        b"(K\x01" + shape(*rows.shape) + dtype + b"\x89" + text(rows.tobytes()) + b"tb"
    )
    numbers = b"](" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(b"labels") + numbers + b"u."


def tar(file: Path, members: dict[str, bytes]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(file, "w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
