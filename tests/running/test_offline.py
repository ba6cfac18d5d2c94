"""A package suffices for its jobs, on a machine with few packages, and is refused for others."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
from pathlib import Path

import pytest
import torch

from stampbench import cli
from stampbench.data import catalogue, packed
from stampbench.data.split import drawn_rows, make_task
from stampbench.errors import DataError
from stampbench.record import Record
from stampbench.store import Store
from tests.fixtures.tiny import tiny, tiny_toml

ROOT = Path(__file__).resolve().parents[2]
METHODS = '["dense", "magnitude"]'
# What docs/offline.md asks of an offline machine; filelock, jinja2, numpy and pillow come with torch and torchvision.
AT_HAND = {
    "torch",
    "torchvision",
    "numpy",
    "pandas",
    "scipy",
    "typer",
    "rich",
    "safetensors",
    "filelock",
    "jinja2",
    "pillow",
}
CARRIED = {"pydantic", "torch-pruning"}
IMPORTED_AS = {"scikit-learn": "sklearn"}
REFUSING = """
import sys
sys.modules.update(dict.fromkeys({refused!r}))
from stampbench.cli import main
from tests.fixtures.quickly import quicken
quicken()
main(sys.argv[1:])
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch, packed_images):
    """The first two jobs of the tiny suite, and a cache with their images."""
    (tmp_path / "tiny.toml").write_text(tiny_toml(METHODS, seeds=1))
    shutil.copytree(packed_images, tmp_path / "cache" / "data")
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path / "cache"))
    return tmp_path


def pack(folder: Path, *more: str) -> Path:
    out = folder / "packed"
    suite = ["pack", str(folder / "tiny.toml"), "--preset", "tiny", "--results", str(folder / "results")]
    with pytest.raises(SystemExit) as stopped:
        cli.main([*suite, "--out", str(out), *more])
    assert not stopped.value.code
    return out


def refused_modules() -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}
    return {IMPORTED_AS.get(name, name).replace("-", "_") for name in names - AT_HAND - CARRIED}


def run_elsewhere(folder: Path, cache: Path, results: str, refused: set[str]) -> dict:
    code = REFUSING.format(refused=refused)
    command = [sys.executable, "-c", code, "run", str(folder / "tiny.toml"), "--results", str(folder / results)]
    environment = os.environ | {"STAMPBENCH_CACHE": str(cache), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    records = [Record.model_validate_json(path.read_text()) for path in (folder / results / "records").glob("*.json")]
    return {record.key: lasting(record) for record in records}


def lasting(record: Record) -> tuple:
    return record.status, record.accuracy, record.cost, record.digests, record.data


@pytest.fixture
def here(pool):
    """The records of these two jobs, made in this process with all packages."""
    return {job.key: lasting(pool[1][job.key]) for job in tiny(METHODS, seeds=1).jobs("tiny", "fp32")}


@pytest.mark.slow  # 6 s
def test_a_machine_with_few_packages_gets_the_same_records(folder, here):
    out = pack(folder)
    there = run_elsewhere(folder, out / "cache", "there", refused_modules())
    assert len(here) == 2 and {entry[0] for entry in here.values()} == {"done"}
    assert there == here


def test_only_the_images_of_the_jobs_are_packed_and_others_refused(folder, monkeypatch):
    out = pack(folder)
    whole = packed.load("digits")
    monkeypatch.setenv("STAMPBENCH_CACHE", str(out / "cache"))
    part, digits = packed.load("digits"), catalogue.DATASETS["digits"]
    rows = drawn_rows(whole, digits, 200, 0)
    assert part.held is not None and set(part.held.nonzero().flatten().tolist()) == set(rows.tolist())
    assert torch.equal(part.train.images[rows], whole.train.images[rows])
    assert torch.equal(part.test.images, whole.test.images)
    assert make_task(part, digits, 200, 60, 0, "cpu")[1] == make_task(whole, digits, 200, 60, 0, "cpu")[1]
    with pytest.raises(DataError, match="only a part of digits"):
        make_task(part, digits, 200, 60, 1, "cpu")
    with pytest.raises(DataError, match="verify it on the machine"):
        packed.verify("digits")
    assert {s.name: s.found for s in packed.status()}["digits"] == "cache, in part"


@pytest.mark.slow  # 6 s
def test_an_artefact_at_hand_is_packed_in_place_of_its_images(folder, here, own_cache):
    assert {path.name for path in (pack(folder) / "cache" / "data").iterdir()} == {"digits-v1", "glyphs-v1"}
    shutil.rmtree(folder / "packed")
    # Running the jobs of the whole suite has made this one and others.
    shutil.copytree(own_cache / "artefacts", folder / "cache" / "artefacts")
    out = pack(folder)
    assert [path.name for path in (out / "cache" / "data").iterdir()] == ["digits-v1"]
    assert len(list((out / "cache" / "artefacts").iterdir())) == 1
    # There the reference images can neither be found nor drawn.
    assert run_elsewhere(folder, out / "cache", "there", refused_modules()) == here


def test_what_is_done_is_not_packed(folder, here, pool):
    for key in here:
        Store(folder / "results").put(pool[1][key])
    assert sorted(path.name for path in pack(folder).iterdir()) == ["SHA256SUMS", "tiny.toml"]


def test_parts_are_small_summed_and_give_the_tree_again(folder):
    tree = pack(folder)
    tree.rename(folder / "tree")
    parts = pack(folder, "--max-mib", "1")
    pieces = sorted(parts.glob("part-*"))
    assert len(pieces) > 1 and all(piece.stat().st_size <= 2**20 for piece in pieces)
    sums = dict(reversed(line.split("  ")) for line in (parts / "SHA256SUMS").read_text().splitlines())
    assert sums == {piece.name: hashlib.sha256(piece.read_bytes()).hexdigest() for piece in pieces}
    (folder / "whole.tar").write_bytes(b"".join(piece.read_bytes() for piece in pieces))
    with tarfile.open(folder / "whole.tar") as tar:
        tar.extractall(folder / "again", filter="data")

    def content(root):
        files = (path for path in root.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
        return {path.relative_to(root): path.read_bytes() for path in files}

    assert content(folder / "again") == content(folder / "tree")


def test_an_existing_folder_is_left_alone(folder, capsys):
    (folder / "packed").mkdir()
    (folder / "packed" / "mine").write_text("mine")
    with pytest.raises(SystemExit) as stopped:
        cli.main(["pack", str(folder / "tiny.toml"), "--preset", "tiny", "--out", str(folder / "packed")])
    assert stopped.value.code == 2
    assert "exists already; name a new folder" in capsys.readouterr().err
    assert [path.name for path in (folder / "packed").iterdir()] == ["mine"]


def test_packages_are_refused_in_the_first_test():
    assert {"pyarrow", "matplotlib", "sklearn", "platformdirs", "tabulate"} <= refused_modules()
