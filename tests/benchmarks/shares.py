"""Measured shares of a training step, of every method's plan at a budget of training time, on embedded images.

`python -m tests.benchmarks.shares [resnet18:0.25:0.5 …] [--seeds 3] [--round-to 8]`, on an idle machine: every method
plans digits from weights that were trained on drawn characters for a moment, and trains for one epoch; then its widths
are timed in turn with the dense network's. Accuracies mean nothing here. The same command resumes after a stop.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

from tabulate import tabulate

from stampbench.files import write_atomically
from stampbench.measure import hardware
from stampbench.record import Record
from stampbench.report.frames import measured_share
from stampbench.running.executors.local import Local
from stampbench.running.layer_times import with_tables
from stampbench.running.progress import PlainProgress
from stampbench.store import Store
from stampbench.suite import Suite

FOLDER = Path("results/benchmarks")
# A record is marked in the tables where its measured share is above the budget by more than this share of it.
MARKED = 0.05
METHODS: list[Any] = [
    "random",
    "magnitude",
    {"name": "magnitude", "start": "target"},
    "snip",
    {"name": "snip", "start": "reference"},
    {"name": "grasp", "options": {"temperature": 1}},
    {"name": "grasp", "start": "reference", "options": {"temperature": 1}},
    "synflow",
    {"name": "synflow", "start": "reference"},
    {
        "name": "metapruning",
        "options": {"epochs": 4, "population": 6, "iterations": 2, "parents": 3, "mutations": 2, "crossovers": 2},
    },
    {"name": "stamp", "options": {"prices": "drawn", "meta_steps": 200}},
]


def main() -> None:
    """Run what is missing, keep the shares in a JSON file, and write the table of all that was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("places", nargs="*", default=["resnet18:0.25:0.5", "vgg19:0.5:0.3333333333333333"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--round-to", type=int, default=8)
    parser.add_argument("--results", type=Path, default=Path("build/shares"))
    asked = parser.parse_args()
    path, device = FOLDER / "shares.json", hardware.device_name()
    found = json.loads(path.read_text()) if path.exists() else {}
    precision, store = hardware.preferred_precision(cuda=False), Store(asked.results)
    for place in asked.places:
        suite = suite_of(place, asked.seeds, asked.round_to)
        jobs = with_tables(suite.jobs("shares", precision), {})
        Local().run(jobs, suite, store, PlainProgress(), retry=True)
        heading = f"{place}, {device}, {precision}, multiples of {asked.round_to}"
        found[heading] = [row_of(record, store) for record in store.of(jobs).values()]
        write_atomically(path, json.dumps(found, indent=1) + "\n")
        write_atomically(path.with_suffix(".md"), page(found))


def suite_of(place: str, seeds: int, round_to: int, resource: str = "training-time", target: str = "digits") -> Suite:
    """Return the suite of all methods at one budget of the resource; a place is "network:width:share"."""
    network, width, share = place.split(":")
    grid = {"targets": [target], "networks": [network], "width": float(width), "methods": METHODS, "seeds": seeds}
    grid |= {"resource": resource, "budgets": [float(share)]}
    protocol = {
        "validation_images": 200,
        "epochs": 1,
        "warmup_epochs": 0,
        "threads": 2,
        "round_to": round_to,
        "learning_rate": {"random": 0.1, "reference": 0.1, "target": 0.2},
        "reference": {"dataset": "glyphs", "epochs": 3},
    }
    preset = {"protocol": protocol, "grid": [grid]}
    return Suite.model_validate({"name": "shares", "title": "Measured shares of time", "presets": {"shares": preset}})


def row_of(record: Record, store: Store) -> dict[str, Any]:
    """Return budget, predicted and measured share of the dense network's step, and share of MACs; or the failure."""
    job = record.job
    row = {"method": f"{job.method} ({job.start})", "seed": job.seed, "budget": job.budget.keep}
    if record.status != "done":
        return row | {"failed": record.reason}
    speed = store.speed(record.speed) if record.speed else None
    assert speed is not None and record.cost is not None, job.label
    return row | {
        "predicted": record.cost.predicted_share,
        "measured": measured_share(job, speed),
        "macs": record.cost.macs / record.cost.dense_macs,
    }


def page(found: dict[str, list[dict[str, Any]]]) -> str:
    """Return the tables of all that was measured, each with the number of records within the budget."""
    parts = [f"# Measured shares of training time\n\n{__doc__}"]
    for place, rows in found.items():
        measured = [row for row in rows if "failed" not in row]
        within = sum(row["measured"] <= row["budget"] * (1 + MARKED) for row in measured)
        near = sum(abs(row["measured"] / row["budget"] - 1) <= MARKED for row in measured)
        parts.append(
            f"## {place}\n\n{within} of {len(measured)} records are at most {MARKED:.0%} above the budget, "
            f"and {near} are within {MARKED:.0%} of it.\n"
        )
        if measured:
            parts.append(tabulate(measured, headers="keys", tablefmt="pipe", floatfmt=".3f") + "\n")
        for reason, times in Counter(row["failed"] for row in rows if "failed" in row).items():
            parts.append(f"{times} jobs failed: {reason}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    main()
