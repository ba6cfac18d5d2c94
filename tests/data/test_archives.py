import io
import os
import pickle
import shutil
import tarfile
import zipfile
from pathlib import Path
from urllib.error import URLError

import numpy as np
import pytest
import scipy.io
from PIL import Image
from torchvision import datasets

from stampbench.data import archives, download, packed
from stampbench.data.catalogue import DATASETS, selected_classes
from stampbench.errors import DataError
from tests.fixtures.images import batch, chw, md5, python2_batch, tar, write_parquet


@pytest.fixture
def cifar(root, pixels, monkeypatch):
    """A CIFAR-10 shaped archive, one batch in Python 2's format; torchvision's MD5s replaced by its own."""
    images, labels = pixels(12), [number % 10 for number in range(12)]
    members = {
        "data_batch_1": batch(images[:4], labels[:4]),
        "data_batch_2": python2_batch(images[4:8], labels[4:8]),
        "test_batch": batch(images[8:], labels[8:]),
    }
    sums = [[name, md5(data)] for name, data in members.items()]
    monkeypatch.setattr(datasets.CIFAR10, "train_list", sums[:2])
    monkeypatch.setattr(datasets.CIFAR10, "test_list", sums[2:])
    file = root / "cifar-10-python.tar.gz"
    tar(file, {f"cifar-10-batches-py/{name}": data for name, data in members.items()})
    monkeypatch.setattr(datasets.CIFAR10, "tgz_md5", md5(file.read_bytes()))
    return file, images, labels


def test_cifar_archive(cifar):
    _, images, labels = cifar
    loaded = packed.load("cifar10")
    assert loaded.manifest.source == "archive"
    assert np.array_equal(loaded.train.images.numpy(), chw(images[:8]))
    assert loaded.train.labels.tolist() == labels[:8]
    assert np.array_equal(loaded.test.images.numpy(), chw(images[8:]))


def test_cifar_folder_agrees_with_torchvisions_reader(cifar, root, monkeypatch):
    file, _, _ = cifar
    shutil.unpack_archive(file, root, filter="data")
    file.unlink()
    meta = pickle.dumps({"label_names": list("abcdefghij")})
    (root / "cifar-10-batches-py" / "batches.meta").write_bytes(meta)
    monkeypatch.setitem(datasets.CIFAR10.meta, "md5", md5(meta))
    reference = datasets.CIFAR10(root, train=True)
    loaded = packed.load("cifar10")
    assert np.array_equal(loaded.train.images.numpy(), chw(reference.data))
    assert loaded.train.labels.tolist() == reference.targets


def test_truncated_cifar_archive(cifar, cache):
    file, _, _ = cifar
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(DataError, match=r"cifar-10-python.tar.gz: wrong checksum.*data fetch"):
        packed.load("cifar10")
    assert not (cache / "data").exists()


def test_cifar_label_out_of_range(root, pixels, monkeypatch):
    data = batch(pixels(2), [0, 11])
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [["data_batch_1", md5(data)]])
    (root / "cifar-10-batches-py").mkdir()
    (root / "cifar-10-batches-py" / "data_batch_1").write_bytes(data)
    with pytest.raises(DataError, match="data_batch_1, image 1: label 11 is out of range"):
        packed.load("cifar10")


class Malice:
    def __reduce__(self):
        return os.system, ("echo harm",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_batch_is_refused_not_run(root, monkeypatch, protocol, capfd):
    data = pickle.dumps({"data": Malice(), "labels": [0]}, protocol=protocol)
    monkeypatch.setattr(datasets.CIFAR10, "train_list", [["data_batch_1", md5(data)]])
    (root / "cifar-10-batches-py").mkdir()
    (root / "cifar-10-batches-py" / "data_batch_1").write_bytes(data)
    with pytest.raises(DataError, match="system is not allowed"):
        packed.load("cifar10")
    assert "harm" not in capfd.readouterr().out


def _write_svhn(root, pixels, monkeypatch, labels):
    split_list = dict(datasets.SVHN.split_list)
    images = pixels(len(labels))
    for name in ("train", "test"):
        file = root / f"{name}_32x32.mat"
        scipy.io.savemat(file, {"X": images.transpose(1, 2, 3, 0), "y": np.array(labels, np.uint8)[:, None]})
        split_list[name] = ["", file.name, md5(file.read_bytes())]
    monkeypatch.setattr(datasets.SVHN, "split_list", split_list)
    return images


def test_svhn_archive(root, pixels, monkeypatch):
    images = _write_svhn(root, pixels, monkeypatch, [1, 9, 10, 10])
    loaded = packed.load("svhn")
    assert np.array_equal(loaded.train.images.numpy(), chw(images))
    assert loaded.train.labels.tolist() == [1, 9, 0, 0]


def test_svhn_wrong_checksum(root, pixels, monkeypatch):
    _write_svhn(root, pixels, monkeypatch, [1, 2])
    with (root / "test_32x32.mat").open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match=r"test_32x32.mat: missing, or its checksum is wrong"):
        packed.load("svhn")


@pytest.fixture
def aircraft(root):
    """An FGVC-shaped folder: grey photographs 120 wide and 110 high over a white banner of 20 rows."""
    data = root / "fgvc-aircraft-2013b" / "data"
    (data / "images").mkdir(parents=True)
    variants = ["707-320", "A300B4", "DC-3"]
    (data / "variants.txt").write_text("".join(f"{name}\n" for name in variants))
    for split, numbers in {"trainval": range(6), "test": range(6, 9)}.items():
        lines = []
        for number in numbers:
            picture = np.full((130, 120, 3), 20 * number, dtype=np.uint8)
            picture[110:] = 255
            Image.fromarray(picture).save(data / "images" / f"{number:07d}.jpg", quality=95)
            lines.append(f"{number:07d} {variants[number % 3]}\n")
        (data / f"images_variant_{split}.txt").write_text("".join(lines))
    return data


def test_aircraft_archive(aircraft):
    loaded = packed.load("aircraft")
    assert loaded.train.images.shape == (6, 3, 96, 96)
    assert loaded.train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert loaded.manifest.classes == 100
    assert loaded.manifest.display_name == "aircraft-6"
    for number, image in enumerate(loaded.train.images):
        assert (image.int() - 20 * number).abs().max() <= 4, "the banner must be gone"


def test_aircraft_with_an_unreadable_photograph(aircraft):
    (aircraft / "images" / "0000003.jpg").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"0000003.jpg: cannot decode"):
        packed.load("aircraft")


def test_aircraft_without_its_lists(aircraft):
    (aircraft / "images_variant_test.txt").unlink()
    with pytest.raises(DataError, match="its test lists cannot be read"):
        packed.load("aircraft")


@pytest.fixture
def tiny(root):
    """Tiny-ImageNet's folder: 200 classes, one 64×64 image each, of the class's own grey."""
    folder = root / "tiny-imagenet-200"
    words = [f"n{number:08d}" for number in range(200)]
    (folder / "val" / "images").mkdir(parents=True)
    (folder / "wnids.txt").write_text("\n".join(reversed(words)))
    lines = []
    for rank, word in enumerate(words):
        (folder / "train" / word / "images").mkdir(parents=True)
        picture = Image.new("L", (64, 64), rank)
        picture.save(folder / "train" / word / "images" / f"{word}_0.JPEG", quality=95)
        picture.save(folder / "val" / "images" / f"val_{rank}.JPEG", quality=95)
        lines.append(f"val_{rank}.JPEG\t{word}\t0\t0\t62\t62\n")
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    return folder


@pytest.mark.parametrize("zipped", [False, True])
def test_tiny_imagenet_archive(tiny, root, monkeypatch, zipped):
    if zipped:
        file = root / "tiny-imagenet-200.zip"
        with zipfile.ZipFile(file, "w") as archive:
            for path in sorted(tiny.rglob("*")):
                archive.write(path, path.relative_to(root))
        shutil.rmtree(tiny)
        monkeypatch.setattr(archives, "TINY_MD5", md5(file.read_bytes()))
    for name in ("tinyimagenet", "tinyimagenet-dev2"):
        loaded = packed.load(name)
        greys = selected_classes(DATASETS[name])
        for split in (loaded.train, loaded.test):
            assert split.labels.tolist() == list(range(len(greys)))
            assert [int(image.float().mean().round()) for image in split.images] == list(greys)


def test_tiny_imagenet_wrong_checksum(root):
    (root / "tiny-imagenet-200.zip").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"tiny-imagenet-200.zip: wrong checksum"):
        packed.load("tinyimagenet")


def test_the_archive_comes_before_the_mirror(cifar, root, pixels):
    for name in ("train", "test"):
        write_parquet(root / "cifar10" / f"{name}.parquet", pixels(2), [0, 1])
    assert packed.load("cifar10").manifest.source == "archive"


def test_fetch_puts_the_archive_into_the_cache_not_the_data_root(cifar, root, cache, monkeypatch):
    file, images, _ = cifar
    kept = file.rename(file.parent.parent / "elsewhere")
    monkeypatch.setattr(datasets.CIFAR10, "url", kept.as_uri())
    assert np.array_equal(packed.fetch("cifar10").train.images.numpy(), chw(images[:8]))
    assert list(root.iterdir()) == []
    assert (cache / "downloads" / "cifar10" / "cifar-10-python.tar.gz").is_file()


@pytest.mark.parametrize("name", ["cifar100", "tinyimagenet-dev1"])
def test_a_failed_download_is_a_clear_error(monkeypatch, name):
    def fail(*_):
        raise URLError("no route")

    monkeypatch.setattr(download, "urlopen", fail)
    with pytest.raises(DataError, match=r"the download failed .*no route.*STAMPBENCH_DATA"):
        packed.fetch(name)


def test_svhn_is_fetched_file_by_file_and_checked(root, cache, pixels, monkeypatch):
    images = _write_svhn(root, pixels, monkeypatch, [1, 9, 10, 10])
    published = {
        split: [(root / name).as_uri(), name, md5] for split, (_, name, md5) in datasets.SVHN.split_list.items()
    }
    monkeypatch.setattr(datasets.SVHN, "split_list", published)
    monkeypatch.delenv("STAMPBENCH_DATA")
    assert np.array_equal(packed.fetch("svhn").train.images.numpy(), chw(images))
    assert {path.name for path in (cache / "downloads" / "svhn").glob("*.mat")} == {"train_32x32.mat", "test_32x32.mat"}


def test_aircraft_is_fetched_and_its_archive_removed(aircraft, root, cache, monkeypatch):
    file = root.parent / "archive.tar.gz"
    with tarfile.open(file, "w:gz") as packed_up:
        packed_up.add(root / "fgvc-aircraft-2013b", "fgvc-aircraft-2013b")
    monkeypatch.setattr(archives, "AIRCRAFT_URL", file.as_uri())
    monkeypatch.delenv("STAMPBENCH_DATA")
    assert packed.fetch("aircraft").train.labels.tolist() == [0, 1, 2, 0, 1, 2]
    left = [path.name for path in (cache / "downloads" / "aircraft").iterdir() if not path.name.endswith(".lock")]
    assert left == ["fgvc-aircraft-2013b"]


def tar_of(path: Path, *members: tuple[str, int] | tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            info = member if isinstance(member, tarfile.TarInfo) else tarfile.TarInfo(member[0])
            info.size = 0 if isinstance(member, tarfile.TarInfo) else member[1]
            tar.addfile(info, io.BytesIO(bytes(info.size)))
    return path


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


@pytest.mark.parametrize(
    "evil",
    [
        ("../outside", 3),
        ("a/../../outside", 3),
        link("a", "/etc"),
        link("a", "../.."),
        link("device", "", tarfile.CHRTYPE),
    ],
)
def test_an_archive_that_would_write_elsewhere_writes_nothing(tmp_path, evil):
    archive, folder = tar_of(tmp_path / "a.tar.gz", ("good", 3), evil), tmp_path / "inside"
    folder.mkdir()
    before = set(tmp_path.rglob("*"))
    with pytest.raises(DataError, match="delete it and fetch again"):
        archives.extract(archive, folder, 100)
    assert set(tmp_path.rglob("*")) == before


def test_a_bomb_is_not_extracted(tmp_path):
    archive = tar_of(tmp_path / "a.tar.gz", ("good", 3), ("bomb", 10**6))
    assert archive.stat().st_size < 10**4
    with pytest.raises(DataError, match="more than 1,000 bytes"):
        archives.extract(archive, tmp_path / "inside", 1000)
    assert not (tmp_path / "inside").exists()
    archives.extract(archive, tmp_path / "inside", 2 * 10**6)
    assert (tmp_path / "inside" / "bomb").stat().st_size == 10**6


def test_a_truncated_archive_is_a_clear_error(tmp_path):
    archive = tar_of(tmp_path / "a.tar.gz", ("good", 10**5))
    archive.write_bytes(archive.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be extracted"):
        archives.extract(archive, tmp_path / "inside", 10**6)
