"""The suite that `try` writes for somebody's own images: STAMP and plain opponents, from the carried artefacts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from statistics import median

import torch

from stampbench.data import packed
from stampbench.data.catalogue import DATASETS, CustomDataset
from stampbench.data.unsplit import SHARE, with_splits
from stampbench.errors import DataError, UserError
from stampbench.files import write_atomically
from stampbench.job import ArtefactSpec, Job
from stampbench.measure import speed
from stampbench.networks.check import checked
from stampbench.pruning.cost import CostModel
from stampbench.running import pretraining
from stampbench.running.artefacts import Artefacts
from stampbench.running.campaign import Campaign
from stampbench.running.preparing import method_of, specs_of
from stampbench.running.progress import duration

PRESET, SIZE, BATCH = "try", 32, 128
# One of so many training images is for validation, up to a number that is enough.
MOST_VALIDATION = 1000
# The suites of the project train for about as many steps after pruning.
STEPS, EPOCHS = 280, (4, 100)
# A step of meta-training takes as long as this many training steps of the dense network, as the carried ones did.
META_STEP = 2.1

WHY = (
    "the validation images were held out from training, so they may choose; accuracies on test images are for "
    "reporting, and would promise too much if they chose"
)
SUITE = """\
title = "{title}"

# Images are resized to {size} × {size} pixels.
[datasets.{name}]
path = {path}
size = {size}

# The reference network and STAMP's generator are those that the project carries for artefact seed 0. Their recipe must
# stay as it is, or they are made anew: the precision of the reference, two threads, and the rate of the random start.
[presets.{preset}.protocol]
validation_images = {validation}
epochs = {epochs}
threads = 2
learning_rate = {{ random = 0.1, reference = 0.1, target = 0.2 }}
reference = {{ dataset = "tinyimagenet", epochs = 10, validation_images = 1000, precision = "bf16" }}

[[presets.{preset}.grid]]
targets = ["{name}"]
networks = ["vgg19"]
width = 0.25
methods = [{{ name = "dense", start = "reference" }}, "random", "magnitude", "stamp"]
budgets = [0.25, 0.0625]
seeds = {seeds}
"""


def write_suite(images: Path, out: Path, seeds: int) -> Path:
    """Write the suite for these images into the folder `out`, and return its path.

    A folder that has only class folders is split first: `out / "images"` holds links to its images. Raises `DataError`
    for images that cannot be used, `UserError` where another suite has the place.
    """
    name, source = name_of(images), with_splits(images, out / "images")
    held = packed.manifest(name, {name: CustomDataset(path=source, size=SIZE)})
    validation = max(1, min(held.train // SHARE, MOST_VALIDATION))
    left = held.train - validation
    if left < 1:
        raise DataError(f"{images}: one training image cannot be split for validation; add images")
    text = SUITE.format(
        title=f"{name}: {held.classes} classes, {held.train} training and {held.test} test images",
        name=name,
        path=json.dumps(str(source), ensure_ascii=False),
        size=SIZE,
        preset=PRESET,
        validation=validation,
        epochs=max(EPOCHS[0], min(round(STEPS * BATCH / left), EPOCHS[1])),
        seeds=seeds,
    )
    path = out / f"{name}.toml"
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise UserError(
            f"{path} exists, and is not the suite that these images and options ask for; run it with "
            f"`python -m stampbench run {path} --results {out / 'results'}`, or name another folder with --out"
        )
    write_atomically(path, text)
    return path


def name_of(images: Path) -> str:
    """Return the name of the dataset and the suite: the folder's, with hyphens for what a name may not hold."""
    name = re.sub(r"[^A-Za-z0-9]+", "-", images.resolve().name).strip("-")[:60] or "images"
    return f"{name}-own" if name in DATASETS else name


def how_long(campaign: Campaign, jobs: Sequence[Job], artefacts: Artefacts) -> str:
    """Say how long these jobs take at most, by timing some training steps of the dense network here."""
    if not jobs:
        return "every network is trained already"
    job = jobs[0]
    held = packed.manifest(job.target, campaign.suite.datasets)
    per_epoch = max(1, (held.train - job.protocol.validation_images) // BATCH)
    step = _step_seconds(job, held.classes)
    seconds = len(jobs) * job.protocol.epochs * per_epoch * step
    unmade = _unmade(jobs, artefacts)
    making = duration(sum(_seconds_to_make(spec, step) for spec in unmade))
    first = f"{len(unmade)} artefacts are not at hand and are made first, in about {making}; " if unmade else ""
    return (
        f"{first}{len(jobs)} networks are trained for {job.protocol.epochs} epochs of {per_epoch} steps, and a step of "
        f"the dense network takes {step:.2f} s here: at most about {duration(seconds)}, and some seconds to prune each"
    )


def _step_seconds(job: Job, classes: int) -> float:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, groups = checked(job.network, job.width, SIZE)
    widths = CostModel.of(network, groups, SIZE).widths
    threads = torch.get_num_threads()
    torch.set_num_threads(job.protocol.threads)
    try:
        dense = speed.network_at(job.network, classes, widths, device)
        images = speed.made_up_images("train_step", SIZE, device)
        step = speed.step_of("train_step", dense, images, job.protocol.precision)
        (seconds,) = speed.alternated([step], speed.WARMUPS, 3, device)
    finally:
        torch.set_num_threads(threads)
    return median(seconds)


def _unmade(jobs: Sequence[Job], artefacts: Artefacts) -> list[ArtefactSpec]:
    specs = {spec.digest: spec for job in jobs for spec in specs_of(job, method_of(job))}
    return [spec for spec in specs.values() if artefacts.of_any_data(spec) is None]


def _seconds_to_make(spec: ArtefactSpec, step: float) -> float:
    if spec.kind == pretraining.KIND:
        images = spec.recipe["images"] or DATASETS[spec.dataset].full_train or 0
        return float(spec.recipe["epochs"] * images / BATCH * step)
    return float(spec.recipe.get("meta_steps", 3000) * META_STEP * step)


def advice(campaign: Campaign, suite: Path) -> list[str]:
    """Return, for every budget, which network is best on validation images and how to export it; then, why these."""
    done = [record for record in campaign.store.of(campaign.jobs).values() if record.accuracy]
    alone = len({record.job.seed for record in done}) == 1
    lines = ["one seed is little: a difference of a few points may be chance"] if alone else []
    for keep in sorted({record.job.budget.keep for record in done if record.job.budget.keep < 1}, reverse=True):
        there = [record for record in done if record.job.budget.keep == keep]
        validation = {record.key: record.accuracy.validation_top1[-1] for record in there if record.accuracy}
        first, *others = sorted(there, key=lambda record: validation[record.key], reverse=True)
        rivals = [record for record in others if record.job.method != first.job.method]
        behind = f", {rivals[0].job.method} {validation[rivals[0].key]:.1%}" if rivals else ""
        share, held_out = f"1/{round(1 / keep)}", first.job.protocol.validation_images
        lines.append(
            f"at {share} of the MACs, the best network on the {held_out} validation images is {first.job.method}'s of "
            f"seed {first.job.seed} ({validation[first.key]:.1%}{behind}); take it home with\n"
            f"  python -m stampbench export {quote(str(suite))} --results {quote(str(campaign.store.root))} "
            f"--method {first.job.method} --budget {share} --seed {first.job.seed} --out {suite.stem}-{round(1 / keep)}"
        )
    return [*lines, WHY] if lines else []
