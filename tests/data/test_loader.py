import dataclasses

import pytest
import torch

from stampbench.contract import Split
from stampbench.data.catalogue import DATASETS
from stampbench.data.loader import EpochLoader, evaluation_batches
from stampbench.seeding import digest_of, generator

MEAN, STD = (0.5, 0.5, 0.5), (0.25, 0.25, 0.25)
CIFAR, AIRCRAFT = DATASETS["cifar10"], DATASETS["aircraft"]


def split_of(count: int, size: int = 32) -> Split:
    """Flat images of grey = index, labelled with the index: a crop's brightest pixel tells which it is."""
    index = torch.arange(count)
    return Split(index.to(torch.uint8)[:, None, None, None].expand(-1, 3, size, size).contiguous(), index)


def loader(split: Split, batch: int, dataset=CIFAR, seed: int = 0) -> EpochLoader:
    streams = (generator("batch-order", "cifar10", seed), generator("augmentation", "cifar10", seed))
    return EpochLoader(split, dataset, MEAN, STD, batch, *streams)


@pytest.mark.parametrize(("count", "batch", "sizes"), [(100, 32, [32] * 3), (20, 32, [20]), (64, 32, [32, 32])])
def test_the_last_partial_batch_is_dropped_if_there_is_a_full_one(count, batch, sizes):
    made = loader(split_of(count), batch)
    assert [len(labels) for _, labels in made.epoch()] == sizes
    assert len(made) == len(sizes)
    assert made.batch_size == sizes[0]


@pytest.mark.parametrize("dataset", [CIFAR, AIRCRAFT])
def test_images_keep_their_labels_and_none_comes_twice(dataset):
    made = loader(split_of(96, dataset.pack_size), 32, dataset)
    for _ in range(2):
        batches = list(made.epoch())
        labels = torch.cat([labels for _, labels in batches])
        assert sorted(labels.tolist()) == list(range(96))
        for images, targets in batches:
            assert images.dtype == torch.float32 and images.shape[1:] == (
                3,
                dataset.input_size,
                dataset.input_size,
            )
            assert images.is_contiguous(memory_format=torch.channels_last)
            greys = (images.amax((1, 2, 3)) * 0.25 + 0.5) * 255
            torch.testing.assert_close(greys, targets.float(), atol=1e-3, rtol=0)


def test_the_same_streams_give_the_same_bits():
    split = split_of(100)
    first, again, other = loader(split, 32), loader(split, 32), loader(split, 32, seed=1)
    for _ in range(3):
        for (images, labels), (images2, labels2) in zip(first.epoch(), again.epoch(), strict=True):
            assert torch.equal(images, images2) and torch.equal(labels, labels2)
    list(other.epoch())
    assert first.digests() == again.digests()
    assert set(first.digests()) == {"batch_order", "augmentation"}
    assert not set(first.digests().values()) & set(other.digests().values())


def test_digests_are_of_the_permutation_and_the_draws():
    made = loader(split_of(100), 32)
    list(made.epoch())
    order = torch.randperm(100, generator=generator("batch-order", "cifar10", 0))
    assert made.digests()["batch_order"] == digest_of(order)
    before = made.digests()
    list(made.epoch())
    assert made.digests()["batch_order"] != before["batch_order"]
    assert made.digests()["augmentation"] != before["augmentation"]


def test_epochs_differ():
    made = loader(split_of(64), 64)
    (_, first), (_, second) = next(made.epoch()), next(made.epoch())
    assert not torch.equal(first, second)


def test_the_draws_do_not_depend_on_the_batch_size():
    small, large = loader(split_of(96), 16), loader(split_of(96), 48)
    images = [torch.cat([images for images, _ in made.epoch()]) for made in (small, large)]
    assert torch.equal(*images)


def test_a_dataset_without_flip_is_not_flipped():
    ramp = torch.arange(32, dtype=torch.uint8).expand(50, 3, 32, 32).contiguous()
    dataset = dataclasses.replace(CIFAR, flip=False)
    images, _ = next(loader(Split(ramp, torch.zeros(50, dtype=torch.long)), 50, dataset).epoch())
    middle = images[:, 0, 16, 8:24]
    assert (middle.diff(dim=1) > 0).all()


def test_evaluation_is_plain_and_in_order():
    split = split_of(70)
    batches = list(evaluation_batches(split, CIFAR, MEAN, STD, 32))
    assert [len(labels) for _, labels in batches] == [32, 32, 6]
    images = torch.cat([images for images, _ in batches])
    expected = (split.images.float() / 255 - 0.5) / 0.25
    torch.testing.assert_close(images, expected)
    assert torch.equal(torch.cat([labels for _, labels in batches]), split.labels)


def test_evaluation_shrinks_what_is_packed_larger():
    images, _ = next(evaluation_batches(split_of(5, 96), AIRCRAFT, MEAN, STD, 5))
    assert images.shape == (5, 3, 64, 64)
