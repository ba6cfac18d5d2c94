"""The speed of a compact network relative to the dense one, interleaved in one process, with every sample kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import mean, pstdev

import torch
from torch import nn

from stampbench import seeding
from stampbench.measure.gpu import gpu_state
from stampbench.measure.memory import freed_is_kept
from stampbench.measure.provenance import device_name, provenance
from stampbench.networks.initial import build, initialise, place
from stampbench.record import Speed, Timing
from stampbench.seeding import digest_of_json
from stampbench.training import autocast

BATCH = {"train_step": 128, "latency": 1, "inference": 256}
WARMUPS = 2
ROUNDS = {"train_step": 10, "latency": 30, "inference": 10}
# Where a budget is a share of time: the standard error that a share may have, and how often the rounds are repeated.
PRECISE, REPEATS = 0.015, 6
# The standard error of a median is as many times that of a mean, for normal samples.
MEDIAN_ERROR = 1.2533


def speed_key(
    network: str,
    classes: int,
    input_size: int,
    widths: Mapping[str, int],
    precision: str,
    exclusive: bool,
    budgeted: str | None = None,
) -> str:
    """Return the key of a measurement, made of all that speed depends on.

    These are widths, device, threads, precision, algorithms and torch's build. Speeds measured on a machine that a job
    shares with others have keys of their own, as other jobs may slow it down. So have those that are measured longer,
    because a budget is a share of the timing `budgeted`, and those of a process that keeps freed memory.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shape = [network, classes, input_size, dict(widths), precision, BATCH["train_step"], BATCH["inference"], ROUNDS]
    unusual = [] if torch.are_deterministic_algorithms_enabled() else ["fast"]
    unusual += [] if exclusive else ["shared"]
    unusual += ["keeps-memory"] if freed_is_kept() else []
    unusual += [] if budgeted is None else [budgeted, str(PRECISE)]
    return digest_of_json([*shape, device_name(device), torch.get_num_threads(), torch.__version__, *unusual])


def measure(
    network: str,
    classes: int,
    input_size: int,
    widths: Mapping[str, int],
    dense_widths: Mapping[str, int],
    precision: str,
    device: torch.device,
    executor: str,
    exclusive: bool,
    budgeted: str | None = None,
) -> Speed:
    """Time a training step (batch of 128) and inference (batches of 1 and 256) of both networks, in turn.

    Images and labels are generated, as speed does not depend on them. The timing `budgeted`, if any, is repeated until
    the share of time is known to `PRECISE`.
    """
    pair = [network_at(network, classes, w, device) for w in (dense_widths, widths)]

    def timing(kind: str) -> Timing:
        images = made_up_images(kind, input_size, device)
        steps = [step_of(kind, module, images, precision) for module in pair]
        taken = settled if kind == budgeted else alternated
        dense, compact = taken(steps, WARMUPS, ROUNDS[kind], device)
        return Timing(batch_size=BATCH[kind], dense=dense, compact=compact)

    trained = timing("train_step")
    gpu = gpu_state(device)
    return Speed(
        key=speed_key(network, classes, input_size, widths, precision, exclusive, budgeted),
        network=network,
        classes=classes,
        input_size=input_size,
        widths=dict(widths),
        dense_widths=dict(dense_widths),
        precision=precision,
        train_step=trained,
        latency=timing("latency"),
        inference=timing("inference"),
        gpu=gpu,
        provenance=provenance(device, precision, executor, exclusive),
    )


def step_of(timing: str, network: nn.Module, images: torch.Tensor, precision: str) -> Callable[[], None]:
    """Return what takes one step of a timing on the images, and put the network into that step's mode.

    The network stays in that mode; so finish one timing before the next.
    """
    if timing != "train_step":
        network.eval()
        return lambda: infer(network, images, precision)
    optimizer = optimizer_of(network.train())
    return lambda: train_step(network, optimizer, images, precision)


def alternated(
    steps: Sequence[Callable[[], None]], warmups: int, rounds: int, device: torch.device
) -> list[list[float]]:
    """Return the seconds of every step in every round; the steps take turns, after some rounds that are not timed."""
    samples: list[list[float]] = [[] for _ in steps]
    for index in range(warmups + rounds):
        for step, kept in zip(steps, samples, strict=True):
            seconds = _seconds(step, device)
            if index >= warmups:
                kept.append(seconds)
    return samples


def settled(steps: Sequence[Callable[[], None]], warmups: int, rounds: int, device: torch.device) -> list[list[float]]:
    """Return samples as `alternated` does, repeated until every share of the first step's time is known to `PRECISE`.

    On a busy machine single pairs differ by a tenth, so that ten of them may miss a share by as much as is marked.
    """
    samples = alternated(steps, warmups, rounds, device)

    def unknown() -> bool:
        return max(share_error(samples[0], small) for small in samples[1:]) > PRECISE

    while unknown() and len(samples[0]) < REPEATS * rounds:
        for kept, more in zip(samples, alternated(steps, 0, rounds, device), strict=True):
            kept += more
    return samples


def share_error(dense: Sequence[float], small: Sequence[float]) -> float:
    """Return the standard error of `share_of_time`, as a share of it, if pairs vary normally."""
    ratios = [part / whole for whole, part in zip(dense, small, strict=True)]
    return MEDIAN_ERROR * pstdev(ratios) / mean(ratios) / math.sqrt(len(ratios))


def train_step(network: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, precision: str) -> None:
    """Take one training step on images (N, 3, H, W), with labels 0, 1, 2, … in turn."""
    with autocast(images.device, precision):
        logits = network(images)
    labels = torch.arange(len(images), device=images.device) % logits.shape[1]
    loss = nn.functional.cross_entropy(logits.float(), labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


@torch.no_grad()
def infer(network: nn.Module, images: torch.Tensor, precision: str) -> None:
    """Run the network once on images (N, 3, H, W)."""
    with autocast(images.device, precision):
        network(images)


def optimizer_of(network: nn.Module) -> torch.optim.Optimizer:
    """Return the optimiser of a timed training step."""
    return torch.optim.SGD(network.parameters(), lr=1e-3, momentum=0.9, fused=True)


def made_up_images(kind: str, input_size: int, device: torch.device) -> torch.Tensor:
    """Return standard normal images (batch, 3, size, size) for that kind of step, channels last."""
    images = torch.randn(BATCH[kind], 3, input_size, input_size, generator=seeding.generator("speed", kind, 0))
    return images.to(device, memory_format=torch.channels_last)


def network_at(name: str, classes: int, widths: Mapping[str, int], device: torch.device) -> nn.Module:
    """Return a network of these widths, with weights, in train mode on the device."""
    network = build(name, classes, 1.0, widths)
    initialise(network, *(seeding.generator("speed", part, 0) for part in ("initial-weights", "head")))
    return place(network, device).train()


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the wall-clock seconds on a CPU or, on a GPU, the seconds between two events on its stream."""
    if device.type == "cuda":
        begun, done = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begun.record()
        work()
        done.record()
        done.synchronize()
        return float(begun.elapsed_time(done)) / 1000
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
