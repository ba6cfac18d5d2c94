"""Artefacts are kept by what was asked for, whole or not at all."""

import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from stampbench.contract import Artefact, ArtefactSpec
from stampbench.errors import UserError
from stampbench.running.artefacts import Artefacts
from tests.fixtures import factories


def spec(**changes) -> ArtefactSpec:
    fields = {
        "kind": "pretrained",
        "scope": "reference",
        "dataset": "glyphs",
        "network": "vgg19",
        "width": 0.25,
        "seed": 0,
        "recipe": {"epochs": 3},
    }
    return ArtefactSpec.model_validate(fields | changes)


@pytest.fixture
def kept(tmp_path):
    return Artefacts(tmp_path / "pool", tmp_path / "cache")


def numbers(count: int = 8) -> Artefact:
    return Artefact({"w": torch.arange(count, dtype=torch.float32), "n": torch.tensor(3)}, 7.5, {"note": "x"})


def test_what_is_written_is_what_is_loaded(kept):
    assert not kept.ensure(spec(), numbers, factories.provenance())[1]
    assert kept.ensure(spec(), lambda: pytest.fail("made twice"), factories.provenance())[1]
    held = kept.load(spec())
    assert torch.equal(held.tensors["w"], torch.arange(8.0))
    assert held.tensors["n"].shape == ()
    assert (held.seconds, held.notes) == (7.5, {"note": "x"})


def test_channels_last_weights_keep_their_values(kept):
    weights = torch.randn(4, 3, 3, 3).to(memory_format=torch.channels_last)
    kept.ensure(spec(), lambda: Artefact({"w": weights}, 1.0), factories.provenance())
    assert torch.equal(kept.load(spec()).tensors["w"], weights)


@pytest.mark.parametrize("change", [{"seed": 1}, {"recipe": {"epochs": 4}}, {"dataset": "digits"}, {"width": 0.5}])
def test_another_spec_is_another_artefact(kept, change):
    kept.ensure(spec(), numbers, factories.provenance())
    with pytest.raises(UserError, match="has not been made"):
        kept.load(spec(**change))


def test_those_of_the_pool_are_read_and_new_ones_go_to_the_cache(kept):
    kept.ensure(spec(), numbers, factories.provenance())
    kept.pool.mkdir()
    (kept.cache / spec().digest).rename(kept.pool / spec().digest)
    assert kept.ensure(spec(), lambda: pytest.fail("made twice"), factories.provenance())[1]
    kept.ensure(spec(seed=1), numbers, factories.provenance())
    assert [path.name for path in kept.pool.iterdir()] == [spec().digest]
    assert {path.name for path in kept.cache.iterdir()} - {".locks"} == {spec(seed=1).digest}


def measured() -> ArtefactSpec:
    return spec(kind="layer-times", scope="device", dataset="")


def test_what_was_measured_lies_beside_the_records_and_serves_a_machine_that_lost_its_cache(kept):
    kept.ensure(measured(), numbers, factories.provenance())
    shutil.rmtree(kept.cache)
    held, existed = kept.ensure(measured(), lambda: pytest.fail("measured anew"), factories.provenance())
    assert existed and torch.equal(held.tensors["w"], torch.arange(8.0))
    assert {path.name for path in kept.pool.iterdir()} == {measured().digest}


def test_a_pool_keeps_its_own_measurement_and_a_new_pool_gets_that_of_the_cache(kept, tmp_path):
    kept.ensure(measured(), numbers, factories.provenance())
    other = Artefacts(tmp_path / "other pool", tmp_path / "other cache")
    other.ensure(measured(), lambda: numbers(4), factories.provenance())
    for cache in (kept.cache, other.cache):
        here = Artefacts(kept.pool, cache)
        assert len(here.ensure(measured(), lambda: pytest.fail("anew"), factories.provenance())[0].tensors["w"]) == 8
    new = Artefacts(tmp_path / "new pool", other.cache)
    new.ensure(measured(), lambda: pytest.fail("measured anew"), factories.provenance())
    assert len(Artefacts(new.pool, tmp_path / "no cache").load(measured()).tensors["w"]) == 4


def test_a_damaged_measurement_of_the_pool_is_set_aside_and_that_of_the_cache_takes_its_place(kept, caplog):
    kept.ensure(measured(), numbers, factories.provenance())
    spoiled(kept.pool / measured().digest / "tensors.safetensors", "truncated")
    assert kept.ensure(measured(), lambda: pytest.fail("measured anew"), factories.provenance())[1]
    assert "set aside" in caplog.text
    assert torch.equal(Artefacts(kept.pool, kept.pool).load(measured()).tensors["w"], torch.arange(8.0))


@pytest.mark.parametrize("name", ["tensors.safetensors", "artefact.json"])
def test_a_truncated_file_is_refused_with_what_to_do(kept, name):
    kept.ensure(spec(), numbers, factories.provenance())
    path = kept.cache / spec().digest / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="remove it"):
        kept.load(spec())


def spoiled(path: Path, how: str) -> None:
    content = path.read_bytes()
    path.write_bytes({"truncated": content[:-9], "empty": b"", "garbage": bytes(range(256)) * 8}[how])


@pytest.mark.parametrize("name", ["tensors.safetensors", "artefact.json"])
@pytest.mark.parametrize("how", ["truncated", "empty", "garbage"])
def test_a_damaged_one_is_set_aside_told_and_made_anew(kept, name, how, caplog):
    kept.ensure(spec(), numbers, factories.provenance())
    folder = kept.cache / spec().digest
    spoiled(folder / name, how)
    made, reused = kept.ensure(spec(), numbers, factories.provenance())
    assert not reused and torch.equal(made.tensors["w"], torch.arange(8.0))
    assert {path.name for path in kept.cache.iterdir()} - {".locks"} == {folder.name, f"{folder.name}.damaged"}
    assert f"set aside as {folder.name}.damaged" in caplog.text
    assert kept.of_any_data(spec(recipe={"epochs": 3, "data": "other"})) == spec()


def test_one_under_another_name_is_damaged(kept):
    kept.ensure(spec(), numbers, factories.provenance())
    (kept.cache / spec().digest).replace(kept.cache / spec(seed=1).digest)
    with pytest.raises(UserError, match="another artefact"):
        kept.load(spec(seed=1))


def test_two_that_want_the_same_make_it_once(kept):
    makings = []

    def make() -> Artefact:
        makings.append(1)
        time.sleep(0.2)
        return numbers()

    with ThreadPoolExecutor() as threads:
        both = [threads.submit(kept.ensure, spec(), make, factories.provenance()) for _ in range(2)]
    assert sorted(one.result()[1] for one in both) == [False, True] and len(makings) == 1


def test_what_another_machine_sent_is_kept_and_looked_at(kept, tmp_path):
    kept.ensure(spec(), numbers, factories.provenance())
    folder = kept.held(spec().digest)
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    here = Artefacts(tmp_path / "here", tmp_path / "here")
    here.receive(folder.name, files)
    assert torch.equal(here.load(spec()).tensors["w"], torch.arange(8.0))
    there = Artefacts(tmp_path / "there", tmp_path / "there")
    there.receive(folder.name, files | {"tensors.safetensors": b"0"})
    with pytest.raises(UserError, match="damaged"):
        there.load(spec())


def test_changed_tensors_are_noticed(kept):
    from safetensors.torch import save_file

    kept.ensure(spec(), numbers, factories.provenance())
    path = kept.cache / spec().digest / "tensors.safetensors"
    save_file({"w": torch.zeros(8), "n": torch.tensor(3)}, path)
    with pytest.raises(UserError, match="not those described"):
        kept.load(spec())


def test_what_fails_to_be_made_leaves_nothing(kept):
    def fail() -> Artefact:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        kept.ensure(spec(), fail, factories.provenance())
    assert {path.name for path in kept.cache.iterdir()} == {".locks"}


def test_one_made_from_other_data_is_found_by_all_else(kept):
    made = spec(recipe={"epochs": 3, "data": "d" * 16})
    kept.ensure(made, numbers, factories.provenance())
    assert kept.of_any_data(spec()) == made
    assert kept.of_any_data(spec(recipe={"epochs": 3, "data": "e" * 16})) == made
    assert kept.of_any_data(spec(seed=1)) is None
    assert kept.of_any_data(spec(recipe={"epochs": 4})) is None


NO_FILES = {
    "missing": lambda path: None,
    "folder": lambda path: path.mkdir(),
    "pipe": os.mkfifo,
    "device": lambda path: path.symlink_to("/dev/zero"),
    "dangling link": lambda path: path.symlink_to("nowhere"),
}


@pytest.mark.parametrize("name", ["tensors.safetensors", "artefact.json"])
@pytest.mark.parametrize("how", NO_FILES)
def test_a_partial_one_is_set_aside_named_and_made_anew_once(kept, name, how, caplog):
    kept.ensure(spec(), numbers, factories.provenance())
    folder = kept.cache / spec().digest
    (folder / name).unlink()
    NO_FILES[how](folder / name)
    with pytest.raises(UserError, match=r"remove its folder|remove it"):
        kept.load(spec())
    assert not kept.ensure(spec(), numbers, factories.provenance())[1]
    assert kept.ensure(spec(), lambda: pytest.fail("made twice"), factories.provenance())[1]
    assert f"set aside as {folder.name}.damaged" in caplog.text and name in caplog.text


@pytest.mark.parametrize("make", [Path.mkdir, Path.touch, lambda path: path.symlink_to("nowhere")])
def test_whatever_has_the_name_of_one_is_set_aside(kept, make):
    kept.cache.mkdir()
    make(kept.cache / spec().digest)
    assert kept.held(spec().digest) is None
    assert not kept.ensure(spec(), numbers, factories.provenance())[1]
    assert kept.held(spec().digest) == kept.cache / spec().digest


def test_a_partial_one_of_the_pool_hides_no_whole_one_of_the_cache(kept):
    kept.ensure(spec(), numbers, factories.provenance())
    (kept.pool / spec().digest).mkdir(parents=True)
    assert kept.ensure(spec(), lambda: pytest.fail("made twice"), factories.provenance())[1]
    assert (kept.pool / f"{spec().digest}.damaged").is_dir()


@pytest.mark.parametrize("seconds", ["NaN", "Infinity", "-1", "1e400", "null"])
def test_seconds_that_nothing_takes_are_damage(kept, seconds):
    kept.ensure(spec(), numbers, factories.provenance())
    path = kept.cache / spec().digest / "artefact.json"
    path.write_text(path.read_text().replace('"seconds": 7.5', f'"seconds": {seconds}'))
    assert kept.ensure(spec(), numbers, factories.provenance())[0].seconds == 7.5
    assert kept.ensure(spec(), lambda: pytest.fail("made twice"), factories.provenance())[1]


@pytest.mark.parametrize(
    "header", [{"w": {"dtype": "F3", "shape": [8], "data_offsets": [0, 32]}}, {"w": {"shape": [2**62]}}, [], {"w": 1}]
)
def test_a_header_of_nonsense_is_damage(kept, header):
    kept.ensure(spec(), numbers, factories.provenance())
    text = json.dumps(header).encode()
    path = kept.cache / spec().digest / "tensors.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(32))
    with pytest.raises(UserError, match="is damaged"):
        kept.load(spec())


def test_a_damaged_neighbour_is_named_and_passed_over(kept, caplog):
    made = spec(recipe={"epochs": 3, "data": "d" * 16})
    kept.ensure(made, numbers, factories.provenance())
    (kept.cache / ("0" * 16)).mkdir()
    assert kept.of_any_data(spec()) == made
    assert "0" * 16 in caplog.text


def test_one_that_was_sent_takes_the_place_of_a_partial_one(kept, tmp_path):
    kept.ensure(spec(), numbers, factories.provenance())
    folder = kept.held(spec().digest)
    here = Artefacts(tmp_path / "here", tmp_path / "here")
    (here.cache / folder.name).mkdir(parents=True)
    (here.cache / folder.name / "artefact.json").write_text("{}")
    here.receive(folder.name, {path.name: path.read_bytes() for path in folder.iterdir()})
    assert torch.equal(here.load(spec()).tensors["w"], torch.arange(8.0))


def test_a_damaged_one_that_the_project_carries_stays_and_is_made_anew_in_the_cache(kept, tmp_path, caplog):
    carried = Artefacts(tmp_path / "none", tmp_path / "carried")
    carried.ensure(spec(), numbers, factories.provenance())
    damaged = carried.folder(spec()) / "tensors.safetensors"
    damaged.write_bytes(b"x")
    both = Artefacts(kept.pool, kept.cache, tmp_path / "carried")
    for existed in (False, True):
        assert both.ensure(spec(), numbers, factories.provenance())[1] == existed
    assert damaged.read_bytes() == b"x" and both.folder(spec()) == kept.cache / spec().digest
    assert "made anew, into the cache" in caplog.text
