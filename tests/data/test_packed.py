import json
import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from stampbench.data import packed
from stampbench.data.catalogue import CustomDataset
from stampbench.errors import DamagedError, DataError, UserError
from tests.fixtures.images import chw, png, write_parquet


@pytest.fixture
def mirror(root, pixels):
    images, labels = pixels(30), np.arange(30) % 10
    write_parquet(root / "cifar10" / "train-00000-of-00002.parquet", images[:12], labels[:12])
    write_parquet(root / "cifar10" / "train-00001-of-00002.parquet", images[12:20], labels[12:20])
    write_parquet(root / "cifar10" / "test.parquet", images[20:], labels[20:])
    return images, labels


def test_parquet_mirror_round_trip(mirror):
    images, labels = mirror
    for _ in range(2):
        loaded = packed.load("cifar10")
        assert np.array_equal(loaded.train.images.numpy(), chw(images[:20]))
        assert np.array_equal(loaded.train.labels.numpy(), labels[:20])
        assert np.array_equal(loaded.test.images.numpy(), chw(images[20:]))
        packed.cached_read.cache_clear()
    assert loaded.manifest.source == "parquet"
    assert (loaded.manifest.train, loaded.manifest.test, loaded.manifest.classes) == (20, 10, 10)


def test_statistics_are_numpys(mirror):
    images, _ = mirror
    manifest = packed.load("cifar10").manifest
    scaled = images[:20].astype(np.float64) / 255
    np.testing.assert_allclose(manifest.mean, scaled.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(manifest.std, scaled.std((0, 1, 2)), rtol=1e-12)


def test_a_subset_is_never_called_by_the_full_name(mirror):
    assert packed.load("cifar10").manifest.display_name == "cifar10-20"
    assert packed.load("digits").manifest.display_name == "digits"


def test_loading_twice_in_a_process_shares_the_tensors(mirror):
    assert packed.load("cifar10") is packed.load("cifar10")


def test_the_packed_cache_needs_no_source(mirror, root):
    packed.load("cifar10")
    packed.cached_read.cache_clear()
    shutil.rmtree(root / "cifar10")
    assert packed.load("cifar10").manifest.train == 20


def test_hub_layout_with_a_data_folder_and_validation_files(root, pixels):
    folder = root / "cifar10" / "data"
    write_parquet(folder / "train-0.parquet", pixels(4), range(4), image="image")
    write_parquet(folder / "valid-0.parquet", pixels(3), range(3), image="image")
    assert packed.load("cifar10").manifest.test == 3


def test_cifar100_takes_the_fine_labels(root, pixels):
    for name in ("train", "test"):
        write_parquet(root / "cifar100" / f"{name}.parquet", pixels(3), [7, 42, 99], label="fine_label")
    assert packed.load("cifar100").train.labels.tolist() == [7, 42, 99]


def test_tiny_imagenet_splits_into_reference_and_development(root, pixels):
    for name in ("train", "test"):
        write_parquet(root / "tinyimagenet" / f"{name}.parquet", pixels(200), range(200), image="image")
    reference = packed.load("tinyimagenet")
    parts = [reference, *(packed.load(f"tinyimagenet-dev{fold}") for fold in range(4))]
    assert [part.manifest.classes for part in parts] == [160, 10, 10, 10, 10]
    for part in parts:
        assert part.train.labels.tolist() == list(range(part.manifest.classes))
    seen = {image.numpy().tobytes() for part in parts for image in part.train.images}
    assert len(seen) == 200


def test_cars_are_read_from_a_mirror_at_64_pixels(root, pixels):
    for name in ("train", "test"):
        write_parquet(root / "cars" / f"{name}.parquet", pixels(4, 64), [0, 195, 7, 8], image="image")
    loaded = packed.load("cars")
    assert loaded.train.images.shape == (4, 3, 64, 64) and loaded.train.labels.tolist() == [0, 195, 7, 8]
    assert (loaded.manifest.classes, loaded.manifest.display_name) == (196, "cars-4")


def _break(folder, pixels, how):
    images, labels = list(pixels(4)), [0, 1, 2, 3]
    options = {}
    if how == "label":
        labels[2] = 10
    if how == "negative":
        labels[2] = -1
    if how == "image":
        images[2] = png(images[2])[:40]
    if how == "column":
        options = {"image": "picture"}
    if how == "label column":
        options = {"label": "kind"}
    write_parquet(folder / "train.parquet", images, labels, **options)
    write_parquet(folder / "test.parquet", pixels(2), [0, 1])
    if how == "truncated":
        data = (folder / "train.parquet").read_bytes()
        (folder / "train.parquet").write_bytes(data[: len(data) // 2])


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("label", r"train.parquet, row 2: label 10 is out of range \(0 to 9\)"),
        ("negative", "row 2: label -1 is out of range"),
        ("image", "train.parquet, row 2: cannot decode"),
        ("column", "train.parquet: no column 'image' or 'img'; it has picture, label"),
        ("label column", "no column 'label'; it has img, kind"),
        ("truncated", "train.parquet: not a readable parquet file"),
    ],
)
def test_a_broken_mirror_is_a_clear_error_and_leaves_the_cache_alone(root, cache, pixels, how, message):
    _break(root / "cifar10", pixels, how)
    with pytest.raises(DataError, match=message):
        packed.load("cifar10")
    assert not (cache / "data").exists()


def test_missing_data_says_what_to_run(root):
    with pytest.raises(DataError, match=r"data fetch aircraft.*STAMPBENCH_DATA.*fgvc-aircraft-2013b"):
        packed.load("aircraft")


@pytest.mark.parametrize("read", [packed.load, packed.fetch])
def test_what_nobody_offers_for_download_says_where_to_put_a_mirror(root, read):
    with pytest.raises(
        DataError, match=r"cars: no images .*any more; set STAMPBENCH_DATA .*cars/train\*\.parquet"
    ) as error:
        read("cars")
    assert "data fetch" not in str(error.value)


@pytest.mark.parametrize("variable", ["STAMPBENCH_CACHE", "STAMPBENCH_DATA"])
@pytest.mark.parametrize("read", [packed.load, packed.fetch, packed.status], ids=["load", "fetch", "status"])
def test_a_folder_where_nobody_may_look_is_named(variable, read, monkeypatch):
    """An overlong name stands for a folder without permission, because root may look everywhere."""
    monkeypatch.setenv(variable, f"/{'x' * 5000}")
    with pytest.raises(DataError, match=f"cannot be read .*{variable}"):
        read() if read is packed.status else read("cifar10")


def test_an_interrupted_write_leaves_nothing(mirror, cache, monkeypatch):
    def fail(tensors, path):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(packed, "save_file", fail)
    with pytest.raises(UserError, match="cannot be written: disk full; free some space"):
        packed.load("cifar10")
    assert list((cache / "data").iterdir()) == []


def test_of_two_that_pack_at_once_the_first_wins(mirror, cache):
    first = packed.load("cifar10")
    packed.write(first, cache / "data" / "cifar10-v1")
    assert [entry.name for entry in (cache / "data").iterdir()] == ["cifar10-v1"]


def test_verify_finds_a_changed_pixel(mirror, cache):
    assert packed.verify("cifar10").train == 20
    file = cache / "data" / "cifar10-v1" / "images.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(file).items()}
    tensors["train_images"][0, 0, 0, 0] ^= 1
    save_file(tensors, file)
    with pytest.raises(DamagedError, match=r"the images' digest is \w+, the manifest's \w+\); delete that folder"):
        packed.verify("cifar10")


@pytest.mark.parametrize("how", ["truncated", "pixel", "count", "manifest", "no manifest"])
@pytest.mark.parametrize("read", [packed.load, packed.manifest])
def test_a_damaged_cache_is_set_aside_told_and_packed_anew(mirror, cache, how, read, caplog):
    before = packed.load("cifar10")
    images = before.train.images.clone()  # what is loaded is a map of the file
    packed.cached_read.cache_clear()
    folder = cache / "data" / "cifar10-v1"
    if how == "truncated":
        data = (folder / "images.safetensors").read_bytes()
        (folder / "images.safetensors").write_bytes(data[:-100])
    elif how == "count":
        manifest = json.loads((folder / "manifest.json").read_text())
        (folder / "manifest.json").write_text(json.dumps(manifest | {"train": 21}))
    elif how == "pixel":
        data = bytearray((folder / "images.safetensors").read_bytes())
        data[-1] ^= 1
        (folder / "images.safetensors").write_bytes(data)
    elif how == "manifest":
        (folder / "manifest.json").write_text("{")
    else:
        (folder / "manifest.json").unlink()
    read("cifar10")
    again = packed.load("cifar10")
    assert again.manifest == before.manifest and torch.equal(again.train.images, images)
    assert how == "no manifest" or "set aside as cifar10-v1.damaged" in caplog.text


def test_a_damaged_cache_without_its_source_says_what_is_missing(mirror, cache, monkeypatch):
    packed.load("cifar10")
    packed.cached_read.cache_clear()
    (cache / "data" / "cifar10-v1" / "manifest.json").write_text("{")
    monkeypatch.delenv("STAMPBENCH_DATA")
    with pytest.raises(DataError, match="data fetch cifar10"):
        packed.load("cifar10")


def test_status_survives_a_damaged_cache(mirror, cache):
    packed.load("cifar10")
    (cache / "data" / "cifar10-v1" / "manifest.json").write_text("{")
    assert {status.name: status for status in packed.status()}["cifar10"].found == "damaged"


def test_status_tells_where_each_dataset_stands(mirror):
    before = {status.name: status for status in packed.status()}
    assert (before["cifar10"].found, before["cifar10"].cached) == ("parquet", False)
    assert before["aircraft"].found is None
    assert before["glyphs"].found == "embedded"
    packed.load("cifar10")
    after = {status.name: status for status in packed.status()}["cifar10"]
    assert (after.cached, after.display_name, after.train, after.test) == (True, "cifar10-20", 20, 10)


def _tree(folder, pixels, names):
    for name in names:
        (folder / name).mkdir(parents=True)
        for number, image in enumerate(pixels(2, 40)):
            Image.fromarray(image).save(folder / name / f"{number}.png")


def test_own_folder_tree(tmp_path, pixels):
    own = {"mine": CustomDataset(path=tmp_path / "mine", size=20)}
    _tree(tmp_path / "mine" / "train", pixels, ["cat", "dog", "eel"])
    _tree(tmp_path / "mine" / "test", pixels, ["cat", "dog", "eel"])
    loaded = packed.load("mine", own)
    assert loaded.train.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert (loaded.manifest.classes, loaded.manifest.display_name, loaded.manifest.source) == (
        3,
        "mine",
        "folder",
    )
    stream = np.random.default_rng(0)
    first = stream.integers(0, 256, (2, 40, 40, 3), dtype=np.uint8)[0].astype(float)
    means = first.reshape(20, 2, 20, 2, 3).mean((1, 3)).transpose(2, 0, 1)
    assert np.abs(loaded.train.images[0].numpy() - means).max() <= 1


def test_own_images_are_packed_again_when_a_file_is_added(tmp_path, pixels):
    own = {"mine": CustomDataset(path=tmp_path / "mine", size=20)}
    _tree(tmp_path / "mine" / "train", pixels, ["cat", "dog"])
    _tree(tmp_path / "mine" / "test", pixels, ["cat", "dog"])
    assert packed.load("mine", own).manifest.train == 4
    Image.fromarray(pixels(1)[0]).save(tmp_path / "mine" / "train" / "cat" / "9.png")
    assert packed.load("mine", own).manifest.train == 5


def test_own_tree_with_different_classes_is_refused(tmp_path, pixels):
    own = {"mine": CustomDataset(path=tmp_path / "mine", size=20)}
    _tree(tmp_path / "mine" / "train", pixels, ["cat", "dog"])
    _tree(tmp_path / "mine" / "test", pixels, ["cat", "cow"])
    with pytest.raises(DataError, match="cow, dog are not in both"):
        packed.load("mine", own)


def test_own_parquet_with_named_columns(tmp_path, pixels):
    own = {"mine": CustomDataset(path=tmp_path / "mine", size=32, image_column="photo", label_column="kind")}
    for name in ("train", "test"):
        write_parquet(tmp_path / "mine" / f"{name}.parquet", pixels(3), [0, 1, 2], image="photo", label="kind")
    assert packed.load("mine", own).manifest.classes == 3


def test_own_folder_without_images_is_a_clear_error(tmp_path):
    with pytest.raises(DataError, match="correct its `path`"):
        packed.load("mine", {"mine": CustomDataset(path=tmp_path / "nowhere", size=32)})


def test_fetch_downloads_only_when_nothing_is_at_hand(mirror, monkeypatch):
    def refuse(dataset, downloads):
        raise DataError("downloaded")

    monkeypatch.setattr(packed.sources, "download", refuse)
    assert packed.fetch("cifar10").manifest.train == 20
    with pytest.raises(DataError, match="downloaded"):
        packed.fetch("svhn")


def test_images_are_bytes_on_the_cpu(mirror):
    split = packed.load("cifar10").train
    assert (split.images.dtype, split.labels.dtype) == (torch.uint8, torch.int64)


def test_a_cache_that_may_not_be_entered_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path))
    # Whoever runs the tests as root may enter everything.
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    with pytest.raises(DataError, match="may not be entered; allow it, or set STAMPBENCH_CACHE"):
        packed.cache_root()
