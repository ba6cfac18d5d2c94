"""The ceiling of the set: what masks that are optimised on the target itself gain over those of another target.

`python -m tests.benchmarks.adaptivity [--keep 0.25 --keep 0.0625]`, with `STAMPBENCH_DATA` set. On every target, one
free logit per channel and one offset per group are optimised for some hundred steps under the budget, without a
generator: what perfect adaptivity could read from a set. Every mask is then put on the same weights, STAMP's own, and
trained on every target with the common recipe. `stamp` is the generator's mask on the same weights; `l1` is that of L1
norms at uniform widths, from which the optimisation starts. Only the masks differ, and only validation images are
looked at, which neither logits nor training have seen. The same command resumes after a stop.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
from pydantic import Field
from tabulate import tabulate
from torch import Tensor, nn
from torch.nn import functional as F

from stampbench import seeding
from stampbench.contract import Artefact, ArtefactSpec, Budget, Context, Method, Options, Plan, Start, Task
from stampbench.job import Job
from stampbench.measure import hardware
from stampbench.methods.magnitude import filter_l1_norm
from stampbench.methods.stamp import META_TRAINED, MetaOptions, meta_spec
from stampbench.methods.stamp.adaptation import body, load_into
from stampbench.methods.stamp.meta_training import (
    BATCH,
    MOMENTUM,
    NOISE,
    WEIGHT_RATE,
    Shape,
    falling,
    gated_logits,
    width_gradient,
)
from stampbench.methods.stamp.relaxation import logistic_noise
from stampbench.networks.initial import build, initialise_head, place
from stampbench.pruning.allocate import allocate
from stampbench.pruning.resources.base import limit_at
from stampbench.record import Record
from stampbench.store import Store
from stampbench.suite import Suite
from tests.benchmarks.oracles import accuracy, ran, register

KIND = "free logits"
TARGETS = ("tinyimagenet-dev0", "svhn", "cars-32")
LOGIT_RATE = 0.03


class FreeOptions(Options):
    """`of` names the target whose mask is used; with 0 `steps` it is that of the L1 norms."""

    of: str = TARGETS[0]
    steps: int = Field(300, ge=0)


class Free(Method):
    """The mask of free logits, optimised on a target, on STAMP's own weights."""

    name = "free"
    version = 1
    default_start = Start.REFERENCE
    starts = frozenset({Start.REFERENCE})
    Options = FreeOptions
    options: FreeOptions
    card = "The oracle behind tests/benchmarks/adaptivity.py."

    @classmethod
    def datasets(cls, options: FreeOptions) -> tuple[str, ...]:
        """Return the dataset of the mask."""
        return (options.of,)

    def artefacts(self, job: Job) -> list[ArtefactSpec]:
        """Return STAMP's weights, and the logits of the mask's target under the job's budget."""
        made = {"method_version": self.version, "steps": self.options.steps, "keep": job.budget.keep}
        free = ArtefactSpec.of(job, KIND, "target", job.protocol.epochs, **made)
        return [meta_spec(job, META_TRAINED, MetaOptions()), free.model_copy(update={"dataset": self.options.of})]

    def prepare(self, spec: ArtefactSpec, task: Task, artefacts: Mapping[str, Artefact], context: Context) -> Artefact:
        """Optimise the logits on the task."""
        network = place(build(spec.network, task.classes, spec.width), context.device)
        initialise_head(network, seeding.generator("head", spec.dataset, spec.seed))
        load_into(network, {**network.state_dict(), **body(artefacts[META_TRAINED])})
        return Artefact(optimised(network, task, spec.recipe["keep"], self.options.steps, context), 0.0)

    def plan(
        self, network: nn.Module, task: Task, budget: Budget, artefacts: Mapping[str, Artefact], context: Context
    ) -> Plan:
        """Keep the channels with the largest logits that fit the budget, of STAMP's weights."""
        shape = Shape.of(network, task.input_size, context.floor, context.resource)
        limit = limit_at(budget.keep, shape.pricing)
        keep = allocate(artefacts[KIND].tensors, shape.pricing, limit, context.round_to, context.floor).keep
        return Plan(keep, {**network.state_dict(), **body(artefacts[META_TRAINED])}, {})


def optimised(network: nn.Module, task: Task, keep: float, steps: int, context: Context) -> dict[str, Tensor]:
    """Return logits (width,) of every group, after steps on them together with weights and head.

    They start at the ranks of L1 norms. As in meta-training, scores take the gradient of the relaxed mask under noise
    that falls to zero, and offsets that of a simultaneous perturbation.
    """
    shape = Shape.of(network, task.input_size, context.floor, context.resource)
    scores = {group.name: standard(filter_l1_norm(network, group)).requires_grad_() for group in shape.groups}
    offsets = torch.zeros(len(scores), requires_grad=True)
    rule = torch.optim.Adam([*scores.values(), offsets], lr=LOGIT_RATE)
    weights = torch.optim.SGD(network.train().parameters(), lr=WEIGHT_RATE, momentum=MOMENTUM)
    loader, stream = context.loader(task, BATCH, "free/batches"), context.generator("free/noise")

    def logits() -> dict[str, Tensor]:
        return {name: score + offset for (name, score), offset in zip(scores.items(), offsets, strict=True)}

    def loss_of(mask: Mapping[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
        return F.cross_entropy(gated_logits(network, shape.groups, mask, images, context.precision), labels)

    batches = chain.from_iterable(loader.epoch() for _ in range(math.ceil(steps / len(loader))))
    for index, batch in enumerate(islice(batches, steps)):
        factor = falling(index, steps)
        rule.param_groups[0]["lr"], weights.param_groups[0]["lr"] = LOGIT_RATE * factor, WEIGHT_RATE * factor
        noisy = logistic_noise(logits(), NOISE * factor, stream)
        signs = torch.randint(2, (len(noisy),), generator=stream) * 2.0 - 1
        widths = width_gradient(
            network, noisy, signs, lambda shifted, batch=batch: loss_of(shape.mask(shifted, keep), *batch)
        )
        for optimizer in (rule, weights):
            optimizer.zero_grad(set_to_none=True)
        loss_of(shape.gates(noisy, keep), *batch).backward()  # type: ignore[no-untyped-call]
        # Behind batch norm the gates of a group have gradients that add up to zero, so widths take the perturbation's.
        offsets.grad = widths
        rule.step()
        weights.step()
        context.progress(index + 1, steps)
    return {name: logit.detach().clone() for name, logit in logits().items()}


def standard(values: Tensor) -> Tensor:
    """Return the values' ranks with mean 0 and deviation 1, float32."""
    ranks = values.argsort().argsort().float()
    return (ranks - ranks.mean()) / ranks.std()


def main() -> None:
    """Run what is missing, and print the table of every budget."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", type=float, action="append")
    parser.add_argument("--target", action="append", help="a target of masks")
    parser.add_argument("--on", action="append", help="a target to train on; by default all targets of masks")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--results", type=Path, default=Path("build/adaptivity"))
    asked = parser.parse_args()
    register(Free)
    store = Store(asked.results)
    for keep in asked.keep or [0.25, 0.0625]:
        suite = suite_of(asked, keep)
        jobs = suite.jobs("search", hardware.preferred_precision(cuda=False))
        print(f"\n{keep:g} of the MACs\n\n{table(ran(jobs, suite, store))}\n", flush=True)


def suite_of(asked: argparse.Namespace, keep: float) -> Suite:
    """Return the suite of every mask on every target, from the weights that the repository carries."""
    targets = asked.target or TARGETS
    free: list[dict[str, Any]] = [{"name": Free.name, "options": {"of": of, "steps": asked.steps}} for of in targets]
    free += [
        {"name": Free.name, "options": {"steps": 0}},
        {"name": "stamp", "options": {"sets": 8, "adaptation_steps": 0}},
    ]
    grid = {"targets": list(asked.on or targets), "networks": ["vgg19"], "width": 0.25, "methods": free}
    protocol = {
        "train_images": 2200,
        "validation_images": 400,
        "epochs": asked.epochs,
        "threads": 2,
        "learning_rate": {"random": 0.1, "reference": 0.1, "target": 0.2},
        "reference": {"dataset": "tinyimagenet", "epochs": 10, "precision": "bf16", "validation_images": 1000},
    }
    preset = {"protocol": protocol, "grid": [grid | {"budgets": [keep], "seeds": asked.seed or [0, 3, 6]}]}
    cars = {"path": Path(os.environ["STAMPBENCH_DATA"]) / "cars", "size": 32}
    whole = {"name": "adaptivity", "title": "The ceiling of the set", "datasets": {"cars-32": cars}}
    return Suite.model_validate(whole | {"presets": {"search": preset}})


def table(records: Sequence[tuple[Job, Record]]) -> str:
    """Return accuracies on validation images: a row per target, a column per mask, and what its own mask gains."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for job, record in records:
        found.setdefault((job.target, mask_of(job)), {})[job.seed] = 100 * accuracy(record)
    targets, masks = (list(dict.fromkeys(pair[index] for pair in found)) for index in (0, 1))
    rows, gains = [], []
    for target in targets:
        own = found[target, target]
        others = [found[target, mask] for mask in masks if mask not in (target, "l1", "stamp")]
        gain = [own[seed] - mean(other[seed] for other in others) for seed in own]
        gains += gain
        rows.append([target, *(mean(found[target, mask].values()) for mask in masks), mean(gain)])
    text = tabulate(rows, headers=["target", *masks, "own over other targets'"], tablefmt="pipe", floatfmt=".2f")
    spread = stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
    return f"{text}\n\nown over other targets', {len(gains)} runs: {mean(gains):+.2f} ± {spread:.2f} (standard error)"


def mask_of(job: Job) -> str:
    """Return the target of a job's mask, or what else made it."""
    if job.method != Free.name:
        return job.method
    return "l1" if job.options.get("steps") == 0 else str(job.options.get("of", TARGETS[0]))


if __name__ == "__main__":
    main()
