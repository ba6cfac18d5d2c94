"""The training loop against torch's own pieces, and its guards."""

import copy
import math
from contextlib import suppress

import pytest
import torch
from torch import nn

from stampbench.contract import Split
from stampbench.data.catalogue import resolve
from stampbench.data.loader import EpochLoader
from stampbench.measure.phases import PhaseClock
from stampbench.networks.initial import build, initialise
from stampbench.running.checkpoint import Checkpoint
from stampbench.training import DivergedError, Recipe, Trainer, evaluate, fit

DIGITS = resolve("digits")
CPU = torch.device("cpu")


def recipe(**changes) -> Recipe:
    fields = {
        "epochs": 3,
        "batch_size": 16,
        "learning_rate": 0.05,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "label_smoothing": 0.0,
        "warmup_epochs": 1.0,
        "precision": "fp32",
    }
    return Recipe(**(fields | changes))


def loader(count: int = 64, batch_size: int = 16, seed: int = 0) -> EpochLoader:
    stream = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 4
    # A class is a level of brightness, so that there is something to learn.
    noise = torch.randint(64, (count, 3, 16, 16), generator=stream)
    split = Split((noise + 48 * labels[:, None, None, None]).to(torch.uint8), labels)
    generators = [torch.Generator().manual_seed(seed + k) for k in (1, 2)]
    return EpochLoader(split, DIGITS, (0.5,) * 3, (0.25,) * 3, batch_size, *generators)


def network(seed: int = 0) -> nn.Module:
    made = build("resnet18", 4, 0.125)
    initialise(made, torch.Generator().manual_seed(seed), torch.Generator().manual_seed(seed))
    return made


def test_steps_are_those_of_sgd_with_nesterov_by_hand():
    """Three steps on a linear model: v ← μv + g + λw, w ← w - η(g + λw + μv), as torch has Sutskever et al. (2013)."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 4)).double()
    weights = [p.detach().clone() for p in model.parameters()]
    velocity = [torch.zeros_like(w) for w in weights]
    settings = recipe(epochs=5)
    trainer = Trainer(model, loader(), settings)
    steps = len(trainer.loader)
    for index, (images, labels) in enumerate(list(loader().epoch())[:3]):
        rate = settings.learning_rate * settings.rate(index, steps)
        leaves = [w.clone().requires_grad_() for w in weights]
        logits = images.double().flatten(1) @ leaves[0].T + leaves[1]
        loss = -torch.log_softmax(logits, 1)[torch.arange(len(labels)), labels].mean()
        for k, gradient in enumerate(torch.autograd.grad(loss, leaves)):
            decayed = gradient + settings.weight_decay * weights[k]
            velocity[k] = decayed if index == 0 else settings.momentum * velocity[k] + decayed
            weights[k] = weights[k] - rate * (decayed + settings.momentum * velocity[k])
        model.train()
        trainer.step(images.double(), labels)
    for ours, parameter in zip(weights, model.parameters(), strict=True):
        torch.testing.assert_close(parameter.detach(), ours, rtol=1e-5, atol=1e-6)


def test_the_rate_warms_up_linearly_then_falls_along_a_cosine():
    settings = recipe(epochs=4, warmup_epochs=1.0)
    rates = [settings.rate(step, 10) for step in range(40)]
    assert rates[:10] == pytest.approx([(k + 1) / 11 for k in range(10)])
    assert rates[10] == 1.0
    assert rates[25] == pytest.approx(0.5)
    assert rates[39] == pytest.approx(0.5 * (1 + math.cos(math.pi * 29 / 30)))
    assert all(0 <= rate <= 1 for rate in rates)


def test_the_same_streams_give_the_same_bits():
    results = []
    for _ in range(2):
        trained = network()
        trainer = Trainer(trained, loader(), recipe())
        losses = [trainer.epoch() for _ in range(2)]
        results.append((losses, trained.state_dict()))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(results[0][1][k], v) for k, v in results[1][1].items())


def test_training_learns_what_can_be_learned():
    trained = network()
    trainer = Trainer(trained, loader(), recipe(epochs=12, warmup_epochs=2))
    losses = [trainer.epoch() for _ in range(12)]
    assert losses[-1] < 0.7 * losses[0]


def test_warming_up_leaves_weights_and_draws_as_they_were():
    trained = network()
    twin = copy.deepcopy(trained)
    clock = PhaseClock(CPU)
    one, two = loader(), loader()
    history = fit(Trainer(trained, one, recipe(epochs=1)), lambda: two.epoch(), clock, lambda *_: None)
    bare = Trainer(twin, loader(), recipe(epochs=1))
    assert history.loss == [bare.epoch()]
    assert all(torch.equal(twin.state_dict()[k], v) for k, v in trained.state_dict().items())
    assert {"warm-up", "train", "evaluate"} <= clock.seconds.keys()


def test_masked_weights_stay_zero_through_momentum():
    trained = network()
    masks = {
        name: torch.rand(p.shape, generator=torch.Generator().manual_seed(1)) < 0.5
        for name, p in trained.named_parameters()
        if p.dim() > 1
    }
    from stampbench.pruning.masks import apply_weight_masks

    apply_weight_masks(trained, masks)
    trainer = Trainer(trained, loader(), recipe(), masks)
    trainer.epoch()
    for name, mask in masks.items():
        parameter = trained.get_parameter(name)
        assert (parameter[~mask] == 0).all()
        assert (parameter[mask] != 0).any()


def test_a_diverged_loss_is_an_error():
    trained = network()
    with torch.no_grad():
        trained.head.weight.fill_(float("nan"))
    with pytest.raises(DivergedError, match="learning rate"):
        Trainer(trained, loader(), recipe()).epoch()


def test_accuracy_counts_by_hand():
    class Fixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.ones(()))

        def forward(self, logits):
            return logits * self.scale

    logits = torch.tensor([[9.0, 5, 4, 3, 2, 1], [1, 9, 2, 3, 4, 5], [9, 8, 7, 6, 5, 0], [float("nan")] * 6])
    labels = torch.tensor([0, 0, 4, 0])
    top1, top5 = evaluate(Fixed(), [(logits[:3], labels[:3]), (logits[3:], labels[3:])], "fp32")
    # Row 1 misses by one place: class 0 is ranked sixth; row 3 is not finite and counts as wrong.
    assert top1 == pytest.approx(1 / 4)
    assert top5 == pytest.approx(2 / 4)


@pytest.mark.parametrize("stopped_after", [1, 2, 3])
def test_a_killed_training_goes_on_to_the_same_bits(tmp_path, stopped_after):
    """Three epochs with a warm-up that ends inside one: a rate, momentum or draw that is not restored would show."""

    class KilledError(Exception):
        pass

    def killed(epoch, loss, accuracy):
        if epoch == stopped_after + 1:
            raise KilledError

    def run(trained, name, report):
        trainer = Trainer(trained, loader(), recipe(epochs=3, warmup_epochs=1.5))
        kept = Checkpoint(tmp_path / name)
        return fit(trainer, lambda: loader().epoch(), PhaseClock(CPU), report, kept), trainer.loader.digests()

    undisturbed, resumed, reported = network(), network(), []
    whole, drawn = run(undisturbed, "other", lambda *_: None)
    with suppress(KilledError):
        run(network(), "checkpoint", killed)
    history, drawn_again = run(resumed, "checkpoint", lambda epoch, *_: reported.append(epoch))
    assert reported == list(range(stopped_after + 1, 4))
    assert (history.loss, history.accuracy, drawn_again) == (whole.loss, whole.accuracy, drawn)
    assert len(history.seconds) == 3
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in undisturbed.state_dict().items())
