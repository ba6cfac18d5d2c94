"""Random kills of the run, of workers and of nodes end with the records of an undisturbed run: `nox -s soak`.

The demo suite, one thread a job, on a Ray cluster of two nodes on this machine; first undisturbed in one process.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ray.cluster_utils import Cluster

ROOT = Path(__file__).resolve().parents[1]
LIMIT_SECONDS = 3 * 3600
# Columns of a report's CSV files that other machines, executors and hours change.
TIMED = re.compile(r"_s(_sd|_n)?$|speed_up|share|busy|over|slowdown|device|fingerprint")


def main() -> None:
    """Prints a line a kill and a verdict; exits with 1 where a record differs, is lost or was written twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--gap", type=float, default=20.0, help="mean seconds between kills")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        suite = folder / "soak.toml"
        suite.write_text((ROOT / "suites" / "demo.toml").read_text().replace("threads = 2", "threads = 1"))
        start = time.monotonic()
        calm = undisturbed(folder, suite)
        print(f"undisturbed: {len(calm)} records in {time.monotonic() - start:.0f} s", flush=True)
        soak = Soak(folder, suite, random.Random(chosen.seed), chosen.gap)
        soak.run(chosen.kills, calm)
    print(f"{soak.rounds} rounds of {len(calm)} jobs, kills: {soak.tally}; against the undisturbed run:", flush=True)
    print("; ".join(f"{count} {what}" for what, count in soak.wrong.items()))
    sys.exit(any(soak.wrong.values()))


def undisturbed(folder: Path, suite: Path) -> dict[str, Any]:
    """What one process makes of the suite, with a cache of its own."""
    subprocess.run(command(suite, folder / "calm"), env=environment(folder / "calm-cache"), check=True, cwd=ROOT)
    return outcomes(folder / "calm")


def command(suite: Path, results: Path) -> list[str]:
    return [sys.executable, "-m", "stampbench", "run", str(suite), "--results", str(results)]


def environment(cache: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key != "STAMPBENCH_DATA"}
    return kept | {"STAMPBENCH_CACHE": str(cache), "RAY_USAGE_STATS_ENABLED": "0"}


def outcomes(results: Path) -> dict[str, Any]:
    """What must not depend on any kill: status, accuracies, digests, costs, artefacts."""
    found = {}
    for path in (results / "records").glob("*.json"):
        record = json.loads(path.read_text())
        artefacts = [(use["kind"], use["digest"]) for use in record["artefacts"]]
        found[path.stem] = (*(record[name] for name in ("status", "reason", "accuracy", "digests", "cost")), artefacts)
    return found


def tables(suite: Path, results: Path) -> dict[str, list[dict[str, str]]]:
    """The suite's cells and jobs as `report` writes them, but for what was timed, and where."""
    with tempfile.TemporaryDirectory() as out:
        report = [sys.executable, "-m", "stampbench", "report", str(suite), "--results", str(results)]
        subprocess.run([*report, "--format", "csv", "--out", out], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
        return {path.name: untimed(path) for path in Path(out).glob("csv/*.csv")}


def untimed(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: value for name, value in row.items() if not TIMED.search(name)} for row in rows]


class Soak:
    """A cluster, the run on it, and what is done to both."""

    def __init__(self, folder: Path, suite: Path, chance: random.Random, gap: float) -> None:
        self.tally, self.rounds = {"run": 0, "worker": 0, "node": 0}, 0
        self.wrong = {"records lost": 0, "different": 0, "unasked for": 0, "written twice": 0, "tables": 0}
        self._suite, self._calm, self._results = suite, folder / "calm", folder / "soak"
        self._chance, self._gap = chance, gap
        self._environment = environment(folder / "soak-cache")
        # Nodes take their environment from the process that starts them.
        os.environ.update(self._environment)
        os.environ.pop("STAMPBENCH_DATA", None)
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        self._nodes = [self._cluster.add_node(num_cpus=1) for _ in range(2)]
        self._command = [
            *command(suite, self._results),
            "--executor",
            "ray",
            "--executor-option",
            f"address={self._cluster.address}",
        ]
        self._written: dict[Path, int] = {}

    def run(self, kills: int, calm: dict[str, Any]) -> None:
        """Kills so often, in as many rounds of the suite as that takes, each held against the undisturbed run."""
        began = time.monotonic()
        run = self._start()
        due = time.monotonic() + self._wait()
        while time.monotonic() - began < LIMIT_SECONDS:
            time.sleep(0.2)
            self._count_rewritten()
            if run.poll() is not None:
                assert run.returncode in (0, -signal.SIGKILL), f"the run ended with {run.returncode}"
                if run.returncode == 0:
                    self._end_round(calm)
                    if sum(self.tally.values()) >= kills:
                        break
                run = self._start()
            if time.monotonic() > due and sum(self.tally.values()) < kills:
                self._kill(run)
                due = time.monotonic() + self._wait()
        else:
            raise TimeoutError(f"not done after {LIMIT_SECONDS} s")
        self._cluster.shutdown()

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, env=self._environment, cwd=ROOT, stdout=subprocess.DEVNULL)

    def _wait(self) -> float:
        return self._chance.expovariate(1 / self._gap)

    def _kill(self, run: subprocess.Popen[bytes]) -> None:
        what = self._chance.choice(["run", "worker", "node"])
        if what == "run":
            run.kill()
        elif what == "worker":
            workers = sorted(int(f.parent.name) for f in Path("/proc").glob("[0-9]*/cmdline") if _at_work(f))
            if not workers:
                return
            os.kill(self._chance.choice(workers), signal.SIGKILL)
        else:
            node = self._nodes.pop(self._chance.randrange(len(self._nodes)))
            self._cluster.remove_node(node, allow_graceful=False)
            self._nodes.append(self._cluster.add_node(num_cpus=1))
        self.tally[what] += 1
        print(f"kill {sum(self.tally.values())}: {what}, {len(self._written)} records by then", flush=True)

    def _count_rewritten(self) -> None:
        now = {path: path.stat().st_mtime_ns for path in (self._results / "records").glob("*.json")}
        self.wrong["written twice"] += sum(now.get(path) != stamp for path, stamp in self._written.items())
        self._written |= now

    def _end_round(self, calm: dict[str, Any]) -> None:
        """Compares; then the records go, and the cache stays."""
        found = outcomes(self._results)
        self.wrong["records lost"] += len(calm.keys() - found.keys())
        self.wrong["unasked for"] += len(found.keys() - calm.keys())
        self.wrong["different"] += sum(found[key] != calm[key] for key in calm.keys() & found.keys())
        self.wrong["tables"] += tables(self._suite, self._results) != tables(self._suite, self._calm)
        self.rounds += 1
        self._written = {}
        for path in (self._results / "records").glob("*.json"):
            path.unlink()


def _at_work(cmdline: Path) -> bool:
    try:
        return cmdline.read_bytes().startswith(b"ray::_work")
    except OSError:
        return False


if __name__ == "__main__":
    main()
