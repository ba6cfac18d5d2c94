import pytest
import torch

from stampbench.contract import Split
from stampbench.data.catalogue import DATASETS
from stampbench.data.packed import Manifest, PackedDataset
from stampbench.data.split import make_task
from stampbench.data.split import test_split as whole_test
from stampbench.errors import DataError

CIFAR = DATASETS["cifar10"]


def numbered(count: int) -> Split:
    """Images whose bytes spell their index, labelled with the index modulo 10."""
    index = torch.arange(count)
    pixels = torch.stack([index // 256, index % 256, index * 0], dim=1).to(torch.uint8)
    return Split(pixels[:, :, None, None].expand(-1, -1, 32, 32).contiguous(), index % 10)


@pytest.fixture(scope="module")
def packed():
    manifest = Manifest(
        name="cifar10", display_name="cifar10-300", source="parquet", train=300, test=20, classes=10, size=32,
        mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2), digest="",
    )  # fmt: skip
    return PackedDataset(manifest, numbered(300), numbered(20))


def indices(split: Split) -> list[int]:
    return (split.images[:, 0, 0, 0].long() * 256 + split.images[:, 1, 0, 0]).tolist()


@pytest.mark.parametrize(("total", "count"), [(None, 300), (100, 100)])
def test_the_total_counts_the_validation_images_and_nothing_is_in_both(packed, total, count):
    task, _ = make_task(packed, CIFAR, total, 30, 0, "cpu")
    train, validation = indices(task.train), indices(task.validation)
    assert (len(train), len(validation)) == (count - 30, 30)
    assert len(set(train) | set(validation)) == count
    assert task.train.labels.tolist() == [index % 10 for index in train]
    assert (task.classes, task.input_size, task.mean) == (10, 32, (0.5, 0.4, 0.3))


def test_a_seed_draws_the_same_and_another_seed_others(packed):
    first, again, other = (make_task(packed, CIFAR, 100, 10, seed, "cpu") for seed in (0, 0, 1))
    assert first[1] == again[1] != other[1]
    assert indices(first[0].train) == indices(again[0].train) != indices(other[0].train)


def test_another_dataset_draws_others(packed):
    assert make_task(packed, CIFAR, 100, 10, 0, "cpu")[1] != make_task(packed, DATASETS["svhn"], 100, 10, 0, "cpu")[1]


@pytest.mark.parametrize(("total", "validation"), [(301, 10), (100, 100), (100, -1)])
def test_more_than_there_is_is_refused(packed, total, validation):
    with pytest.raises(DataError, match=r"cifar10-300.*lower"):
        make_task(packed, CIFAR, total, validation, 0, "cpu")


def test_the_test_split_is_whole_and_in_order(packed):
    assert indices(whole_test(packed, "cpu")) == list(range(20))
