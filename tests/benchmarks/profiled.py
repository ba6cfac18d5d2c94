"""Where a training step's milliseconds go, dense and at 1/4 of the MACs: `python -m tests.benchmarks.profiled`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import torch
from tabulate import tabulate
from torch import nn
from torch.profiler import ProfilerActivity, profile

from stampbench.files import write_atomically
from stampbench.measure.hardware import cpu_model, preferred_precision
from tests.benchmarks.test_compact import TRAIN_BATCH, made, training_step, uniform_plan

STEPS, WARM_UP = 10, 3
# The first part whose word is in an operator's name has its time.
PARTS = {
    "convolution": ("conv",),
    "batch norm": ("batch_norm",),
    "ReLU, pooling, additions": ("relu", "threshold", "clamp", "pool", "aten::add"),
    "casts to bf16, copies, zeros": ("copy", "_to", "zero", "fill", "contiguous", "empty", "clone", "as_strided"),
    "head and loss": ("mm", "softmax", "nll", "linear"),
    "optimiser": ("sgd",),
}
OTHER = "dispatch and the rest"


def main() -> None:
    """Writes `results/benchmarks/profile.md`."""
    tables = [table(network, width) for network in ("vgg19", "resnet18") for width in (1.0, 0.25)]
    write_atomically(
        Path("results/benchmarks/profile.md"),
        f"# Where a training step's time goes\n\n{cpu_model()}, {torch.get_num_threads()} threads, "
        f"{preferred_precision(cuda=False)}, batch {TRAIN_BATCH}. Milliseconds a step by torch.profiler's self time on "
        f"the CPU, means of {STEPS} steps after {WARM_UP}; compact: uniform, 1/4 of the MACs, widths of 8.\n\n"
        + "\n\n".join(tables)
        + "\n",
    )


def table(network: str, width: float) -> str:
    """A row a part, dense against compact."""
    keep, share = uniform_plan(network, width, round_to=8)
    widths = {name: int(kept.sum()) for name, kept in keep.items()}
    dense, small = milliseconds(made(network, width)), milliseconds(made(network, width, widths))
    parts = [*PARTS, OTHER]
    sums = [("all", sum(dense.values()), sum(small.values()))]
    rows = [
        (part, f"{before:.1f}", f"{after:.1f}", f"{before / after:.2f}" if after else "–")
        for part, before, after in [*((part, dense[part], small[part]) for part in parts), *sums]
    ]
    headers = [f"{network} × {width:g}, {share:.3f} of the MACs", "dense ms", "compact ms", "times as fast"]
    align = ["left", "right", "right", "right"]
    return tabulate(rows, headers=headers, tablefmt="pipe", disable_numparse=True, colalign=align)


def milliseconds(module: nn.Module) -> Counter[str]:
    """The seconds of one step, by part."""
    step = training_step(module, preferred_precision(cuda=False))
    for _ in range(WARM_UP):
        step()
    with profile(activities=[ProfilerActivity.CPU]) as profiled:
        for _ in range(STEPS):
            step()
    found = Counter[str]()
    for event in profiled.key_averages():
        found[part_of(event.key.lower())] += event.self_cpu_time_total / 1000 / STEPS
    return found


def part_of(operator: str) -> str:
    """The part that an operator's time belongs to."""
    return next((part for part, words in PARTS.items() if any(word in operator for word in words)), OTHER)


if __name__ == "__main__":
    main()
