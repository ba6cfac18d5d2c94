"""The milliseconds of a block at widths that are 8 channels apart: which multiple of channels is free of charge.

`python -m tests.benchmarks.widths`, a minute of an idle machine: a 3×3 convolution, batch norm and ReLU, forward and
backward, on a batch of 128, at the sizes of VGG-19 × 0.5. The fastest of eleven steps counts.
"""

from __future__ import annotations

import time
from pathlib import Path

import torch
from tabulate import tabulate
from torch import nn

from stampbench.measure import hardware
from stampbench.training import autocast
from tests.benchmarks.pages import put_section

BATCH, STEPS, THREADS = 128, 11, 2
# The pixels along a side, and the widths, of both the input and the output.
PLACES = {32: range(8, 49, 8), 16: range(16, 65, 8), 4: range(64, 129, 8)}
PAGE = Path("results/benchmarks/widths.md")


def main() -> None:
    """Time every block, and put the tables of this device into the page."""
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    precision = hardware.preferred_precision(cuda=False)
    parts = []
    for size, widths in PLACES.items():
        rows = [[f"{size} × {size}", *(f"{1000 * seconds(width, size, precision):.1f}" for width in widths)]]
        parts.append(tabulate(rows, headers=["pixels", *map(str, widths)], tablefmt="pipe") + "\n")
    head = f"# Milliseconds by width\n\n{__doc__}"
    put_section(PAGE, head, f"{hardware.device_name()}, {precision}", "\n".join(parts))


def seconds(width: int, size: int, precision: str) -> float:
    """Return the seconds of the fastest step of a block from that many channels to as many."""
    block = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
    block = block.to(memory_format=torch.channels_last)
    images = torch.randn(BATCH, width, size, size).to(memory_format=torch.channels_last).requires_grad_()
    taken = []
    for _ in range(STEPS):
        begun = time.perf_counter()
        with autocast(images.device, precision):
            out = block(images)
        out.float().sum().backward()
        taken.append(time.perf_counter() - begun)
    return min(taken)


if __name__ == "__main__":
    main()
