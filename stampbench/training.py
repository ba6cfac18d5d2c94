"""The one training loop, which trains every method's network and every pretrained one."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stampbench.data.loader import EpochLoader
from stampbench.job import ArtefactSpec, Protocol
from stampbench.measure.phases import PhaseClock
from stampbench.moments import moments, part, restore_moments
from stampbench.pruning.masks import apply_weight_masks

if TYPE_CHECKING:
    from stampbench.contract import Checkpoint

NETWORK, OPTIMIZER = "network.", "optimizer"


class DivergedError(ArithmeticError):
    """The training loss stopped being a finite number."""


@dataclass(frozen=True)
class Recipe:
    """SGD with Nesterov momentum, linear warm-up, then a cosine to zero (Loshchilov and Hutter, arXiv 1608.03983)."""

    epochs: int
    batch_size: int
    learning_rate: float
    momentum: float
    weight_decay: float
    label_smoothing: float
    warmup_epochs: float
    precision: str

    @classmethod
    def of(cls, protocol: Protocol, learning_rate: float, epochs: int) -> Recipe:
        """Return the protocol's recipe with this peak learning rate and number of epochs."""
        return cls(
            epochs=epochs,
            batch_size=protocol.batch_size,
            learning_rate=learning_rate,
            momentum=protocol.momentum,
            weight_decay=protocol.weight_decay,
            label_smoothing=protocol.label_smoothing,
            warmup_epochs=protocol.warmup_epochs,
            precision=protocol.precision,
        )

    @classmethod
    def of_spec(cls, spec: ArtefactSpec) -> Recipe:
        """Return the recipe that an artefact is trained by."""
        return cls(**{name: spec.settings[name] for name in cls.__dataclass_fields__})

    def rate(self, step: int, steps_per_epoch: int) -> float:
        """Return the factor on the peak rate at a step, counted from 0."""
        warmup, total = self.warmup_epochs * steps_per_epoch, self.epochs * steps_per_epoch
        if step < warmup:
            return (step + 1) / (warmup + 1)
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, total - warmup)))


@dataclass(frozen=True)
class History:
    """The mean training loss, the top-1 on validation in [0, 1] and the seconds of training, each per epoch."""

    loss: list[float]
    accuracy: list[float]
    seconds: list[float]


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """Return the context that computes in bf16 if `precision` says so; bf16 needs no scaling of the loss."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


class Trainer:
    """A trainer of one network, in place, one epoch at a time.

    `masks` {parameter: bool} says which weights may differ from zero; it holds after every step.
    """

    def __init__(
        self, network: nn.Module, loader: EpochLoader, recipe: Recipe, masks: Mapping[str, Tensor] | None = None
    ) -> None:
        """Make the optimiser and the schedule of the learning rate."""
        self.network, self.loader, self.recipe = network, loader, recipe
        self._masks = masks or {}
        self._device = next(network.parameters()).device
        self._optimizer = torch.optim.SGD(
            network.parameters(),
            lr=recipe.learning_rate,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            nesterov=recipe.momentum > 0,
            fused=True,
        )
        steps = len(loader)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(self._optimizer, lambda step: recipe.rate(step, steps))

    def epoch(self) -> float:
        """Train for one pass over the loader and return the mean loss.

        Raises `DivergedError` after the pass if that mean is not finite.
        """
        self.network.train()
        total = torch.zeros((), device=self._device)
        for images, labels in self.loader.epoch():
            total += self.step(images, labels)
        mean = total.item() / len(self.loader)
        if not math.isfinite(mean):
            raise DivergedError(f"the training loss became {mean}; a lower learning rate may help")
        return mean

    def state(self) -> dict[str, Tensor]:
        """Return the network's tensors and the optimiser's momenta, named "network.…" and "optimizer.…"."""
        network = {NETWORK + name: tensor for name, tensor in self.network.state_dict().items()}
        return network | moments(self._optimizer, OPTIMIZER)

    def restore(self, saved: Mapping[str, Tensor], epochs: int) -> None:
        """Restore a `state` that was reached after some epochs, into a trainer that has not trained yet."""
        self.network.load_state_dict(part(saved, NETWORK))
        restore_moments(self._optimizer, OPTIMIZER, saved)
        self.loader.skip(epochs)
        done = epochs * len(self.loader)
        self._schedule.load_state_dict(self._schedule.state_dict() | {"last_epoch": done, "_step_count": done + 1})
        for group in self._optimizer.param_groups:
            group["lr"] = self.recipe.learning_rate * self.recipe.rate(done, len(self.loader))

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Take one optimiser step and return the loss, a scalar still on the device."""
        with autocast(self._device, self.recipe.precision):
            logits = self.network(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.recipe.label_smoothing)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self._optimizer.step()
        self._schedule.step()
        if self._masks:
            apply_weight_masks(self.network, self._masks, self._optimizer)
        return loss.detach()


def warm_up(trainer: Trainer) -> None:
    """Train a copy for two steps on blank images and evaluate it, so that no kernel is loaded on the clock."""
    size, batch = trainer.loader.image_size, trainer.loader.batch_size
    device = next(trainer.network.parameters()).device
    images = torch.zeros(batch, 3, size, size, device=device).to(memory_format=torch.channels_last)
    labels = torch.zeros(batch, dtype=torch.int64, device=device)
    copied = Trainer(copy.deepcopy(trainer.network), trainer.loader, trainer.recipe)
    copied.network.train()
    for _ in range(2):
        copied.step(images, labels)
    evaluate(copied.network, [(images, labels)], trainer.recipe.precision)


def fit(
    trainer: Trainer,
    validation: Callable[[], Iterable[tuple[Tensor, Tensor]]],
    clock: PhaseClock,
    report: Callable[[int, float, float], None],
    checkpoint: Checkpoint | None = None,
) -> History:
    """Train for all epochs of the recipe, charged to "train", and validate after each, charged to "evaluate".

    The warm-up before the first epoch is charged to "warm-up". `report` is called after each validation with the
    epoch (from 1), its mean loss and its accuracy. With a `checkpoint`, a run that was killed goes on, to the same
    bits, after the last epoch that it finished; its history holds the epochs of all runs, its clock those of the last.
    """
    history = (_resumed(trainer, checkpoint) if checkpoint else None) or History([], [], [])
    with clock.phase("warm-up"):
        warm_up(trainer)
    for epoch in range(len(history.loss) + 1, trainer.recipe.epochs + 1):
        before = clock.seconds.get("train", 0.0)
        with clock.phase("train"):
            loss = trainer.epoch()
        with clock.phase("evaluate"):
            accuracy, _ = evaluate(trainer.network, validation(), trainer.recipe.precision)
        history.loss.append(loss)
        history.accuracy.append(accuracy)
        history.seconds.append(clock.seconds["train"] - before)
        report(epoch, loss, accuracy)
        if checkpoint:
            kept = {name: torch.tensor(values, dtype=torch.float64) for name, values in asdict(history).items()}
            checkpoint.save(trainer.state() | kept)
    return history


def _resumed(trainer: Trainer, checkpoint: Checkpoint) -> History | None:
    """Restore the trainer from the checkpoint and return the history so far, or None if nothing was saved."""
    if not (saved := checkpoint.load()):
        return None
    history = History(**{name: saved[name].tolist() for name in History.__dataclass_fields__})
    trainer.restore(saved, len(history.loss))
    return history


@torch.no_grad()
def evaluate(network: nn.Module, batches: Iterable[tuple[Tensor, Tensor]], precision: str) -> tuple[float, float]:
    """Return top-1 and top-5 accuracy in [0, 1], in eval mode. An image with a logit that is not finite is wrong."""
    network.eval()
    device = next(network.parameters()).device
    hits, count = torch.zeros(2, dtype=torch.int64, device=device), 0
    for images, labels in batches:
        with autocast(device, precision):
            logits = network(images).float()
        best = logits.topk(min(5, logits.shape[1]), dim=1).indices
        right = (best == labels[:, None]) & torch.isfinite(logits).all(dim=1, keepdim=True)
        hits += torch.stack([right[:, :1].sum(), right.sum()])
        count += len(labels)
    top1, top5 = (hits.double() / count).tolist()
    return top1, top5
