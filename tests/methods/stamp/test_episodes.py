"""Episodes: subsets of the reference dataset."""

import math

import pytest
import torch

from stampbench.contract import Split, Task
from stampbench.methods.stamp.episodes import DOMAINS, LEAST_KEEP, Episodes, nearest_classes, parted_classes

CLASSES, PER_CLASS = 40, 12


def reference() -> Task:
    """Every image is its own index, written in its first bytes."""
    count = CLASSES * PER_CLASS
    images = torch.zeros(count, 3, 16, 16, dtype=torch.uint8)
    images[:, 0, 0, 0], images[:, 0, 0, 1] = torch.arange(count) % 256, torch.arange(count) // 256
    split = Split(images, torch.arange(count) % CLASSES)
    return Task(split, split, CLASSES, 16, (0.5,) * 3, (0.25,) * 3)


def drawn(count: int = 300, images: int = 48):
    stream = torch.Generator().manual_seed(0)
    neighbours = torch.stack([torch.arange(CLASSES).roll(-anchor) for anchor in range(CLASSES)])
    episodes = Episodes(reference(), neighbours, torch.arange(CLASSES))
    return [episodes.draw(images, stream) for _ in range(count)]


def test_images_are_of_the_classes_and_none_is_drawn_twice():
    for episode in drawn(60):
        labels = episode.task.train.labels
        assert torch.isin(labels, episode.classes).all()
        assert torch.equal(episode.classes[episode.positions(labels)], labels)
        assert len(labels) == min(48, PER_CLASS * len(episode.classes))
        if episode.domain == "plain":
            bytes_ = episode.task.train.images[:, 0, 0].long()
            assert len((bytes_[:, 0] + 256 * bytes_[:, 1]).unique()) == len(labels)


def test_episodes_differ_in_kind():
    episodes = drawn()
    sizes = [len(episode.classes) for episode in episodes]
    assert min(sizes) == 5
    assert max(sizes) > 35
    assert sum(size < math.sqrt(5 * CLASSES) for size in sizes) == pytest.approx(150, abs=30)
    assert {episode.domain for episode in episodes} == set(DOMAINS)
    # Three quarters of the draws keep the domain, and an eighth of the others draw "plain".
    assert sum(e.domain == "plain" for e in episodes) == pytest.approx(300 * (0.75 + 0.25 / 8), abs=35)
    neighbours = sum(bool((e.classes.diff() == 1).all()) for e in episodes if len(e.classes) < 20)
    assert neighbours > 30


def test_budgets_are_log_uniform():
    logs = [math.log(episode.keep) / math.log(LEAST_KEEP) for episode in drawn()]
    assert all(0 <= value <= 1 for value in logs)
    assert sum(logs) / len(logs) == pytest.approx(0.5, abs=0.06)


def test_the_nearest_class_is_the_class_itself_then_the_closest_mean():
    features = torch.tensor([[0.0], [0.2], [5.0], [5.2], [6.0], [6.2]])
    found = nearest_classes(features, torch.tensor([0, 0, 1, 1, 2, 2]), 3)
    assert found.tolist() == [[0, 1, 2], [1, 2, 0], [2, 1, 0]]


def test_held_out_classes_are_a_tenth_and_never_drawn():
    seen, held_out = parted_classes(torch.arange(CLASSES), torch.Generator().manual_seed(3))
    assert len(held_out) == 4
    assert torch.equal(torch.cat([seen, held_out]).sort().values, torch.arange(CLASSES))
    neighbours = torch.stack([torch.arange(CLASSES).roll(-anchor) for anchor in range(CLASSES)])
    stream = torch.Generator().manual_seed(0)
    for classes in (seen, held_out):
        episodes = Episodes(reference(), neighbours, classes)
        drawn = torch.cat([episodes.draw(48, stream).classes for _ in range(60)])
        assert torch.equal(drawn.unique(), classes.sort().values)


def test_a_class_that_is_alone_is_both_seen_and_held_out():
    assert [part.tolist() for part in parted_classes(torch.tensor([7]), torch.Generator())] == [[7], [7]]
    seen, held_out = parted_classes(torch.tensor([2, 7]), torch.Generator())
    assert sorted([*seen.tolist(), *held_out.tolist()]) == [2, 7]


@pytest.mark.parametrize("name", DOMAINS)
def test_a_domain_keeps_shape_and_bytes(name):
    images = torch.randint(256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    moved = DOMAINS[name](images)
    assert moved.dtype == torch.uint8
    assert moved.shape == images.shape
    assert torch.equal(moved, images) == (name == "plain")


def test_domains_are_what_their_names_say():
    images = torch.randint(256, (4, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    flat = torch.full((1, 3, 16, 16), 90, dtype=torch.uint8)
    assert torch.equal(DOMAINS["inverted"](DOMAINS["inverted"](images)), images)
    assert torch.equal(DOMAINS["colours swapped"](images)[:, 1], images[:, 0])
    assert (DOMAINS["grey"](images).float().std(1) == 0).all()
    assert torch.equal(DOMAINS["blurred"](flat), flat)
    assert (DOMAINS["edges"](flat) == 0).all()
    assert (DOMAINS["high-pass"](flat) == 128).all()
    assert torch.equal(DOMAINS["zoomed"](flat), flat)
