"""Where a step of STAMP's meta-training spends its time: `python -m tests.benchmarks.meta_step [WIDTH …]`.

Some steps of VGG-19 on generated images of 160 classes, in the machine's own precision, beside training steps of the
dense network of the same width on as many images. The episodes are the same at every width.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import torch
from tabulate import tabulate

from stampbench.contract import Task
from stampbench.data.catalogue import resolve
from stampbench.data.loader import EpochLoader, training_batches
from stampbench.measure import hardware
from stampbench.methods.stamp import MetaOptions, meta_training
from stampbench.networks.initial import build, initialise, place
from tests.benchmarks.pages import put_section
from tests.benchmarks.test_compact import CPU, made, training_step
from tests.conformance.conftest import ToyContext, toy_task

STEPS, WARM_UP, THREADS, CLASSES, IMAGES = 30, 3, 2, 160, 16_000
PAGE = Path("results/benchmarks/meta-training.md")
LOOK, PERTURBATION, CROPPED = "the look at the set", "the two passes of the perturbation", "the cropped step"
REST = "episode, generator, masks and optimisers"


class Parts:
    """The seconds of each part; a part that is called within another belongs to the outer one."""

    def __init__(self) -> None:
        """Begin with no seconds."""
        self.seconds, self._inside = Counter[str](), False

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, its seconds counted as those of the part."""

        def call(*arguments: Any, **named: Any) -> Any:
            if self._inside:
                return function(*arguments, **named)
            self._inside, begun = True, time.perf_counter()
            try:
                return function(*arguments, **named)
            finally:
                self._inside = False
                self.seconds[part] += time.perf_counter() - begun

        return call


class Pictures(ToyContext):
    """A context whose images are as large as those of Tiny-ImageNet."""

    def loader(self, task: Task, batch_size: int, purpose: str) -> EpochLoader:
        """Return batches of the task."""
        return training_batches(
            task, resolve("tinyimagenet"), batch_size, lambda part: self.generator(f"{purpose}/{part}")
        )


def main() -> None:
    """Time the widths that are asked for, and put the table of this device into the page."""
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    widths = [float(width) for width in sys.argv[1:]] or [0.25, 0.5, 1.0]
    columns = [milliseconds(width) for width in widths]
    rows = [[part, *(column[part] for column in columns)] for part in columns[0]]
    headers = ["milliseconds", *(f"× {width:g}" for width in widths)]
    title = f"{hardware.device_name()}, {hardware.preferred_precision(cuda=False)}"
    body = tabulate(rows, headers=headers, tablefmt="pipe", floatfmt=".0f")
    put_section(PAGE, f"# A step of meta-training\n\n{__doc__}", title, body)


def milliseconds(width: float) -> dict[str, float]:
    """Return the mean milliseconds of the parts of a step, of all of them, and the median of a dense training step."""
    precision, parts = hardware.preferred_precision(cuda=False), Parts()
    network = build("vgg19", CLASSES, width)
    initialise(network, *(torch.Generator().manual_seed(seed) for seed in (0, 1)))
    task, options = toy_task(CLASSES, IMAGES, size=64), MetaOptions(prices="drawn")
    task = Task(task.train, task.validation, CLASSES, 32, task.mean, task.std)
    run = meta_training.MetaTraining(place(network, CPU), task, options, Pictures(precision=precision))
    dense, times = training_step(made("vgg19", width), precision), []
    run.steps = 1  # The first step, and every fiftieth, adds a point to the learning curve.
    for _ in range(WARM_UP):
        run.step()
        dense()
    with timed(parts):
        begun = time.perf_counter()
        for _ in range(STEPS):
            run.step()
        whole = time.perf_counter() - begun
    for _ in range(STEPS):
        begun = time.perf_counter()
        dense()
        times.append(time.perf_counter() - begun)
    found = {part: 1000 * parts.seconds[part] / STEPS for part in (LOOK, PERTURBATION, CROPPED)}
    rest = 1000 * whole / STEPS - sum(found.values())
    return found | {REST: rest, "all": 1000 * whole / STEPS, "a dense training step": 1000 * median(times)}


@contextmanager
def timed(parts: Parts) -> Iterator[None]:
    """Time the parts of every step inside."""
    places = [
        (meta_training, "view_set", LOOK),
        (meta_training, "width_gradient", PERTURBATION),
        (meta_training.MetaTraining, "_loss", CROPPED),
        (torch.Tensor, "backward", CROPPED),
    ]
    with ExitStack() as stack:
        for owner, name, part in places:
            original = getattr(owner, name)
            stack.enter_context(mock.patch.object(owner, name, parts.timed(part, original)))
        yield


if __name__ == "__main__":
    main()
