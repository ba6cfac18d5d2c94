"""kill -9 in the middle of a run: the same command completes it, and repeats nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SUITE = """
title = "Digits, in seconds"

[presets.tiny.protocol]
train_images = 200
validation_images = 60
epochs = 2
batch_size = 32
precision = "fp32"
threads = 1
learning_rate = { random = 0.05, reference = 0.05, target = 0.05 }
reference = { dataset = "glyphs", epochs = 1, images = 200 }

[[presets.tiny.grid]]
targets = ["digits"]
networks = ["resnet18"]
width = 0.125
methods = ["dense", { name = "magnitude", start = "random" }, { name = "random", start = "random" }]
budgets = [0.25]
seeds = 2
"""


def command(folder: Path, results: str) -> list[str]:
    suite = folder / "tiny.toml"
    suite.write_text(SUITE)
    return [sys.executable, "-m", "stampbench", "run", str(suite), "--results", str(folder / results)]


def outcomes(folder: Path) -> dict[str, tuple]:
    """What must not depend on having been killed: accuracies, digests, widths."""
    found = {}
    for path in (folder / "records").glob("*.json"):
        record = json.loads(path.read_text())
        assert record["status"] == "done", record["reason"]
        found[path.stem] = (record["accuracy"], record["digests"], record["cost"])
    return found


def test_a_killed_run_goes_on_and_ends_as_if_undisturbed(tmp_path):
    environment = os.environ | {"STAMPBENCH_CACHE": str(tmp_path / "cache")}
    environment.pop("STAMPBENCH_DATA", None)
    subprocess.run(command(tmp_path, "calm"), env=environment, check=True, capture_output=True)

    records = tmp_path / "killed" / "records"
    victim = subprocess.Popen(command(tmp_path, "killed"), env=environment, stdout=subprocess.PIPE)
    limit = time.monotonic() + 120
    while len(list(records.glob("*.json"))) < 2 and time.monotonic() < limit:
        time.sleep(0.01)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    survivors = {path: path.stat().st_mtime_ns for path in records.glob("*.json")}
    assert 2 <= len(survivors) < 6

    subprocess.run(command(tmp_path, "killed"), env=environment, check=True, capture_output=True)
    assert {path: path.stat().st_mtime_ns for path in survivors} == survivors
    assert len(outcomes(tmp_path / "killed")) == 6
    assert outcomes(tmp_path / "killed") == outcomes(tmp_path / "calm")
