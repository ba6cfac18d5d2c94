"""`try PATH`: the suite for one's own images, the artefacts that it rests on, and what it advises."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from stampbench import cli
from stampbench import suite as suites
from stampbench.data import packed
from stampbench.data.unsplit import with_splits
from stampbench.errors import DataError, UserError
from stampbench.record import Accuracy
from stampbench.running import pretraining, trying
from stampbench.running.artefacts import CARRIED, Artefacts
from stampbench.running.campaign import Campaign
from stampbench.running.preparing import method_of
from stampbench.store import Store
from tests.fixtures import factories
from tests.fixtures.quickly import quicken

COUNTS = {"cat": 10, "dog": 7, "eel": 2}


def draw(folder: Path, counts=COUNTS) -> None:
    """Make as many images of each class, of a colour of its own."""
    stream = np.random.default_rng(0)
    for number, (label, count) in enumerate(counts.items()):
        (folder / label).mkdir(parents=True)
        for index in range(count):
            pixels = stream.integers(0, 128, (12, 12, 3), dtype=np.uint8) + np.uint8(60 * number)
            Image.fromarray(pixels).save(folder / label / f"{index}.png")


@pytest.fixture
def pets(tmp_path):
    for split in ("train", "test"):
        draw(tmp_path / "my pets" / split)
    return tmp_path / "my pets"


@pytest.fixture
def flat(tmp_path):
    draw(tmp_path / "flat")
    return tmp_path / "flat"


def contents(folder: Path) -> dict[str, set[bytes]]:
    return {
        label: {file.read_bytes() for file in (folder / label).iterdir()}
        for label in sorted(path.name for path in folder.iterdir())
    }


def test_an_unsplit_folder_is_split_by_class_the_same_way_every_time(flat, tmp_path):
    first, second = (with_splits(flat, tmp_path / name) for name in ("first", "second"))
    assert with_splits(flat, tmp_path / "first") == first
    whole, test = contents(flat), contents(first / "test")
    train = contents(first / "train")
    assert {label: len(files) for label, files in test.items()} == {"cat": 2, "dog": 1, "eel": 1}
    for label, files in whole.items():
        assert train[label] | test[label] == files and not train[label] & test[label]
    assert contents(second / "test") == test


@pytest.mark.parametrize("own", [True, False])
def test_a_folder_that_is_in_the_way_keeps_its_images(flat, tmp_path, own):
    """`try images --out .` would put the links where the images are, or where something else is."""
    there = flat if own else tmp_path / "images"
    if not own:
        draw(there)
    before = contents(there)
    with pytest.raises(UserError, match="is not the split of the images that there are now; name another folder"):
        with_splits(flat, there)
    assert contents(there) == before


def test_a_split_of_images_that_changed_is_told(flat, tmp_path):
    out = with_splits(flat, tmp_path / "out")
    (flat / "cat" / "10.png").write_bytes((flat / "cat" / "0.png").read_bytes())
    with pytest.raises(UserError, match="remove it if an earlier"):
        with_splits(flat, out)
    (out / "train" / "notes.txt").write_text("mine")
    (flat / "cat" / "10.png").unlink()
    with pytest.raises(UserError, match="remove it if an earlier"):
        with_splits(flat, out)


def test_a_split_folder_is_taken_as_it_is(pets, tmp_path):
    assert with_splits(pets, tmp_path / "out") == pets.resolve() and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda flat: (flat / "eel" / "0.png").unlink(), "eel: a class needs an image to train on and one to test on"),
        (lambda flat: flat.rename(flat.parent / "gone"), "there is no such folder; it must hold train/<class>/"),
        (lambda flat: (flat / "cat").rename(flat / "train"), "a folder train, but not the other one"),
        (lambda flat: [(flat / name).rename(flat.parent / name) for name in COUNTS], "no class folder"),
    ],
    ids=["one image", "no folder", "half a split", "empty"],
)
def test_what_cannot_be_used_is_refused(flat, tmp_path, spoil, said):
    spoil(flat)
    with pytest.raises(DataError, match=said):
        with_splits(flat, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_suite_fits_the_images(pets, tmp_path):
    path = trying.write_suite(pets, tmp_path / "out", seeds=2)
    suite = suites.load(path)
    assert (path.name, suite.name, suite.datasets["my-pets"].path) == ("my-pets.toml", "my-pets", pets)
    jobs = suite.jobs("try", "fp32")
    rows = {(job.method, str(job.start), job.budget.keep) for job in jobs}
    pruned = {(method, "reference", keep) for method in ("random", "magnitude", "stamp") for keep in (1 / 4, 1 / 16)}
    assert rows == {("dense", "reference", 1.0), *pruned} and {job.seed for job in jobs} == {0, 1}
    # 19 training images: a fifth is for validation, and one batch of 16 is an epoch.
    assert {(job.protocol.validation_images, job.protocol.epochs) for job in jobs} == {(3, 100)}
    assert trying.write_suite(pets, tmp_path / "out", seeds=2) == path
    with pytest.raises(UserError, match=r"is not the suite that these .*python -m stampbench run .*--out"):
        trying.write_suite(pets, tmp_path / "out", seeds=3)


@pytest.mark.parametrize(("folder", "name"), [("cifar10", "cifar10-own"), ("a b_c!", "a-b-c"), ("…", "images")])
def test_any_folder_gives_a_name(folder, name):
    assert trying.name_of(Path(folder)) == name


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_carried_artefacts_serve_whatever_the_precision(pets, tmp_path, precision):
    job = next(
        job
        for job in suites.load(trying.write_suite(pets, tmp_path, 1)).jobs("try", precision)
        if job.method == "stamp"
    )
    at_hand = Artefacts(tmp_path / "pool", tmp_path / "cache", CARRIED)
    for spec in (pretraining.spec_of(job), *method_of(job).artefacts(job)):
        held = at_hand.of_any_data(spec)
        assert held is not None and held.recipe["precision"] == "bf16" and at_hand.folder(held)


def test_what_must_be_made_first_is_counted(pets, tmp_path, monkeypatch):
    monkeypatch.setattr(trying, "_step_seconds", lambda job, classes: 0.5)
    path = trying.write_suite(pets, tmp_path / "out", 1)
    campaign = Campaign(str(path), "try", Store(tmp_path / "results"))
    nothing, all_at_hand = Artefacts(tmp_path, tmp_path), Artefacts(tmp_path, tmp_path, CARRIED)
    # 10 epochs of 625 batches of Tiny-ImageNet, and 3,000 steps of meta-training, at half a second.
    hours = (10 * 625 + 3000 * trying.META_STEP) * 0.5 / 3600
    assert f"2 artefacts are not at hand and are made first, in about {hours:.1f} h; " in trying.how_long(
        campaign, campaign.jobs, nothing
    )
    # 7 jobs of 100 steps.
    told = trying.how_long(campaign, campaign.jobs, all_at_hand)
    assert told.startswith("7 networks are trained for 100 epochs of 1 steps") and "at most about 6 min" in told
    assert trying.how_long(campaign, [], nothing) == "every network is trained already"


def test_the_advice_goes_by_validation_images_and_its_command_is_one_that_export_takes(tmp_path):
    store, jobs = Store(tmp_path / "results"), []
    for keep in (0.25, 0.0625):
        for method, validation, test in (("stamp", 0.5, 0.9), ("magnitude", 0.6, 0.7), ("random", 0.55, 0.8)):
            job = factories.job(method, keep=keep)
            accuracy = Accuracy(top1=test, top5=None, validation_top1=[0.99, validation], train_loss=[1.0, 1.0])
            store.put(factories.record(job, accuracy=accuracy))
            jobs.append(job)
    caution, *lines, why = trying.advice(SimpleNamespace(store=store, jobs=jobs), Path("my out/pets.toml"))
    assert "may be chance" in caution and "test images are for reporting" in why
    assert [line.partition(",")[0] for line in lines] == ["at 1/4 of the MACs", "at 1/16 of the MACs"]
    assert all("magnitude's of seed 0 (60.0%, random 55.0%)" in line for line in lines)
    assert "export 'my out/pets.toml' --results" in lines[0]
    assert "--method magnitude --budget 1/16 --seed 0 --out pets-16" in lines[1]


def test_try_trains_all_and_draws_the_figure(pets, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(trying, "EPOCHS", (1, 1))
    quicken(monkeypatch.setattr)
    packed.cached_read.cache_clear()
    with pytest.raises(SystemExit) as stopped:
        cli.main(["try", "my pets"])
    said = capsys.readouterr().out
    assert not stopped.value.code, said
    records = list(Store(tmp_path / "try-my-pets" / "results").records())
    assert [record.status for record in records] == ["done"] * 7
    assert {use.reused for record in records for use in record.artefacts} == {True}
    assert "stamp" in said and "export try-my-pets/my-pets.toml --results try-my-pets/results" in said
    assert list((tmp_path / "try-my-pets" / "report" / "figures").glob("*.png"))
    assert json.loads((next((tmp_path / "try-my-pets" / "results" / "records").iterdir())).read_text())["key"]
