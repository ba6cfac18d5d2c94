"""Runs that are killed, damaged or doubled: the same command completes them, and repeats nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.fixtures import quickly
from tests.fixtures.tiny import tiny_toml

METHODS = '["dense", { name = "magnitude", start = "random" }, "random"]'
QUICKLY = Path(quickly.__file__)


def command(folder: Path, results: str) -> list[str]:
    suite = folder / "tiny.toml"
    suite.write_text(tiny_toml(METHODS, epochs=2))
    return [sys.executable, str(QUICKLY), "run", str(suite), "--results", str(folder / results)]


def outcomes(folder: Path) -> dict[str, tuple]:
    """Return what must not depend on having been killed: accuracies, digests, widths."""
    found = {}
    for path in (folder / "records").glob("*.json"):
        record = json.loads(path.read_text())
        assert record["status"] == "done", record["reason"]
        found[path.stem] = (record["accuracy"], record["digests"], record["cost"])
    return found


def settings(folder: Path) -> dict[str, str]:
    environment = os.environ | {"STAMPBENCH_CACHE": str(folder / "cache")}
    environment.pop("STAMPBENCH_DATA", None)
    return environment


@pytest.fixture(scope="module")
def calm(tmp_path_factory, packed_images):
    """An undisturbed run: its folder, with its cache, and its outcomes."""
    folder = tmp_path_factory.mktemp("calm")
    shutil.copytree(packed_images, folder / "cache" / "data")
    subprocess.run(command(folder, "calm"), env=settings(folder), check=True, capture_output=True)
    return folder, outcomes(folder / "calm")


def share_packed_images(calm: Path, folder: Path) -> None:
    """Packing them takes longer than the jobs do."""
    shutil.copytree(calm / "cache" / "data", folder / "cache" / "data")


@pytest.mark.slow  # 17 s
def test_a_killed_run_goes_on_and_ends_as_if_undisturbed(tmp_path, calm):
    share_packed_images(calm[0], tmp_path)
    records = tmp_path / "killed" / "records"
    victim = subprocess.Popen(command(tmp_path, "killed"), env=settings(tmp_path), stdout=subprocess.PIPE)
    limit = time.monotonic() + 120
    while len(list(records.glob("*.json"))) < 2 and time.monotonic() < limit:
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    survivors = {path: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert 2 <= len(survivors) < 6

    subprocess.run(command(tmp_path, "killed"), env=settings(tmp_path), check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in survivors} == survivors
    assert len(calm[1]) == 6 and outcomes(tmp_path / "killed") == calm[1]


@pytest.mark.slow  # 11 s
def test_what_is_damaged_is_set_aside_told_and_made_anew(tmp_path, calm):
    """Records, speeds, artefacts and packed images, all of them cut short: the same command mends them."""
    shutil.copytree(calm[0], tmp_path, dirs_exist_ok=True)
    found = [path for pattern in DAMAGED for path in sorted(tmp_path.glob(pattern))]
    assert len(found) == 6 + 2 + 2 + 2
    for path in found:
        path.write_bytes(path.read_bytes()[:-20])
    done = subprocess.run(command(tmp_path, "calm"), env=settings(tmp_path), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("set aside as") == len(found)
    assert outcomes(tmp_path / "calm") == calm[1]


DAMAGED = [
    "calm/records/*.json",
    "calm/speed/*.json",
    "cache/artefacts/*/tensors.safetensors",
    "cache/data/*/images.safetensors",
]


@pytest.mark.slow  # 11 s
def test_two_runs_at_once_share_the_work(tmp_path, calm):
    share_packed_images(calm[0], tmp_path)
    runs = [
        subprocess.Popen(command(tmp_path, "shared"), env=settings(tmp_path), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    lines = [line for run in runs for line in run.communicate()[0].splitlines()]
    assert [run.returncode for run in runs] == [0, 0]
    assert sum(line.startswith("job ") for line in lines) == 6
    assert outcomes(tmp_path / "shared") == calm[1]


def test_where_records_cannot_be_written_nothing_runs(tmp_path):
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / ".locks").write_text("in the way")
    done = subprocess.run(command(tmp_path, "results"), env=settings(tmp_path), capture_output=True, text=True)
    assert done.returncode == 2 and "cannot be written" in done.stderr and "epoch" not in done.stdout


@pytest.mark.slow  # 10 s
def test_a_run_goes_on_when_the_reader_of_its_output_has_gone(tmp_path, calm):
    """As with `| head -1`: every job is done, and the exit code is that of the jobs."""
    share_packed_images(calm[0], tmp_path)
    run = subprocess.Popen(
        command(tmp_path, "piped"), env=settings(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    run.stdout.readline()
    run.stdout.close()
    said = run.stderr.read()
    assert run.wait() == 0, said
    assert "Traceback" not in said
    assert outcomes(tmp_path / "piped") == calm[1]
