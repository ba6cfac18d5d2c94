import unicodedata

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.neighbors import KNeighborsClassifier

from stampbench.data import embedded, packed
from stampbench.data.catalogue import DATASETS


@pytest.fixture(scope="module")
def glyphs():
    return embedded.read_glyphs(DATASETS["glyphs"])


def test_digits_are_scikit_learns(root):
    loaded = packed.load("digits")
    assert (loaded.manifest.train, loaded.manifest.test, loaded.manifest.size) == (1297, 500, 16)
    assert np.bincount(loaded.test.labels.numpy()).tolist() == [50] * 10
    together = np.concatenate([loaded.train.labels.numpy(), loaded.test.labels.numpy()])
    assert np.array_equal(np.bincount(together), np.bincount(load_digits().target))
    images = loaded.train.images
    assert images[:, 0].equal(images[:, 1]) and images[:, 0].equal(images[:, 2])


def test_digits_keep_their_labels(root):
    loaded = packed.load("digits")
    flat = [split.images[:, 0].numpy().reshape(len(split), -1) / 255 for split in (loaded.train, loaded.test)]
    model = KNeighborsClassifier(3).fit(flat[0], loaded.train.labels.numpy())
    assert model.score(flat[1], loaded.test.labels.numpy()) > 0.93


def test_no_glyph_is_a_digit_in_any_guise():
    classes = embedded.glyph_classes()
    assert len(classes) == len(set(classes)) == DATASETS["glyphs"].classes
    for character in classes:
        assert unicodedata.numeric(character, None) is None
        assert not set(unicodedata.normalize("NFKD", character)) & set("0123456789")


def test_no_two_glyphs_look_alike():
    assert not set("ΑАВΒЕΕ") & set(embedded.glyph_classes())


def test_glyph_counts_and_shapes(glyphs):
    train, test = glyphs
    full = DATASETS["glyphs"]
    assert train.images.shape == (full.full_train, 3, 16, 16)
    assert test.images.shape == (full.full_test, 3, 16, 16)
    assert np.unique(np.bincount(train.labels)).tolist() == [50]


def test_glyphs_are_rendered_the_same_again(glyphs, root):
    again = embedded.read_glyphs(DATASETS["glyphs"])
    assert all(a.images.equal(b.images) and a.labels.equal(b.labels) for a, b in zip(glyphs, again, strict=True))


def test_glyphs_vary_within_a_class(glyphs):
    train, _ = glyphs
    assert len({image.numpy().tobytes() for image in train.images}) == len(train)
