"""First-order meta-training over subsets of the reference dataset (docs/design.md, section 7)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from stampbench.contract import Artefact, ArtefactSpec, Context, Task
from stampbench.data.augmentation import normalise, resize
from stampbench.moments import moments, part, restore_moments
from stampbench.networks.initial import build, place
from stampbench.pruning.allocate import allocate, fractional_ranks
from stampbench.pruning.cost import CostModel
from stampbench.pruning.cropped import cropped_forward
from stampbench.pruning.groups import Group, channel_groups
from stampbench.pruning.resources.base import Pricing, Resource, limit_at
from stampbench.pruning.resources.macs import Macs
from stampbench.training import autocast

from .episodes import Episode, Episodes, nearest_classes, parted_classes
from .mask_generator import MaskGenerator, StaticGenerator
from .prices import made_up_pricing, price_shares
from .relaxation import SoftCost, logistic_noise, relaxed_mask
from .set_statistics import SetView, view_set
from .sets import SET

if TYPE_CHECKING:
    from . import MetaOptions

BATCH = 128
TEMPERATURE, NOISE, PERTURBATION = 0.5, 0.35, 0.3
WEIGHT_RATE, GENERATOR_RATE, INNER_RATE = 0.02, 2e-3, 0.02
MOMENTUM, WEIGHT_DECAY = 0.9, 5e-4
LOG_EVERY = 50
CHECKPOINT_EVERY = 100
POINT = ("step", "loss", "keep", "classes", "held_out_accuracy", "held_out_random_accuracy")
GENERATOR = "generator."
NETWORK = "network."
# Normalised float32 images (n, 3, H, W) and their int64 labels (n,).
Batch = tuple[Tensor, Tensor]
# A gate (width,) for every group, either bool, or float with a gradient.
Mask = Mapping[str, Tensor]


@dataclass(frozen=True)
class Shape:
    """The groups of a network and the cost of their channels; `least` is the share of that cost that the floors take.

    An episode's budget below that share, which a small network cannot meet, is raised to it.
    """

    groups: tuple[Group, ...]
    pricing: Pricing
    soft: SoftCost
    floor: float
    least: float

    @classmethod
    def of(cls, network: nn.Module, input_size: int, floor: float, resource: Resource) -> Shape:
        """Return the shape of a dense network, its channels priced by the resource."""
        groups = channel_groups(network, input_size)
        pricing = resource.pricing(CostModel.of(network, groups, input_size))
        return cls.priced(groups, pricing, next(network.parameters()).device, floor)

    @classmethod
    def priced(cls, groups: tuple[Group, ...], pricing: Pricing, device: torch.device, floor: float) -> Shape:
        """Return the shape of these groups under a pricing."""
        smallest = {name: max(1, math.ceil(floor * width)) for name, width in pricing.widths.items()}
        # Half a unit more, so that no rounding takes one away.
        least = (pricing.cost(smallest) + 0.5) / pricing.cost()
        return cls(groups, pricing, SoftCost.of(pricing, device), floor, least)

    def price_shares(self, keep: float) -> Tensor:
        """Return what the generator reads of the prices at a budget; see `prices.price_shares`."""
        return price_shares(self.pricing, max(keep, self.least))

    def gates(self, logits: Mapping[str, Tensor], keep: float) -> dict[str, Tensor]:
        """Return 0/1 gates within the budget, whose gradient reaches the logits."""
        return relaxed_mask(logits, self.pricing, self.soft, max(keep, self.least), TEMPERATURE, self.floor)

    def mask(self, logits: Mapping[str, Tensor], keep: float) -> Mask:
        """Return the channels that the gates of these logits keep."""
        limit = limit_at(max(keep, self.least), self.pricing)
        kept = allocate(logits, self.pricing, limit, floor=self.floor).keep
        return {name: mask.to(logits[name].device) for name, mask in kept.items()}

    def random_mask(self, keep: float, stream: torch.Generator, device: torch.device) -> Mask:
        """Return uniformly random channels within the budget, about the same share of every group."""
        draws = {name: torch.rand(width, generator=stream) for name, width in self.pricing.widths.items()}
        return self.mask({name: ranks.to(device) for name, ranks in fractional_ranks(draws).items()}, keep)


def make_generator(options: MetaOptions, groups: Sequence[Group], features: int) -> nn.Module:
    """Return a generator with undefined weights: call `initialise`, or load a state dict."""
    # On "meta" the layers draw no weights, so the global random state stays as it was.
    with torch.device("meta"):
        priced = options.prices != "macs"
        made = StaticGenerator(groups) if options.static else MaskGenerator(groups, features, priced)
    return made.to_empty(device="cpu")


def meta_train(
    spec: ArtefactSpec, task: Task, pretrained: Artefact, options: MetaOptions, context: Context
) -> Artefact:
    """Train the generator and the shared weights, from the context's checkpoint if there is one.

    The artefact's tensors are named "generator.…" and "network.…", its notes hold the learning curve, and its seconds
    are those of all interrupted runs together.
    """
    network = build(spec.network, task.classes, spec.width)
    network.load_state_dict(dict(pretrained.tensors))
    place(network, context.device)
    run = MetaTraining(network, task, options, context)
    start = context.now()
    if saved := context.checkpoint.load():
        start -= run.restore(saved)
    while run.steps < options.meta_steps:
        run.step()
        context.progress(run.steps, options.meta_steps)
        if run.steps % CHECKPOINT_EVERY == 0:
            context.checkpoint.save(run.state(context.now() - start))
    recalibrate(run.shared, task, context)
    return Artefact(run.learned(), context.now() - start, {"curve": run.curve})


class MetaTraining:
    """The state of meta-training: the frozen reference network, the shared weights and the generator."""

    def __init__(self, reference: nn.Module, task: Task, options: MetaOptions, context: Context) -> None:
        self.options, self.context = options, context
        self.reference = reference.eval()
        self.shared = copy.deepcopy(reference).train()
        # The artefact is shared by jobs under every budget, so a job's own resource does not enter unless asked for.
        self.shape = Shape.of(reference, task.input_size, context.floor, Macs())
        self._cost = CostModel.of(reference, self.shape.groups, task.input_size)
        head = reference.get_submodule("head")
        assert isinstance(head, nn.Linear)
        self.generator = make_generator(options, self.shape.groups, head.in_features)
        self.generator.initialise(context.generator("stamp/generator"))  # type: ignore[operator]
        self.generator.to(context.device)
        features, labels = features_of(reference, task)
        neighbours = nearest_classes(features, labels, task.classes)
        seen, held_out = parted_classes(task.train.labels.unique().cpu(), context.generator("stamp/held-out"))
        self.episodes, self.held_out = Episodes(task, neighbours, seen), Episodes(task, neighbours, held_out)
        self._weights = torch.optim.SGD(
            self.shared.parameters(), lr=WEIGHT_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY, fused=True
        )
        self._generator = torch.optim.Adam(self.generator.parameters(), lr=GENERATOR_RATE, fused=True)
        self.steps, self.curve, self._noise = 0, list[dict[str, float]](), NOISE

    def learned(self) -> dict[str, Tensor]:
        """Return the state of the generator, named "generator.…", and of the shared weights, named "network.…"."""
        tensors = {GENERATOR + name: tensor for name, tensor in self.generator.state_dict().items()}
        return tensors | {NETWORK + name: tensor for name, tensor in self.shared.state_dict().items()}

    def state(self, seconds: float) -> dict[str, Tensor]:
        """Return all that decides the next steps, with the seconds and the learning curve so far."""
        tensors = self.learned() | {"steps": torch.tensor(self.steps), "seconds": torch.tensor(seconds).double()}
        tensors["curve"] = torch.tensor([list(point.values()) for point in self.curve], dtype=torch.float64)
        for name, optimizer in self._optimizers.items():
            tensors |= moments(optimizer, name)
        return tensors

    def restore(self, saved: Mapping[str, Tensor]) -> float:
        """Restore a `state`, and return the seconds that it took."""
        for prefix, module in ((GENERATOR, self.generator), (NETWORK, self.shared)):
            module.load_state_dict(part(saved, prefix))
        for name, optimizer in self._optimizers.items():
            restore_moments(optimizer, name, saved)
        self.steps = int(saved["steps"])
        self.curve = [dict(zip(POINT, values, strict=True)) for values in saved["curve"].tolist()]
        return float(saved["seconds"])

    @property
    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"weights-optimizer": self._weights, "generator-optimizer": self._generator}

    def step(self) -> None:
        """Train on one episode; every 50th adds a point to the learning curve."""
        purpose = f"stamp/episode/{self.steps}"
        stream = self.context.generator(purpose)
        episode = self.episodes.draw((self.options.inner_steps + 2) * BATCH, stream)
        batches = list(self.context.loader(episode.task, BATCH, purpose).epoch())
        self._anneal()
        for optimizer in self._optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        if self.options.masks == "random":
            loss = self._under_random_masks(batches, episode, stream)
        else:
            loss = self._under_generated_masks(batches, episode, stream)
            self._generator.step()
        if self.options.shared == "updated":
            self._weights.step()
        if self.steps % LOG_EVERY == 0:
            values = (self.steps, loss.item(), episode.keep, len(episode.classes), *self.held_out_accuracy(self.steps))
            self.curve.append(dict(zip(POINT, map(float, values), strict=True)))
        self.steps += 1

    def _anneal(self) -> None:
        """Lower rates and noise to zero by a cosine, so that the weights settle under masks as adaptation has them."""
        factor = falling(self.steps, self.options.meta_steps)
        self._noise = NOISE * factor
        for optimizer, rate in ((self._weights, WEIGHT_RATE), (self._generator, GENERATOR_RATE)):
            optimizer.param_groups[0]["lr"] = rate * factor

    def _under_random_masks(self, batches: Sequence[Batch], episode: Episode, stream: torch.Generator) -> Tensor:
        mask = self.shape.random_mask(episode.keep, stream, self.context.device)
        with self._adapted(batches[:-1], episode, mask):
            loss = self._loss(batches[-1], episode, mask)
            loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def _under_generated_masks(self, batches: Sequence[Batch], episode: Episode, stream: torch.Generator) -> Tensor:
        shape, episode = self._priced(episode, stream)
        logits = self.generator(self._view(batches[0]), episode.keep, shape.price_shares)
        noisy = logistic_noise(logits.sum(), self._noise, stream)
        gates = shape.gates(noisy, episode.keep)
        with self._adapted(batches[:-1], episode, {name: gate.detach() > 0 for name, gate in gates.items()}):
            signs = torch.randint(2, (len(noisy),), generator=stream) * 2.0 - 1
            widths = self._width_gradient(noisy, signs, batches[-1], episode, shape)
            logits.offsets.backward(widths, retain_graph=True)
            loss = self._loss(batches[-1], episode, gates)
            loss.backward()  # type: ignore[no-untyped-call]
        return loss

    def _priced(self, episode: Episode, stream: torch.Generator) -> tuple[Shape, Episode]:
        """Return the shape under the resource of an episode, MACs or, if resources are drawn, one of three kinds.

        The least share of a device's time is large, so the episode's budget then becomes one above it.
        """
        if self.options.prices == "macs":
            return self.shape, episode
        kind = int(torch.randint(4, (), generator=stream))
        if kind == 0:
            return self.shape, episode
        timed = kind == 2 and self.options.prices == "with-time"
        drawn: Pricing = self._cost.params_form if kind == 1 else made_up_pricing(self._cost, stream)
        pricing = self.context.resource.pricing(self._cost) if timed else drawn
        shape = Shape.priced(self.shape.groups, pricing, self.context.device, self.context.floor)
        return shape, replace(episode, keep=shape.least + (1 - shape.least) * episode.keep) if timed else episode

    def _width_gradient(
        self, logits: Mapping[str, Tensor], signs: Tensor, query: Batch, episode: Episode, shape: Shape
    ) -> Tensor:
        def loss_of(shifted: Mapping[str, Tensor]) -> Tensor:
            return self._loss(query, episode, shape.mask(shifted, episode.keep))

        return width_gradient(self.shared, logits, signs, loss_of)

    def _view(self, batch: Batch) -> SetView:
        images, labels = batch
        return view_set(self.reference, self.shape.groups, images[:SET], labels[:SET], self.context.precision)

    def _loss(self, batch: Batch, episode: Episode, gates: Mask) -> Tensor:
        images, labels = batch
        found = gated_logits(self.shared, self.shape.groups, gates, images, self.context.precision)
        return episode.loss(found, labels)

    @contextmanager
    def _adapted(self, support: Sequence[Batch], episode: Episode, mask: Mask) -> Iterator[None]:
        """Train the shared weights for K steps on support, and put back their values at the end.

        Gradients that are computed inside are those of the outer step, to first order.
        """
        if not self.options.inner_steps:
            yield
            return
        parameters = list(self.shared.parameters())
        before = [parameter.detach().clone() for parameter in parameters]
        for index in range(self.options.inner_steps):
            loss = self._loss(support[index % len(support)], episode, mask)
            for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
                parameter.data.sub_(INNER_RATE * gradient)
        yield
        for parameter, value in zip(parameters, before, strict=True):
            parameter.data.copy_(value)

    def held_out_accuracy(self, draw: int) -> tuple[float, float]:
        """Return nearest-class-mean accuracies on held-out classes, under the generated mask and under a random one."""
        purpose = f"stamp/held-out/{draw}"
        stream = self.context.generator(purpose)
        episode = self.held_out.draw(2 * BATCH, stream)
        batches = list(self.context.loader(episode.task, BATCH, purpose).epoch())
        view = self._view(batches[0])
        with torch.no_grad(), buffers_kept(self.shared):
            logits = self.generator(view, episode.keep, self.shape.price_shares)
            generated = self.shape.mask(logits.sum(), episode.keep)
            by_chance = self.shape.random_mask(episode.keep, stream, self.context.device)
            first, second = (self._class_mean_accuracy(mask, batches) for mask in (generated, by_chance))
        return first, second

    def _class_mean_accuracy(self, mask: Mask, batches: Sequence[Batch]) -> float:
        """Return the share of the last batch's images that are nearest to their own class mean in the first batch."""
        images, labels = (torch.cat(parts) for parts in zip(batches[0], batches[-1], strict=True))
        with head_inputs(self.shared) as seen:
            gated_logits(self.shared, self.shape.groups, mask, images, self.context.precision)
        features, support = seen[0].float(), labels[: len(batches[0][1])]
        means = torch.stack([features[: len(support)][support == label].mean(0) for label in support.unique()])
        nearest = support.unique()[torch.cdist(features[len(support) :], means).argmin(1)]
        return float((nearest == labels[len(support) :]).float().mean())


@torch.no_grad()
def width_gradient(
    network: nn.Module,
    logits: Mapping[str, Tensor],
    signs: Tensor,
    loss_of: Callable[[Mapping[str, Tensor]], Tensor],
) -> Tensor:
    """Return ∂L/∂o, o the offsets (groups,), by simultaneous perturbation (Spall 1992).

    It is (L(o + cΔ) − L(o − cΔ)) / 2c · Δ with Δ = ±1, the `signs`. `loss_of` is the network's loss under the mask of
    shifted logits. Both masks meet the budget, so the difference measures the worth of widths at equal cost.
    """
    losses = []
    with buffers_kept(network):
        for side in (PERTURBATION, -PERTURBATION):
            shifts = zip(logits.items(), (side * signs).tolist(), strict=True)
            losses.append(loss_of({name: logit + shift for (name, logit), shift in shifts}))
    return (losses[0] - losses[1]) / (2 * PERTURBATION) * signs.to(losses[0])


def falling(done: int, total: int) -> float:
    """Return the factor of a cosine that falls from 1 before the first step to 0 after the last."""
    return 0.5 * (1 + math.cos(done / total * math.pi))


def gated_logits(network: nn.Module, groups: Sequence[Group], gates: Mask, images: Tensor, precision: str) -> Tensor:
    """Return float32 logits of the network under gates, computed at the cost of the kept channels alone."""
    with autocast(images.device, precision):
        return cropped_forward(network, groups, gates, images).float()


@torch.no_grad()
def features_of(network: nn.Module, task: Task, most: int = 8192) -> tuple[Tensor, Tensor]:
    """Return penultimate features (n, d) of the first training images, at most `most`, and their labels, on the CPU."""
    with head_inputs(network) as found:
        for images in task.train.images[:most].split(256):
            network(normalise(resize(images, task.input_size), task.mean, task.std))
    return torch.cat(found).cpu(), task.train.labels[:most].cpu()


@contextmanager
def head_inputs(network: nn.Module) -> Iterator[list[Tensor]]:
    """Yield a list that collects the penultimate features of every forward pass inside."""
    seen: list[Tensor] = []
    hook = network.get_submodule("head").register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0]))
    try:
        yield seen
    finally:
        hook.remove()


@torch.no_grad()
def recalibrate(network: nn.Module, task: Task, context: Context, batches: int = 32) -> None:
    """Recompute batch norm's statistics for the dense network, as those gathered under many masks fit no network."""
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
    """Restore batch norm's statistics at the end."""
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}
    try:
        yield
    finally:
        for name, buffer in network.named_buffers():
            buffer.copy_(before[name])
