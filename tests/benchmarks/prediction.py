"""Predicted shares of time against measured ones, on networks of random widths.

`python -m tests.benchmarks.prediction [vgg19:0.25 …] [--vectors 100] [--timing latency] [--round-to 16] [--passes 2]
[--precision fp32]`, on an idle machine: the table of layers is the one that jobs of that network and width rest on,
measured now if it is not at hand; then networks of random widths are timed in turn with the dense one, in three passes.
The page is written after each pass but the first. Without names, VGG-19 and ResNet-18 at × 0.25 and × 1, which takes
hours of two cores.
"""

from __future__ import annotations

import argparse
import json
import math
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count, islice
from pathlib import Path
from statistics import mean, median, quantiles, stdev
from typing import Any, get_args

import torch
from tabulate import tabulate

from stampbench import registry
from stampbench.contract import Artefact
from stampbench.files import write_atomically
from stampbench.job import Precision
from stampbench.measure import hardware, speed
from stampbench.measure.calibration import random_widths, whole_networks
from stampbench.measure.comparable import share_of_time
from stampbench.networks.check import checked
from stampbench.pruning.cost import CostModel
from stampbench.running import layer_times
from stampbench.running.executors.base import workplace_of
from stampbench.running.executors.local import Local
from stampbench.running.preparing import prepare
from stampbench.running.progress import PlainProgress
from stampbench.running.runner import configure
from stampbench.store import Store
from tests.benchmarks.shares import suite_of

# Tables belong to a size of images; these are the target's of the suites.
TARGET, SIZE = "cifar10", 32
WARMUPS, ROUNDS = 2, 5
FOLDER = Path("results/benchmarks")
RESOURCES = {"train_step": "training-time", "latency": "latency"}


def main() -> None:
    """Measure what is asked for, keep it in a JSON file, and write the table of all that was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=["vgg19:0.25", "resnet18:0.25", "vgg19:1", "resnet18:1"])
    parser.add_argument("--vectors", type=int, default=100)
    parser.add_argument("--timing", choices=RESOURCES, default="train_step")
    parser.add_argument("--round-to", type=int, default=8)
    # A busy moment of the host bends all networks that are timed in it, so each is timed at moments that lie apart.
    parser.add_argument("--passes", type=int, default=3, choices=(2, 3))
    parser.add_argument("--precision", choices=get_args(Precision), default=hardware.preferred_precision(cuda=False))
    arguments = parser.parse_args()
    path = FOLDER / "prediction.json"
    found = json.loads(path.read_text()) if path.exists() else {}
    place = f"{hardware.device_name()}, {arguments.precision}"
    for name in arguments.networks:
        network, _, width = name.partition(":")
        key = f"{name} {arguments.timing}, {place}, {arguments.round_to}"
        what = (arguments.timing, arguments.vectors, arguments.round_to, arguments.precision)
        rows = measured(network, float(width), *what)
        for row in islice(rows, arguments.passes - 1):
            found[key] = row
            write_atomically(path, json.dumps(found, indent=1) + "\n")
            write_atomically(path.with_suffix(".md"), table(found))
            print(f"{key}: {row['passes']} passes; the table took {row['seconds']:.0f} s", flush=True)


def measured(
    name: str, width: float, timing: str, vectors: int, round_to: int, precision: Precision
) -> Iterator[dict[str, Any]]:
    """Yield predicted and measured shares of the dense network's time for random widths, each a list.

    All networks are timed one after another, again and again. A measured share is the median over the passes so far,
    two at least, and its standard error is given as a share of it.
    """
    device = torch.device("cpu")
    network, groups = checked(name, width, SIZE)
    layers = table_of(name, width, timing, round_to, precision)
    pricing = registry.RESOURCES.load(RESOURCES[timing])(layers.tensors).pricing(CostModel.of(network, groups, SIZE))
    images = speed.made_up_images(timing, SIZE, device)

    def step_at(widths: Mapping[str, int]) -> Callable[[], None]:
        return speed.step_of(timing, speed.network_at(name, 10, widths, device), images, precision)

    def timed(steps: Sequence[Callable[[], None]]) -> list[list[float]]:
        return speed.alternated(steps, WARMUPS, ROUNDS, device)

    drawn = list(random_widths(pricing.widths, round_to, vectors, random.Random(1)))
    row = {
        "predicted": [pricing.cost(widths) / pricing.cost() for widths in drawn],
        "widths": drawn,
        "seconds": layers.seconds,
        "round_to": round_to,
        "device": hardware.device_name(),
        "precision": precision,
    }
    shares: list[list[float]] = []
    for passes in count(1):
        shares.append([share_of_time(*pair) for _, pair in whole_networks(step_at, pricing.widths, drawn, timed)])
        if passes > 1:
            several = list(zip(*shares, strict=True))
            errors = [speed.MEDIAN_ERROR * stdev(times) / mean(times) / math.sqrt(passes) for times in several]
            yield row | {"measured": [median(times) for times in several], "errors": errors, "passes": passes}


def table_of(name: str, width: float, timing: str, round_to: int, precision: Precision) -> Artefact:
    """Return the table that jobs of this network rest on, and set this process up as theirs is."""
    suite = suite_of(f"{name}:{width}:1", 1, round_to, RESOURCES[timing], TARGET)
    job, *_ = layer_times.with_tables(suite.jobs("shares", precision), {})
    spec = layer_times.spec_of(job, {})
    assert spec is not None and spec.recipe["input_size"] == SIZE
    configure(job)
    _, made = prepare(job, workplace_of(suite, Store(Path("results")), PlainProgress(), Local()), job.budget.table)
    return made[layer_times.KIND]


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the page: errors of the predicted share, relative to the measured one."""
    rows = []
    for key, shares in found.items():
        errors = [100 * (a / b - 1) for a, b in zip(shares["predicted"], shares["measured"], strict=True)]
        sizes = sorted(abs(error) for error in errors)
        row = [key.partition(",")[0], shares["round_to"], len(errors), shares["passes"]]
        row += [median(sizes), quantiles(sizes, n=20)[-1]]
        place = f"{shares['device']}, {shares['precision']}"
        rows.append([*row, mean(errors), 100 * median(shares["errors"]), shares["seconds"], place])
    headings = ["network", "multiples of", "vectors", "passes", "median %", "95th percentile %", "bias %"]
    text = tabulate(rows, headers=[*headings, "measurement %", "table s", "device"], tablefmt="pipe", floatfmt=".1f")
    return (
        f"# Predicted against measured time\n\n{__doc__}\nThe error is that of the predicted share of the dense "
        "network's time, relative to the measured share. *Measurement* is the median standard error of the measured "
        "share: no prediction can be expected to be nearer. In rows of one pass, each network was timed at one "
        f"moment, and a busy one counts as an error of the prediction.\n\n{text}\n"
    )


if __name__ == "__main__":
    main()
