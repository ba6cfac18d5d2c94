"""Images of one's own: what is read, in which order, and how samples that are not of 8 bits become so."""

import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from torchvision.datasets import ImageFolder

from stampbench.data import packed
from stampbench.data.catalogue import CustomDataset, resolve
from stampbench.data.decode import decode
from stampbench.data.folder import class_images
from stampbench.errors import DataError
from tests.fixtures.images import png

SIZE = 16
RAMP = np.linspace(0, 65535, SIZE * SIZE).astype(np.uint16).reshape(SIZE, SIZE)


@pytest.fixture
def own(tmp_path):
    return {"mine": CustomDataset(path=tmp_path / "mine", size=SIZE)}


@pytest.fixture
def mine(tmp_path, pixels):
    """Three classes, with folders below one of them and names that sort in a surprising order."""
    names = ("b/10.png", "b/9.png", "B/1.PNG", "a/z/1.jpg", "a/1.png", "a/y/1.bmp", "a/notes.txt")
    for split in ("train", "test"):
        for name, image in zip(names, pixels(len(names), SIZE), strict=True):
            path = tmp_path / "mine" / split / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".txt":
                path.write_text("no image")
            else:
                Image.fromarray(image).save(path)
    return tmp_path / "mine"


def encoded(image: Image.Image, kind: str) -> bytes:
    image.save(stream := io.BytesIO(), kind)
    return stream.getvalue()


def grey(content: bytes, own) -> np.ndarray:
    """The decoded image, of which all three colours are equal."""
    found = decode(content, resolve("mine", own), "here")
    assert (found == found[..., :1]).all()
    return found[..., 0]


def test_the_files_are_those_of_image_folder_in_its_order(mine):
    oracle = ImageFolder(str(mine / "train"))
    found = class_images(mine / "train")
    assert list(found) == oracle.classes
    listed = [(str(file), label) for label, files in enumerate(found.values()) for file in files]
    assert listed == oracle.samples


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_greys_of_16_bits_keep_their_upper_eight(own, kind):
    found = grey(encoded(Image.fromarray(RAMP), kind), own)
    assert np.array_equal(found, (RAMP // 256).astype(np.uint8))
    assert len(np.unique(found)) == SIZE * SIZE


def test_greys_of_16_bits_in_pgm_keep_their_upper_eight(own):
    content = f"P5 {SIZE} {SIZE} 65535\n".encode() + RAMP.astype(">u2").tobytes()
    assert np.array_equal(grey(content, own), (RAMP // 256).astype(np.uint8))


@pytest.mark.parametrize(
    ("samples", "said"),
    [
        (RAMP.astype(np.float32) / 65535, "floats"),
        (RAMP.astype(np.int32), "integers of 32 bits"),
        (np.full((SIZE, SIZE), np.nan, np.float32), "floats"),
    ],
)
def test_samples_whose_white_is_unknown_are_refused(own, samples, said):
    with pytest.raises(DataError, match=f"here: .*{said}.*convert it"):
        decode(encoded(Image.fromarray(samples), "TIFF"), resolve("mine", own), "here")


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "RGB"])
def test_images_of_8_bits_are_what_pillow_makes_of_them(own, pixels, mode):
    image = Image.fromarray(pixels(1, SIZE)[0]).convert(mode)
    content = encoded(image, "TIFF" if mode in ("CMYK", "YCbCr") else "PNG")
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert np.array_equal(decode(content, resolve("mine", own), "here"), expected)


def test_the_first_frame_of_an_animation_counts(own, pixels):
    frames = [Image.fromarray(frame).convert("P") for frame in pixels(3, SIZE)]
    frames[0].save(stream := io.BytesIO(), "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    expected = np.asarray(Image.open(io.BytesIO(stream.getvalue())).convert("RGB"))
    assert np.array_equal(decode(stream.getvalue(), resolve("mine", own), "here"), expected)


def test_an_image_changed_or_added_behind_a_link_is_read_anew(tmp_path, mine, own, pixels):
    (mine / "train" / "b").rename(tmp_path / "elsewhere")
    (mine / "train" / "b").symlink_to(tmp_path / "elsewhere")
    first = packed.load("mine", own)
    changed = pixels(1, SIZE)[0] ^ 255
    Image.fromarray(changed).save(tmp_path / "elsewhere" / "9.png")
    second = packed.load("mine", own)
    assert second.manifest.digest != first.manifest.digest
    assert any(np.array_equal(image.numpy().transpose(1, 2, 0), changed) for image in second.train.images)
    Image.fromarray(changed).save(tmp_path / "elsewhere" / "11.png")
    assert packed.load("mine", own).manifest.train == first.manifest.train + 1


def test_a_loop_of_links_multiplies_no_image(mine, own):
    (mine / "train" / "a" / "loop").symlink_to("..")
    with pytest.raises(DataError, match=r"loop: it is .*train once more, reached by a link; remove one of the two"):
        packed.load("mine", own)


@pytest.mark.parametrize("target", ["../b/9.png", "../../test/a/1.png"])
def test_one_file_under_two_names_is_refused(mine, own, target):
    """The same image could be in training and in validation, or in training and in the test."""
    (mine / "train" / "a" / "2.png").symlink_to(target)
    with pytest.raises(DataError, match="once more"):
        packed.load("mine", own)


def test_a_hard_link_is_the_same_file_too(mine, own):
    os.link(mine / "train" / "b" / "9.png", mine / "test" / "b" / "11.png")
    with pytest.raises(DataError, match="once more"):
        packed.load("mine", own)


def test_names_that_are_not_utf8_are_read(mine, own):
    before = packed.load("mine", own).manifest.train
    name = os.fsencode(mine / "train" / "a") + b"/\xff\xfe.png"
    Path(os.fsdecode(name)).write_bytes(png(np.zeros((SIZE, SIZE, 3), np.uint8)))
    assert packed.load("mine", own).manifest.train == before + 1


def table(file: Path, column: pa.Array) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": column, "label": pa.array([0, 1, 1])}), file)


STRUCT = pa.struct([("bytes", pa.large_binary())])


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), STRUCT], ids=str)
def test_bytes_of_every_kind_are_the_same_images(tmp_path, own, pixels, kind):
    images = pixels(3, SIZE)
    blobs = [{"bytes": png(image)} if kind is STRUCT else png(image) for image in images]
    for split in ("train", "test"):
        table(tmp_path / "mine" / f"{split}.parquet", pa.array(blobs, kind))
    assert np.array_equal(packed.load("mine", own).train.images.numpy(), images.transpose(0, 3, 1, 2))


def test_any_number_of_readers_may_mend_one_damaged_cache(mine, own, cache):
    """All find it damaged before one of them mends it."""
    packed.load("mine", own)
    (folder,) = (path for path in (cache / "data").iterdir() if path.name.startswith("mine"))
    count = 4
    for _ in range(3):
        packed.cached_read.cache_clear()
        (folder / "images.safetensors").write_bytes(b"damaged")
        start = threading.Barrier(count)

        def read(start=start) -> int:
            start.wait()
            return packed.load("mine", own).manifest.train

        with ThreadPoolExecutor(count) as threads:
            found = [reader.result() for reader in [threads.submit(read) for _ in range(count)]]
        assert found == [6] * count
    assert len(list((cache / "data").glob("mine*.damaged"))) == 3
