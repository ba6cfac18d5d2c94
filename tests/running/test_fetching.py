"""A run downloads what its jobs need and is missing, before they begin, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stampbench.contract import Artefact
from stampbench.data import packed, sources
from stampbench.errors import DataError
from stampbench.running import pretraining
from stampbench.running.artefacts import Artefacts
from stampbench.running.fetching import fetch_missing
from tests.fixtures import factories
from tests.fixtures.images import write_parquet
from tests.fixtures.tiny import JOBS


def job_on(target: str, reference: str):
    """Return a job that starts from a network pretrained on `reference`."""
    job = next(job for job in JOBS if job.protocol.reference and job.start == "reference" and job.method == "magnitude")
    recipe = job.protocol.reference.model_copy(update={"dataset": reference})
    protocol = job.protocol.model_copy(update={"reference": recipe})
    return job.model_copy(update={"target": target, "protocol": protocol})


@pytest.fixture
def downloads(monkeypatch, tmp_path):
    """The sources that were downloaded: each as a parquet mirror of a few images, into an empty cache."""
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path / "cache"))
    pixels, asked = np.random.default_rng(0).integers(0, 256, (200, 32, 32, 3), dtype=np.uint8), []
    for source, archive in sources.ARCHIVES.items():

        def download(folder, source=source):
            asked.append(source)
            labels = range(200) if source == "tinyimagenet" else [0, 1] * 100
            for split in ("train", "test"):
                write_parquet(folder / f"{split}.parquet", pixels, labels)

        monkeypatch.setitem(sources.ARCHIVES, source, replace(archive, download=download))
    return asked


@pytest.fixture
def artefacts(tmp_path):
    return Artefacts(tmp_path / "pool", tmp_path / "made", tmp_path / "carried")


def fetch(jobs, artefacts, offline=False):
    told = []
    fetch_missing(jobs, {}, artefacts, offline, told.append)
    return told


def test_what_is_missing_is_downloaded_once_and_said_with_its_size_and_terms(downloads, artefacts):
    jobs = [job_on("cifar10", "tinyimagenet"), job_on("svhn", "tinyimagenet"), job_on("cifar10", "glyphs")]
    told = fetch(jobs, artefacts)
    assert downloads == ["cifar10", "svhn", "tinyimagenet"]
    assert [line.partition(":")[0] for line in told] == ["cifar10", "svhn", "tinyimagenet"]
    assert "163 MiB" in told[0] and "Krizhevsky" in told[0] and "non-commercial" in told[1]
    assert packed.load("svhn").manifest.train == 200
    assert fetch(jobs, artefacts) == [] and len(downloads) == 3


def test_offline_downloads_nothing_and_names_all_that_is_missing(downloads, artefacts):
    with pytest.raises(DataError, match=r"of cifar10, tinyimagenet .*fetch cifar10.*fetch tinyimagenet"):
        fetch([job_on("cifar10", "tinyimagenet")], artefacts, offline=True)
    with pytest.raises(DataError, match=r"of cars are neither .* download them; set STAMPBENCH_DATA to a folder"):
        fetch([job_on("cars", "glyphs")], artefacts, offline=True)
    assert downloads == []
    assert fetch([job_on("digits", "glyphs")], artefacts, offline=True) == []


@pytest.mark.parametrize("place", ["pool", "cache", "carried"])
def test_an_artefact_needs_no_image_of_what_it_was_made_from(downloads, artefacts, place):
    job = job_on("cifar10", "tinyimagenet")
    spec = pretraining.spec_of(job)
    made = spec.model_copy(update={"recipe": spec.recipe | {"data": "0123456789abcdef"}})
    elsewhere = Artefacts(artefacts.pool, getattr(artefacts, place))
    elsewhere.ensure(made, lambda: Artefact({"w": torch.zeros(1)}, 1.0), factories.provenance())
    fetch([job], artefacts)
    assert downloads == ["cifar10"]
    assert artefacts.of_any_data(spec) == made and artefacts.folder(made).parent == getattr(artefacts, place)


def test_a_part_of_an_archive_that_came_is_not_downloaded_again(downloads, artefacts):
    told = fetch([job_on("tinyimagenet-dev0", "tinyimagenet"), job_on("tinyimagenet-dev1", "glyphs")], artefacts)
    assert downloads == ["tinyimagenet"] and len(told) == 1


def test_what_cannot_be_downloaded_says_where_to_put_a_mirror(downloads, artefacts):
    with pytest.raises(
        DataError, match=r"cars: .*set STAMPBENCH_DATA to a folder with cars/train.*Missing too: cifar10"
    ):
        fetch([job_on("cars", "glyphs"), job_on("cifar10", "glyphs")], artefacts)


def test_where_a_download_fails_all_that_is_missing_is_named(downloads, artefacts, monkeypatch):
    def fail(folder):
        raise OSError("no route")

    monkeypatch.setitem(sources.ARCHIVES, "svhn", replace(sources.ARCHIVES["svhn"], download=fail))
    jobs = [job_on("cifar10", "tinyimagenet"), job_on("svhn", "tinyimagenet"), job_on("cifar100", "tinyimagenet")]
    with pytest.raises(
        DataError, match=r"svhn: the download failed \(no route\).*Missing too: cifar100, tinyimagenet$"
    ):
        fetch(jobs, artefacts)
    assert downloads == ["cifar10"]
