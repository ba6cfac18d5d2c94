"""The ceiling of widths: what the best of many random widths gains on a target, at an equal budget.

`python -m tests.benchmarks.ceiling [--target tinyimagenet-dev0] [--resource training-time] [--keep 0.6]`. Channels are
ranked by the L1 norms of the reference weights, whatever the widths, so that nothing but the widths differs. Profile 0
has uniform widths, the others draw a share for every group. The best by validation accuracy, of one seed, are run again
with other seeds, because the best of many is partly the luckiest. Only development targets may be asked for. All starts
from the reference network that the repository carries, unless another width, network or precision of it is asked for.
The same command resumes after a stop.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from pydantic import Field
from tabulate import tabulate
from torch import Tensor, nn

from stampbench.contract import Context, Options, SaliencyMethod, ScoringBatches, Start
from stampbench.job import Job
from stampbench.measure import hardware
from stampbench.methods.magnitude import filter_l1_norm
from stampbench.pruning.groups import Group
from stampbench.running.layer_times import with_tables
from stampbench.store import Store
from stampbench.suite import Suite
from tests.benchmarks.oracles import accuracy, ran, register

# Seeds that share artefact seed 0: one to choose by, the others to judge the choice by.
CHOOSING, JUDGING = 0, (3, 6)
BEST = 4


class ProfileOptions(Options):
    """`number` 0 stands for uniform widths; any other is the seed of random ones."""

    number: int = Field(0, ge=0)


class Profile(SaliencyMethod):
    """Channels in the order of their L1 norms, and widths in proportion to random shares."""

    name = "profile"
    version = 1
    default_start = Start.REFERENCE
    Options = ProfileOptions
    options: ProfileOptions
    card = "The oracle behind tests/benchmarks/ceiling.py."

    def scores(
        self, network: nn.Module, groups: Sequence[Group], batches: ScoringBatches, context: Context
    ) -> Mapping[str, Tensor]:
        """Return minus a channel's rank within its group, divided by the group's share of channels."""
        stream = random.Random(self.options.number)
        found = {}
        for group in groups:
            share = stream.uniform(0.25, 1) if self.options.number else 1.0
            order = filter_l1_norm(network, group).double().argsort(descending=True).argsort()
            found[group.name] = -(order + 1) / (share * group.width)
        return found


def main() -> None:
    """Run what is missing, and print the table of every target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--target", action="append")
    parser.add_argument("--network", default="vgg19")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--resource", default="training-time")
    parser.add_argument("--keep", type=float, default=0.6)
    parser.add_argument("--round-to", type=int, default=8)
    parser.add_argument("--reference-precision", choices=["bf16", "fp32"], default="bf16")
    parser.add_argument("--profiles", type=int, default=40)
    parser.add_argument("--results", type=Path, default=Path("build/ceiling"))
    asked = parser.parse_args()
    register(Profile)
    store = Store(asked.results)
    for target in asked.target or ["tinyimagenet-dev0", "tinyimagenet-dev1"]:
        if "-dev" not in target:
            parser.error(f"{target} is no development target, and nothing may be chosen on any other")
        suite = suite_of(asked, target)
        listed = with_tables(suite.jobs("search", hardware.preferred_precision(cuda=False)), {})
        first = {number_of(job): accuracy(record) for job, record in ran(of_seed(listed, CHOOSING), suite, store)}
        best = sorted(first, key=first.__getitem__, reverse=True)[:BEST]
        judged = [job for seed in JUDGING for job in of_seed(listed, seed) if number_of(job) in (*best, 0)]
        again: dict[int, list[float]] = {}
        for job, record in ran(judged, suite, store):
            again.setdefault(number_of(job), []).append(accuracy(record))
        print(f"\n{target}, validation %: mean of {len(first)} profiles {100 * mean(first.values()):.2f}")
        rows = [
            [number or "uniform", 100 * first[number], 100 * mean(again[number])]
            for number in dict.fromkeys((0, *best))
        ]
        headings = ["profile", f"seed {CHOOSING}", f"seeds {' and '.join(map(str, JUDGING))}"]
        print(tabulate(rows, headers=headings, tablefmt="pipe", floatfmt=".2f"), flush=True)


def suite_of(asked: argparse.Namespace, target: str) -> Suite:
    """Return the suite of all profiles on one target, with the protocol of the development targets."""
    methods = [{"name": Profile.name, "options": {"number": number}} for number in range(asked.profiles)]
    grid: dict[str, Any] = {"targets": [target], "networks": [asked.network], "width": asked.width, "methods": methods}
    grid |= {"resource": asked.resource, "budgets": [asked.keep], "seeds": max(JUDGING) + 1}
    protocol = {
        "validation_images": 400,
        "epochs": 20,
        "threads": 2,
        "round_to": asked.round_to,
        "head_steps": 8,
        "learning_rate": {"random": 0.1, "reference": 0.1, "target": 0.2},
        "reference": {
            "dataset": "tinyimagenet",
            "epochs": 10,
            "precision": asked.reference_precision,
            "validation_images": 1000,
        },
    }
    preset = {"protocol": protocol, "grid": [grid]}
    return Suite.model_validate({"name": "ceiling", "title": "The ceiling of widths", "presets": {"search": preset}})


def of_seed(jobs: Sequence[Job], seed: int) -> list[Job]:
    """Return the jobs of one seed."""
    return [job for job in jobs if job.seed == seed]


def number_of(job: Job) -> int:
    """Return the profile's number."""
    return int(job.options.get("number", 0))


if __name__ == "__main__":
    main()
