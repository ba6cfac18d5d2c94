"""Meta-training over subsets of the reference dataset, first order (DESIGN.md, section 4)."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.stamp.episodes import Episode, Episodes, nearest_classes
from methods.stamp.mask_generator import MaskGenerator, StaticGenerator
from methods.stamp.relaxation import SoftCost, logistic_noise, relaxed_mask
from methods.stamp.set_statistics import SetView, view_set
from methods.stamp.sets import SET
from stampbench.contract import Artefact, ArtefactSpec, Context, Task
from stampbench.data.augmentation import normalise, resize
from stampbench.measure.cost import CostModel
from stampbench.measure.phases import synchronize
from stampbench.networks.initial import build, place
from stampbench.pruning.allocate import allocate, fractional_ranks
from stampbench.pruning.groups import Group, channel_groups
from stampbench.pruning.masks import channel_gates
from stampbench.training import autocast

if TYPE_CHECKING:
    from methods.stamp import MetaOptions

BATCH = 128
TEMPERATURE, NOISE = 0.5, 0.35
WEIGHT_RATE, GENERATOR_RATE, INNER_RATE = 0.02, 2e-3, 0.02
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
LOG_EVERY = 50
CHECKPOINT_EVERY = 100
POINT = ("step", "loss", "keep", "classes", "accuracy", "random_accuracy")
GENERATOR = "generator."
NETWORK = "network."


@dataclass(frozen=True)
class Shape:
    """A network's groups and what their channels cost."""

    groups: tuple[Group, ...]
    cost: CostModel
    soft: SoftCost
    floor: float

    @classmethod
    def of(cls, network: nn.Module, input_size: int, floor: float) -> Shape:
        """Of a dense network."""
        groups = channel_groups(network, input_size)
        cost = CostModel.of(network, groups, input_size)
        return cls(groups, cost, SoftCost.of(cost, next(network.parameters()).device), floor)

    def gates(self, logits: Mapping[str, Tensor], keep: float) -> dict[str, Tensor]:
        """0/1 gates within the budget; their gradient reaches the logits."""
        return relaxed_mask(logits, self.cost, self.soft, keep, TEMPERATURE, self.floor)


def make_generator(options: MetaOptions, groups: Sequence[Group], features: int) -> nn.Module:
    """A generator with undefined weights: call `initialise`, or load a state dict."""
    # On "meta" the layers draw no weights, so the global random state stays as it was.
    with torch.device("meta"):
        made = StaticGenerator(groups) if options.static else MaskGenerator(groups, features)
    return made.to_empty(device="cpu")


def meta_train(
    spec: ArtefactSpec, task: Task, pretrained: Artefact, options: MetaOptions, context: Context
) -> Artefact:
    """Trains generator and shared weights: tensors under "generator." and "network.", the learning curve in notes.

    Goes on from the context's checkpoint; the seconds are those of all runs together.
    """
    network = build(spec.network, task.classes, spec.width)
    network.load_state_dict(dict(pretrained.tensors))
    place(network, context.device)
    run = MetaTraining(network, task, options, context)
    synchronize(context.device)
    start = time.perf_counter()
    if saved := context.checkpoint.load():
        start -= run.restore(saved)
    while run.steps < options.meta_steps:
        run.step()
        if run.steps % CHECKPOINT_EVERY == 0:
            context.checkpoint.save(run.state(time.perf_counter() - start))
    recalibrate(run.shared, task, context)
    synchronize(context.device)
    return Artefact(run.learned(), time.perf_counter() - start, {"curve": run.curve})


class MetaTraining:
    """The state of meta-training: the frozen reference network, the shared weights, the generator."""

    def __init__(self, reference: nn.Module, task: Task, options: MetaOptions, context: Context) -> None:
        self.options, self.context = options, context
        self.reference = reference.eval()
        self.shared = copy.deepcopy(reference).train()
        self.shape = Shape.of(reference, task.input_size, context.floor)
        head = reference.get_submodule("head")
        assert isinstance(head, nn.Linear)
        self.generator = make_generator(options, self.shape.groups, head.in_features)
        self.generator.initialise(context.generator("stamp/generator"))  # type: ignore[operator]
        self.generator.to(context.device)
        features, labels = features_of(reference, task)
        self.episodes = Episodes(task, nearest_classes(features, labels, task.classes))
        self._weights = torch.optim.SGD(
            self.shared.parameters(), lr=WEIGHT_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, fused=True
        )
        self._generator = torch.optim.Adam(self.generator.parameters(), lr=GENERATOR_RATE)
        self.steps, self.curve = 0, list[dict[str, float]]()

    def learned(self) -> dict[str, Tensor]:
        """The state of the generator under "generator.", of the shared weights under "network."."""
        tensors = {GENERATOR + name: tensor for name, tensor in self.generator.state_dict().items()}
        return tensors | {NETWORK + name: tensor for name, tensor in self.shared.state_dict().items()}

    def state(self, seconds: float) -> dict[str, Tensor]:
        """All that decides the next steps, and the seconds and the learning curve so far."""
        tensors = self.learned() | {"steps": torch.tensor(self.steps), "seconds": torch.tensor(seconds).double()}
        tensors["curve"] = torch.tensor([list(point.values()) for point in self.curve], dtype=torch.float64)
        for name, optimizer in self._optimizers.items():
            for index, moments in optimizer.state_dict()["state"].items():
                tensors |= {f"{name}.{index}.{key}": value for key, value in moments.items()}
        return tensors

    def restore(self, saved: Mapping[str, Tensor]) -> float:
        """Goes back to a `state`; returns its seconds."""
        for prefix, module in ((GENERATOR, self.generator), (NETWORK, self.shared)):
            module.load_state_dict({n.removeprefix(prefix): t for n, t in saved.items() if n.startswith(prefix)})
        for name, optimizer in self._optimizers.items():
            parameters = optimizer.param_groups[0]["params"]
            moments: dict[int, dict[str, Tensor]] = {}
            for path, value in saved.items():
                if path.startswith(f"{name}."):
                    _, index, key = path.split(".")
                    like = parameters[int(index)]
                    # A fused step reads memory as it lies: moments must lie as their parameter does.
                    placed = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
                    moments.setdefault(int(index), {})[key] = placed
            optimizer.load_state_dict(optimizer.state_dict() | {"state": moments})
        self.steps = int(saved["steps"])
        self.curve = [dict(zip(POINT, values, strict=True)) for values in saved["curve"].tolist()]
        return float(saved["seconds"])

    @property
    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"weights-optimizer": self._weights, "generator-optimizer": self._generator}

    def step(self) -> None:
        """One episode; every 50th leaves a point of the learning curve."""
        step = self.steps
        self._anneal(step)
        stream = self.context.generator(f"stamp/episode/{step}")
        episode = self.episodes.draw((self.options.inner_steps + 2) * BATCH, stream)
        batches = list(self.context.loader(episode.task, BATCH, f"stamp/episode/{step}").epoch())
        (images, labels), query = batches[0], batches[-1]
        gates = self._gates(view_set(self.reference, self.shape.groups, images[:SET], labels[:SET]), episode, stream)
        with self._adapted(batches[:-1], episode, gates):
            loss = self._loss(query, episode, gates)
            self._weights.zero_grad(set_to_none=True)
            self._generator.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
        if self.options.shared == "updated":
            self._weights.step()
        if self.options.masks == "generated":
            self._generator.step()
        if step % LOG_EVERY == 0:
            self.curve.append(self._point(step, loss, query, episode, gates))
        self.steps += 1

    def _anneal(self, step: int) -> None:
        factor = 0.5 * (1 + torch.cos(torch.tensor(step / self.options.meta_steps * torch.pi)).item())
        for optimizer, rate in ((self._weights, WEIGHT_RATE), (self._generator, GENERATOR_RATE)):
            optimizer.param_groups[0]["lr"] = rate * factor

    def _gates(self, view: SetView, episode: Episode, stream: torch.Generator) -> dict[str, Tensor]:
        if self.options.masks == "random":
            return random_gates(self.shape, episode.keep, stream, self.context.device)
        logits = self.generator(view, episode.keep)
        return self.shape.gates(logistic_noise(logits, NOISE, stream), episode.keep)

    def _loss(self, batch: tuple[Tensor, Tensor], episode: Episode, gates: Mapping[str, Tensor]) -> Tensor:
        images, labels = batch
        logits = masked_logits(self.shared, self.shape.groups, gates, images, self.context.precision)
        return F.cross_entropy(logits[:, episode.classes], episode.positions(labels))

    @contextmanager
    def _adapted(
        self, support: Sequence[tuple[Tensor, Tensor]], episode: Episode, gates: Mapping[str, Tensor]
    ) -> Iterator[None]:
        """The shared weights K steps on, inside; their gradients there are those of the outer step, to first order."""
        if not self.options.inner_steps:
            yield
            return
        parameters = list(self.shared.parameters())
        before = [parameter.detach().clone() for parameter in parameters]
        fixed = {name: gate.detach() for name, gate in gates.items()}
        for index in range(self.options.inner_steps):
            loss = self._loss(support[index % len(support)], episode, fixed)
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.data.sub_(INNER_RATE * gradient)
        yield
        for parameter, value in zip(parameters, before, strict=True):
            parameter.data.copy_(value)

    @torch.no_grad()
    def _point(
        self,
        step: int,
        loss: Tensor,
        query: tuple[Tensor, Tensor],
        episode: Episode,
        gates: Mapping[str, Tensor],
    ) -> dict[str, float]:
        """Query accuracy of the generated masks, and of random ones at the same budget."""
        stream = self.context.generator(f"stamp/comparison/{step}")
        by_chance = random_gates(self.shape, episode.keep, stream, self.context.device)
        values = [float(step), loss.item(), episode.keep, float(len(episode.classes))]
        for masks in (gates, by_chance):
            with buffers_kept(self.shared):
                logits = masked_logits(self.shared, self.shape.groups, masks, query[0], self.context.precision)
            right = logits[:, episode.classes].argmax(1) == episode.positions(query[1])
            values.append(right.float().mean().item())
        return dict(zip(POINT, values, strict=True))


def masked_logits(
    network: nn.Module, groups: Sequence[Group], gates: Mapping[str, Tensor], images: Tensor, precision: str
) -> Tensor:
    """Float32 logits of the network under gates."""
    with channel_gates(network, groups, gates), autocast(images.device, precision):
        logits: Tensor = network(images).float()
    return logits


def random_gates(shape: Shape, keep: float, stream: torch.Generator, device: torch.device) -> dict[str, Tensor]:
    """Gates of uniformly random channels, about the same share of every group, within the budget."""
    draws = {name: torch.rand(width, generator=stream) for name, width in shape.cost.widths.items()}
    limit = int(keep * shape.cost.macs())
    kept = allocate(fractional_ranks(draws), shape.cost, limit, floor=shape.floor).keep
    return {name: mask.float().to(device) for name, mask in kept.items()}


@torch.no_grad()
def features_of(network: nn.Module, task: Task, most: int = 8192) -> tuple[Tensor, Tensor]:
    """Penultimate features (n, d) of the first training images and their labels, on the CPU."""
    found: list[Tensor] = []
    hook = network.get_submodule("head").register_forward_pre_hook(lambda _m, inputs: found.append(inputs[0].cpu()))
    try:
        for images in task.train.images[:most].split(256):
            network(normalise(resize(images, task.input_size), task.mean, task.std))
    finally:
        hook.remove()
    return torch.cat(found), task.train.labels[:most].cpu()


@torch.no_grad()
def recalibrate(network: nn.Module, task: Task, context: Context, batches: int = 32) -> None:
    """Batch norm's statistics of the dense network anew: those met under masks fit no single network."""
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    network.train()
    loader = context.loader(task, BATCH, "stamp/recalibration")
    for _, (images, _labels) in zip(range(batches), loader.epoch(), strict=False):
        network(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@contextmanager
def buffers_kept(network: nn.Module) -> Iterator[None]:
    """Batch norm's statistics are the same after as before."""
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    try:
        yield
    finally:
        for name, buffer in network.named_buffers():
            buffer.copy_(before[name])
