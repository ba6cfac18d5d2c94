"""One scoring pass of any method on any network, and what it takes of memory when run in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from stampbench import registry, seeding
from stampbench.contract import Budget, Granularity, Method, SaliencyMethod, Split, Task
from stampbench.measure import memory
from stampbench.networks.initial import build, initialise, place
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.planner import ScoringBatches
from tests.conformance.conftest import ToyContext

ROOT = Path(__file__).parents[2]
BATCH, CLASSES, SIZE = 128, 10, 32
BUDGET = Budget(keep=0.25)
Subject = tuple[str, str]


def subjects() -> list[Subject]:
    """Every method of this project that prunes by scores of its own, at each of its granularities."""
    targets = registry.METHODS.targets()
    own = [name for name, target in targets.items() if target.startswith("stampbench.methods.")]
    names = [name for name in own if name != "transplant"]
    methods = {name: registry.METHODS.load(name) for name in names}
    return [(name, g.value) for name in names if methods[name].prunes for g in sorted(methods[name].granularities)]


def dense(network: str, width: float) -> nn.Module:
    """A freshly initialised network for images of CIFAR-10's shape."""
    module = build(network, CLASSES, width)
    initialise(module, *(seeding.generator("scoring", part, 0) for part in ("initial-weights", "head")))
    return place(module, torch.device("cpu"))


def scoring_pass(name: str, granularity: str, network: str, width: float) -> Callable[[], object]:
    """One round of scoring on one batch of generated images.

    A MetaPruning pass is the fitness of one candidate, one of STAMP looks at one set and generates a mask; a method
    that shows no smaller unit of work makes its plan.
    """
    method: Method = registry.METHODS.load(name)(registry.METHODS.load(name).Options())
    module, task, context = dense(network, width), generated_task(), ToyContext()
    batches = ScoringBatches(task, context)
    if isinstance(method, SaliencyMethod):
        if granularity == Granularity.WEIGHT:
            return lambda: method.weight_scores(module, batches, context)
        groups = channel_groups(module, SIZE)
        return lambda: method.scores(module, groups, batches, context)
    if name == "metapruning":
        return fitness_evaluation(module, network, width, task, context)
    if name == "stamp":
        return mask_generation(module, task, context)
    return lambda: method.plan(module, task, BUDGET, {}, context)


def generated_task() -> Task:
    """One batch of images of CIFAR-10's shape, all classes in equal numbers, to train and as many to validate."""
    stream = seeding.generator("scoring", "images", 0)
    images = torch.randint(256, (BATCH, 3, SIZE, SIZE), dtype=torch.uint8, generator=stream)
    split = Split(images, torch.arange(BATCH) % CLASSES)
    return Task(split, split, CLASSES, SIZE, (0.5,) * 3, (0.25,) * 3)


def fitness_evaluation(
    module: nn.Module, network: str, width: float, task: Task, context: ToyContext
) -> Callable[[], object]:
    """Generated weights, recalibration and validation of the widest uniform candidate within the budget."""
    from stampbench.methods.metapruning.pruning_net import RATIOS, blank
    from stampbench.methods.metapruning.search import fitness_on_validation
    from stampbench.pruning.cost import CostModel

    cost = CostModel.of(module, channel_groups(module, SIZE), SIZE)
    pruning_net = blank(network, CLASSES, width, SIZE)
    pruning_net.initialise(context.generator("pruning-net/initial-weights"))
    uniform = [dict.fromkeys(cost.widths, ratio) for ratio in RATIOS]
    limit = BUDGET.keep * cost.macs()
    candidate = [ratios for ratios in uniform if cost.macs(pruning_net.widths(ratios)) <= limit][-1]
    fitness = fitness_on_validation(pruning_net, network, task, 1, context)
    return lambda: fitness(candidate)


def mask_generation(module: nn.Module, task: Task, context: ToyContext) -> Callable[[], object]:
    """A look at one set through the reference network, and an untrained generator's mask."""
    from stampbench.methods.stamp import StampOptions
    from stampbench.methods.stamp.meta_training import Shape, make_generator
    from stampbench.methods.stamp.set_statistics import view_set
    from stampbench.methods.stamp.sets import draw_sets
    from stampbench.pruning.resources.macs import Macs

    head = module.get_submodule("head")
    assert isinstance(head, nn.Linear)
    shape = Shape.of(module.eval(), SIZE, 0.0, Macs())
    generator = make_generator(StampOptions(), shape.groups, head.in_features)
    generator.initialise(context.generator("stamp/generator"))  # type: ignore[operator]
    images, labels = draw_sets(task, 1, context)[0]

    def generate() -> object:
        view = view_set(module, shape.groups, images, labels, context.precision)
        with torch.no_grad():
            return shape.mask(generator(view, BUDGET.keep, shape.price_shares).sum(), BUDGET.keep)

    return generate


def training_step(network: str, width: float) -> Callable[[], None]:
    """Forward, backward and SGD of the dense network on one batch, in fp32: what scoring times are compared with."""
    module = dense(network, width).train()
    stream = seeding.generator("scoring", "training-step", 0)
    images = torch.randn(BATCH, 3, SIZE, SIZE, generator=stream).to(memory_format=torch.channels_last)
    labels = torch.arange(BATCH) % CLASSES
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        nn.functional.cross_entropy(module(images), labels).backward()
        optimizer.step()

    return step


def memory_alone(name: str, granularity: str, network: str, width: float) -> dict[str, float | None]:
    """Resident MiB before the pass, and the peak during it, in a fresh process."""
    command = [sys.executable, "-m", "tests.benchmarks.scoring", name, granularity, network, str(width)]
    done = subprocess.run(
        [*command, str(torch.get_num_threads())], cwd=ROOT, capture_output=True, text=True, check=True
    )
    measured: dict[str, float | None] = json.loads(done.stdout)
    return measured


def main(name: str, granularity: str, network: str, width: str, threads: str) -> None:
    """Prints what `memory_alone` returns."""
    torch.set_num_threads(int(threads))
    score, device = scoring_pass(name, granularity, network, float(width)), torch.device("cpu")
    memory.reset_peak(device)
    before = memory.peak_mib(device)
    score()
    print(json.dumps({"resident_mib": before, "peak_mib": memory.peak_mib(device)}))


if __name__ == "__main__":
    main(*sys.argv[1:])
