"""A training step where freed memory goes back to the system, and where the process keeps it.

`python -m tests.benchmarks.freed`, on an idle machine of two cores; it takes seven minutes. Processes of both
kinds take turns.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median

import torch
from tabulate import tabulate

from stampbench.measure import hardware, memory, speed
from stampbench.networks.check import checked
from stampbench.pruning.cost import CostModel
from tests.benchmarks.pages import put_section

NETWORK, WIDTHS, SIZE, STEPS, ROUNDS = "vgg19", (0.25, 0.5), 32, 16, 6
PAGE = Path("results/benchmarks/freed.md")


def main() -> None:
    """Put the table of this device into the page: medians over processes, and those of each process in turn."""
    kinds = [(width, keep) for width in WIDTHS for keep in (False, True)]
    found: dict[tuple[float, bool], list[dict[str, float]]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for width, keep in kinds:
            code = f"from tests.benchmarks.freed import steps; steps({width}, {keep})"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            found[width, keep].append(json.loads(done.stdout))
    rows = [
        [
            f"{NETWORK} × {width}",
            "kept" if keep else "given back",
            round(median(each["ms"] for each in taken)),
            f"{median(each['faults'] for each in taken):,.0f}",
            ", ".join(f"{each['ms']:.0f}" for each in taken),
        ]
        for (width, keep), taken in found.items()
    ]
    headers = ["network", "freed memory is", "median, ms", "page faults per step", "each process, ms"]
    title = f"{hardware.device_name()}, {hardware.preferred_precision(cuda=False)}"
    put_section(PAGE, f"# Freed memory\n\n{__doc__}", title, tabulate(rows, headers=headers, tablefmt="pipe"))


def steps(width: float, keep: bool) -> None:
    """Print the median milliseconds, and the mean page faults, of training steps of a dense network."""
    torch.set_num_threads(2)
    if keep:
        memory.keep_freed()
    network, groups = checked(NETWORK, width, SIZE)
    dense = speed.network_at(NETWORK, 10, CostModel.of(network, groups, SIZE).widths, torch.device("cpu"))
    images = speed.made_up_images("train_step", SIZE, torch.device("cpu"))
    step = speed.step_of("train_step", dense, images, hardware.preferred_precision(cuda=False))
    speed.alternated([step], 4, 0, torch.device("cpu"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    (taken,) = speed.alternated([step], 0, STEPS, torch.device("cpu"))
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    print(json.dumps({"ms": 1000 * median(taken), "faults": faults / STEPS}))


if __name__ == "__main__":
    main()
