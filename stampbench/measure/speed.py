"""The speed of a compact network relative to the dense one, interleaved in one process, with every sample kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import torch
from torch import nn

from stampbench import seeding
from stampbench.measure.gpu import gpu_state
from stampbench.measure.provenance import device_name, provenance
from stampbench.networks.initial import build, initialise, place
from stampbench.record import Speed, Timing
from stampbench.seeding import digest_of_json
from stampbench.training import autocast

TRAIN_BATCH, INFERENCE_BATCH = 128, 256
WARMUPS = 2
ROUNDS = {"train_step": 10, "latency": 30, "inference": 10}


def speed_key(
    network: str, classes: int, input_size: int, widths: Mapping[str, int], precision: str, exclusive: bool
) -> str:
    """Return the key of a measurement, made of all that speed depends on.

    These are widths, device, threads, precision, algorithms and torch's build. Speeds measured on a machine that a job
    shares with others have keys of their own, as other jobs may slow it down.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    shape = [network, classes, input_size, dict(widths), precision, TRAIN_BATCH, INFERENCE_BATCH, ROUNDS]
    unusual = [] if torch.are_deterministic_algorithms_enabled() else ["fast"]
    unusual += [] if exclusive else ["shared"]
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
) -> Speed:
    """Time a training step (batch of 128) and inference (batches of 1 and 256) of both networks, in turn.

    Images and labels are generated, as speed does not depend on them.
    """
    pair = [network_at(network, classes, w, device) for w in (dense_widths, widths)]

    def timing(kind: str, batch_size: int, step: Callable[[nn.Module, torch.Tensor], object]) -> Timing:
        images = made_up_images(kind, batch_size, input_size, device)
        samples: tuple[list[float], list[float]] = ([], [])
        for index in range(WARMUPS + ROUNDS[kind]):
            for module, kept in zip(pair, samples, strict=True):
                seconds = _seconds(lambda module=module: step(module, images), device)  # type: ignore[misc]
                if index >= WARMUPS:
                    kept.append(seconds)
        return Timing(batch_size=batch_size, dense=samples[0], compact=samples[1])

    optimizers = {module: optimizer_of(module) for module in pair}
    trained = timing(
        "train_step", TRAIN_BATCH, lambda module, images: train_step(module, optimizers[module], images, precision)
    )
    gpu = gpu_state(device)
    for module in pair:
        module.eval()
    return Speed(
        key=speed_key(network, classes, input_size, widths, precision, exclusive),
        network=network,
        classes=classes,
        input_size=input_size,
        widths=dict(widths),
        dense_widths=dict(dense_widths),
        precision=precision,
        train_step=trained,
        latency=timing("latency", 1, lambda module, images: infer(module, images, precision)),
        inference=timing("inference", INFERENCE_BATCH, lambda module, images: infer(module, images, precision)),
        gpu=gpu,
        provenance=provenance(device, precision, executor, exclusive),
    )


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


def made_up_images(kind: str, batch_size: int, input_size: int, device: torch.device) -> torch.Tensor:
    """Return standard normal images (batch_size, 3, size, size) for that kind of step, channels last."""
    images = torch.randn(batch_size, 3, input_size, input_size, generator=seeding.generator("speed", kind, 0))
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
