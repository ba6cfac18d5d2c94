"""Networks are exported through the command line, loaded in every way, and compare with records and each other."""

import errno
import json
import os
import re
import shutil
from pathlib import Path

import pytest
import torch

import stampbench
from stampbench import cli
from stampbench.data import packed
from stampbench.data.catalogue import CustomDataset, resolve
from stampbench.errors import UserError
from stampbench.export import command, formats, writing
from stampbench.export.formats import ONNX, PROGRAM, lacking
from stampbench.record import Record
from stampbench.store import Store
from tests.fixtures import factories
from tests.fixtures.quickly import quicken
from tests.fixtures.tiny import tiny_toml

METHODS = """[
  "dense", { name = "magnitude", start = "random" },
  { name = "magnitude", start = "random", granularity = "weight" },
]"""
OPTIONS = {
    "dense": ["--method", "dense"],
    "magnitude": ["--method", "magnitude", "--budget", "1/4", "--resource", "macs"],
    "weights": ["--method", "magnitude, single weights"],
}
ALWAYS = {"model.safetensors", "network.json", PROGRAM, "record.json", "README.md"}
needs_onnx = pytest.mark.skipif(bool(lacking()), reason=f"ONNX needs the package {lacking()}, which is missing")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the suite; records of magnitude; and an export of each of its three jobs."""
    there = tmp_path_factory.mktemp("export")
    (there / "toy.toml").write_text(tiny_toml(METHODS, seeds=1, epochs=8))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(there)
        quicken(patch.setattr)
        assert call("run", "toy.toml", "--method", "magnitude") == 0
        for name, options in OPTIONS.items():
            assert call("export", "toy.toml", "--out", name, *options) == 0
    return there


@pytest.fixture
def here(folder, tmp_path, monkeypatch):
    """A folder with the suite and the records, where a job is run by loading the network that was exported before."""
    for name in ("toy.toml", "results"):
        (shutil.copytree if (folder / name).is_dir() else shutil.copy)(folder / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    made = record_in(folder / "magnitude"), stampbench.load_network(folder / "magnitude")
    monkeypatch.setattr(command, "run_to_network", lambda job, workplace: made)
    monkeypatch.setattr(writing, "WRITERS", dict.fromkeys(formats.WRITERS, stub))
    lack(monkeypatch, None)
    return tmp_path


def stub(network, inputs, path):
    """Stands for the conversion to another format, which takes seconds."""
    path.write_text("converted")


def lack(monkeypatch, package: str | None):
    for module in (command, writing):
        monkeypatch.setattr(module, "lacking", lambda: package)


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    return stopped.value.code or 0


def export(*options: str) -> int:
    return call("export", "toy.toml", "--out", "small", *(options or OPTIONS["magnitude"]))


def record_in(folder: Path) -> Record:
    return Record.model_validate_json((folder / "record.json").read_text())


def described(folder: Path) -> dict:
    return json.loads((folder / "network.json").read_text())


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("name", OPTIONS)
def test_the_folder_holds_the_network_of_the_stored_record(folder, name):
    assert names(folder / name) == ALWAYS | (set() if lacking() else {ONNX})
    record, held = record_in(folder / name), described(folder / name)
    assert Store(folder / "results").get(held["key"]) == record
    assert held["widths"] == record.cost.widths and held["input_size"] == 16 and held["class_names"] is None
    parameters = list(stampbench.load_network(folder / name).parameters())
    zeros = sum(int((p == 0).sum()) for p in parameters if p.dim() > 1)
    assert sum(p.numel() for p in parameters) - (zeros if name == "weights" else 0) == record.cost.params
    assert not list(folder.glob(".*.part"))


def test_single_weights_are_zeros_in_the_dense_shape(folder):
    dense, masked = (stampbench.load_network(folder / name) for name in ("dense", "weights"))
    assert [p.shape for p in dense.parameters()] == [p.shape for p in masked.parameters()]
    prunable = [p for p in masked.parameters() if p.dim() > 1]
    count = sum(p.numel() for p in prunable)
    assert sum(int((p != 0).sum()) for p in prunable) == count // 4


@pytest.mark.parametrize("name", OPTIONS)
def test_the_accuracy_is_that_of_the_record_by_what_network_json_says(folder, name):
    held, test = described(folder / name), packed.load("digits").test
    mean, std = (torch.tensor(held[key]).view(3, 1, 1) for key in ("mean", "std"))
    with torch.no_grad():
        logits = stampbench.load_network(folder / name)((test.images / 255 - mean) / std)
    right = int((logits.argmax(1) == test.labels).sum())
    assert len(logits.argmax(1).unique()) > 1
    # Other kernels compute the last bits otherwise, which may turn an image that is a tie.
    assert abs(right - record_in(folder / name).accuracy.top1 * len(test)) <= 1.001


@pytest.mark.parametrize("name", OPTIONS)
def test_the_code_in_the_readme_loads_the_same_network_in_every_way(folder, name, monkeypatch):
    monkeypatch.chdir(folder / name)
    text = Path("README.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == (3 if lacking() else 4)
    found, logits = {}, []
    for block in blocks:
        exec(block, found)
        if "logits" in found:
            logits.append(torch.as_tensor(found.pop("logits")).detach())
    assert logits[0].shape == (4, 10) and float(logits[0].std()) > 0
    for other, tolerance in zip(logits[1:], (1e-5, 1e-4), strict=False):
        torch.testing.assert_close(other, logits[0], rtol=0, atol=tolerance)


@pytest.mark.parametrize("name", OPTIONS)
def test_the_program_takes_any_batch(folder, name):
    network = stampbench.load_network(folder / name)
    program = torch.export.load(folder / name / PROGRAM).module()
    for count in (1, 3, 40):
        images = torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(count))
        torch.testing.assert_close(program(images), network(images), rtol=0, atol=1e-5)


@needs_onnx
@pytest.mark.parametrize("name", OPTIONS)
def test_onnx_takes_any_batch(folder, name):
    import onnxruntime

    network = stampbench.load_network(folder / name)
    session = onnxruntime.InferenceSession(folder / name / ONNX)
    for count in (1, 3, 40):
        images = torch.randn(count, 3, 16, 16, generator=torch.Generator().manual_seed(count))
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), network(images).detach(), rtol=0, atol=1e-4)


def test_the_same_job_gives_the_same_tensors_again(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    quicken(monkeypatch.setattr)
    monkeypatch.setattr(writing, "WRITERS", {})
    assert call("export", "toy.toml", "--out", str(tmp_path / "again"), *OPTIONS["magnitude"]) == 0
    assert described(tmp_path / "again") == described(folder / "magnitude")
    said = capsys.readouterr().out
    assert "records hold no network, so it is trained again, which takes about " in said
    assert "the accuracy on test images is exactly that of the record" in said


def test_another_accuracy_than_the_records_is_told_and_the_files_are_kept(here, folder, capsys):
    store, now = Store(here / "results"), record_in(folder / "magnitude")
    moved = now.accuracy.model_copy(update={"top1": now.accuracy.top1 / 2})
    elsewhere = now.provenance.model_copy(update={"device": "Another CPU", "fingerprint": "0" * 16})
    store.put(now.model_copy(update={"accuracy": moved, "provenance": elsewhere}))
    assert export() == 1
    said = capsys.readouterr().err
    for words in (f"{now.accuracy.top1:.4%}", f"{moved.top1:.4%}", now.provenance.device, "Another CPU", "one kind"):
        assert words in said
    assert names(here / "small") >= ALWAYS and record_in(here / "small") == now
    assert f"{moved.top1:.4%}" in (here / "small" / "README.md").read_text()
    assert store.get(now.key).accuracy == moved


def test_onnx_is_left_out_where_its_packages_are_missing(here, monkeypatch, capsys):
    lack(monkeypatch, "onnxscript")
    assert export() == 0
    said = capsys.readouterr().out
    assert "model.onnx will be left out, as the package onnxscript is missing" in said
    assert "pip install 'stampbench[onnx]'" in said
    assert names(here / "small") == ALWAYS


def test_a_file_that_computes_something_else_is_left_out_and_told(here, monkeypatch, capsys):
    def write(network, inputs, path):
        path.write_text("no program")
        formats.compare(PROGRAM, network, lambda images: network(images) + 1, inputs)

    monkeypatch.setattr(writing, "WRITERS", {PROGRAM: write})
    assert export() == 1
    assert "program.pt2 is left out" in capsys.readouterr().err
    assert names(here / "small") == ALWAYS - {PROGRAM}


@pytest.mark.parametrize("status", ["failed", "skipped"])
@pytest.mark.parametrize("when", ["before", "now"])
def test_a_job_without_a_result_has_no_network(here, folder, monkeypatch, capsys, status, when):
    job, store = record_in(folder / "magnitude").job, Store(here / "results")
    without = factories.failed(job).model_copy(update={"status": status, "reason": "it diverged"})
    if when == "before":
        store.put(without)
    else:
        (here / "results" / "records" / f"{job.key}.json").unlink()
        monkeypatch.setattr(command, "run_to_network", lambda job, workplace: (without, None))
    assert export() == 1
    said = capsys.readouterr().err
    assert f"{status}: {job.label}: it diverged" in said and ("--retry" in said) == (status == "failed")
    assert names(here) == {"toy.toml", "results"}
    assert store.get(job.key) == without


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (KeyboardInterrupt(), 130, "resume with the same command"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), 2, "small cannot be written: No space left on device"),
    ],
)
def test_what_stops_the_writing_leaves_nothing(here, monkeypatch, capsys, error, code, said):
    def stop(*arguments):
        raise error

    monkeypatch.setattr(writing, "readme", stop)
    assert export() == code
    assert said in capsys.readouterr().err
    assert names(here) == {"toy.toml", "results"}


def test_an_empty_folder_is_filled_and_a_link_to_one_stays(here):
    (here / "empty").mkdir()
    (here / "small").symlink_to("empty")
    assert export() == 0
    assert (here / "small").is_symlink() and names(here / "empty") >= ALWAYS


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda folder: (folder / "network.json").unlink(), "network.json is missing"),
        (lambda folder: (folder / "network.json").write_text("{}"), "describes no network: network: Field required"),
        (lambda folder: (folder / "model.safetensors").unlink(), "model.safetensors is missing"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"no tensors"), "does not hold the network"),
        (
            lambda folder: shutil.copy(folder.parent / "dense.safetensors", folder / "model.safetensors"),
            "does not hold",
        ),
        (lambda folder: replaced(folder, "tensors", "0" * 16), "other tensors than network.json says"),
        (lambda folder: replaced(folder, "network", "resnet81"), "did you mean 'resnet18'"),
    ],
)
def test_a_folder_that_is_no_export_is_refused(folder, tmp_path, spoil, said):
    spoiled = shutil.copytree(folder / "magnitude", tmp_path / "small")
    shutil.copy(folder / "dense" / "model.safetensors", tmp_path / "dense.safetensors")
    spoil(spoiled)
    with pytest.raises(UserError, match=re.escape(said)):
        stampbench.load_network(spoiled)


def replaced(folder: Path, key: str, value: str) -> None:
    (folder / "network.json").write_text(json.dumps(described(folder) | {key: value}))


def test_own_classes_have_the_names_of_their_folders(tmp_path):
    for name in ("newt", "cat"):
        for split in ("train", "test"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "1.png").write_bytes(b"")
    own = {"pets": CustomDataset(path=tmp_path, size=16)}
    assert writing._class_names(resolve("pets", own)) == ["cat", "newt"]
    assert writing._class_names(resolve("digits")) is None


def test_the_package_has_nothing_but_what_it_lends():
    with pytest.raises(AttributeError, match="no attribute 'lode_network'"):
        _ = stampbench.lode_network
