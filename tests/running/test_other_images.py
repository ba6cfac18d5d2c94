"""Records of other images than a dataset of one's own has now are named: the key of a job does not hold the images."""

import shutil

import numpy as np
import pytest
from PIL import Image

from stampbench.data import packed
from stampbench.running.campaign import Campaign
from stampbench.store import Store
from tests.fixtures import factories
from tests.fixtures.tiny import tiny_toml


def draw(folder, seed: int) -> None:
    for split in ("train", "test"):
        for label in ("cats", "dogs"):
            path = folder / split / label / "1.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng([seed, split == "test", label == "cats"]).integers(0, 256, (16, 16, 3))
            Image.fromarray(pixels.astype(np.uint8)).save(path)


@pytest.fixture
def campaign(tmp_path, monkeypatch):
    """A suite on own images, with a record of them for each of its jobs."""
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path / "cache"))
    draw(tmp_path / "pets", seed=0)
    suite = tiny_toml('["dense", "random"]').replace('"digits"', '"pets"')
    (tmp_path / "own.toml").write_text(f'{suite}\n[datasets.pets]\npath = "{tmp_path / "pets"}"\nsize = 16\n')
    made = Campaign(str(tmp_path / "own.toml"), "tiny", Store(tmp_path / "results"))
    digest = packed.manifest("pets", made.suite.datasets).digest
    for job in made.jobs:
        use = factories.data_use("pets").model_copy(update={"digest": digest})
        made.store.put(factories.record(job, data={"pets": use}))
    return made


def test_records_of_the_same_images_pass(campaign):
    assert len(campaign.store.of(campaign.jobs)) == 4
    assert campaign.of_other_images(campaign.jobs) == []


def test_changed_images_are_named_with_what_to_do(campaign, tmp_path):
    draw(tmp_path / "pets", seed=1)
    (warning,) = campaign.of_other_images(campaign.jobs)
    assert "4 records of dataset 'pets'" in warning and "another name in the suite" in warning


def test_images_that_are_gone_are_no_reason_to_doubt_records(campaign, tmp_path):
    shutil.rmtree(tmp_path / "pets")
    assert campaign.of_other_images(campaign.jobs) == []
