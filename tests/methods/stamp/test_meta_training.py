"""Meta-training and adaptation on toy data: what moves, what must not, and that bits repeat."""

import pytest
import torch

from stampbench.contract import Artefact, Budget
from stampbench.methods.stamp import META_TRAINED, MetaOptions, Stamp, meta_training
from stampbench.methods.stamp.adaptation import permutations
from stampbench.methods.stamp.meta_training import GENERATOR, NETWORK, MetaTraining, Shape, gated_logits, recalibrate
from stampbench.methods.stamp.sets import draw_sets
from stampbench.pruning.compact import widths_of
from stampbench.pruning.resources.macs import Macs
from stampbench.running.checkpoint import Checkpoint
from tests.conformance.conftest import ToyContext, toy_task
from tests.fixtures import factories
from tests.fixtures.strategies import lively

TASK = toy_task(classes=10, count=400)


def trained(steps: int = 2, context: ToyContext | None = None, **options) -> Artefact:
    job = factories.job("stamp", width=0.125, options={})
    method = Stamp(Stamp.Options(meta_steps=steps, **options))
    (spec,) = method.artefacts(job)
    return method.prepare(
        spec, TASK, {"pretrained": Artefact(lively("vgg19").state_dict(), 0.0)}, context or ToyContext()
    )


def training(**options) -> MetaTraining:
    return MetaTraining(lively("vgg19"), TASK, MetaOptions(meta_steps=4, **options), ToyContext())


def moved(run: MetaTraining, part: str) -> bool:
    module = getattr(run, part)
    before = {name: parameter.detach().clone() for name, parameter in module.named_parameters()}
    run.step()
    return any(not torch.equal(before[name], parameter) for name, parameter in module.named_parameters())


@pytest.mark.parametrize("inner_steps", [0, 2])
def test_a_step_moves_weights_and_generator_but_not_the_reference_network(inner_steps):
    assert moved(training(inner_steps=inner_steps), "shared")
    assert moved(training(inner_steps=inner_steps), "generator")
    assert not moved(training(inner_steps=inner_steps), "reference")


def test_frozen_weights_stay_and_random_masks_leave_the_generator_alone():
    assert not moved(training(shared="frozen"), "shared")
    assert moved(training(shared="frozen"), "generator")
    assert moved(training(masks="random"), "shared")
    assert not moved(training(masks="random"), "generator")


def test_kept_channels_gates_cannot_tell_their_groups_width():
    """Why widths need a gradient of their own: behind a batch norm, a group's gate gradients add up to nothing."""
    run = training()
    network = run.shared.double()
    gates = {group.name: torch.ones(group.width, dtype=torch.float64) for group in run.shape.groups}
    for gate in gates.values():
        gate[::2] = 0
        gate.requires_grad_()
    images = torch.randn(32, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.eps = 1e-12
    loss = gated_logits(network, run.shape.groups, gates, images, "fp32").square().mean()
    gradients = torch.autograd.grad(loss, list(gates.values()))
    for group, gradient in list(zip(run.shape.groups, gradients, strict=True))[:-1]:
        assert gradient[1::2].sum().abs() < 1e-5 * gradient[1::2].abs().sum(), group.name


def test_perturbed_widths_point_down_a_known_slope(monkeypatch):
    """On a loss that is linear in the offsets, the mean over all signs is its gradient."""
    run = training()
    logits = {group.name: torch.zeros(group.width) for group in run.shape.groups}
    slope = torch.linspace(-1, 1, len(logits))
    monkeypatch.setattr(Shape, "mask", lambda _shape, moved, _keep: moved)
    monkeypatch.setattr(MetaTraining, "_loss", lambda _run, _batch, _episode, moved: shift(moved) @ slope)

    def shift(moved):
        return torch.stack([logit[0] for logit in moved.values()])

    episode = run.episodes.draw(8, torch.Generator().manual_seed(0))
    draws = torch.randint(2, (4000, len(slope)), generator=torch.Generator().manual_seed(1)) * 2.0 - 1
    found = torch.stack([run._width_gradient(logits, signs, None, episode, run.shape) for signs in draws]).mean(0)
    assert torch.allclose(found, slope, atol=5 * slope.norm().item() / 4000**0.5)


def test_inner_steps_are_undone_before_the_outer_one():
    """With the weights frozen nothing of the inner loop is left."""
    assert not moved(training(shared="frozen", inner_steps=2), "shared")


def test_the_same_spec_gives_the_same_bits():
    first, second = trained(), trained()
    assert first.tensors.keys() == second.tensors.keys()
    assert all(torch.equal(tensor, second.tensors[name]) for name, tensor in first.tensors.items())


def test_a_killed_run_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    monkeypatch.setattr(meta_training, "CHECKPOINT_EVERY", 2)
    undisturbed = trained(4, ToyContext(checkpoint=Checkpoint(tmp_path / "other")))
    context = ToyContext(checkpoint=Checkpoint(tmp_path / "checkpoint"))

    class KilledError(Exception):
        pass

    def killed(run):
        if run.steps == 3:
            raise KilledError
        step(run)

    step = MetaTraining.step
    monkeypatch.setattr(MetaTraining, "step", killed)
    with pytest.raises(KilledError):
        trained(4, context)
    assert int(context.checkpoint.load()["steps"]) == 2
    monkeypatch.setattr(MetaTraining, "step", step)
    resumed = trained(4, context)
    assert all(torch.equal(tensor, resumed.tensors[name]) for name, tensor in undisturbed.tensors.items())
    assert resumed.notes == undisturbed.notes


def test_the_learning_curve_compares_with_random_masks():
    (point,) = trained().notes["curve"]
    assert point["step"] == 0
    assert all(0 <= point[name] <= 1 for name in ("held_out_accuracy", "held_out_random_accuracy", "keep"))


def test_recalibrated_norms_are_those_of_the_dense_network():
    """Eval mode then gives what train mode gives, on average over the batches: exactly so for a single batch."""
    network, context = lively("vgg19"), ToyContext()
    recalibrate(network, TASK, context, batches=1)
    images, _ = next(context.loader(TASK, 128, "stamp/recalibration").epoch())
    norm = network.get_submodule("features.norm1")
    inputs = network.get_submodule("features.conv1")(images)
    assert torch.allclose(norm.running_mean, inputs.mean((0, 2, 3)), atol=1e-5)
    assert norm.momentum == 0.1


def planned(made: Artefact, **options):
    method = Stamp(Stamp.Options(adaptation_steps=options.pop("adaptation_steps", 2), sets=2, **options))
    return method.plan(lively("vgg19"), TASK, Budget(keep=0.3), {META_TRAINED: made}, ToyContext())


def test_without_adaptation_the_weights_are_the_meta_trained_ones_under_the_starts_head():
    made = trained()
    plan = planned(made, adaptation_steps=0)
    for name, tensor in plan.weights.items():
        expected = lively("vgg19").state_dict()[name] if name.startswith("head.") else made.tensors[NETWORK + name]
        assert torch.equal(tensor, expected)


def test_reference_weights_are_the_starts_own():
    plan = planned(trained(), adaptation_steps=0, weights="reference")
    assert all(torch.equal(tensor, lively("vgg19").state_dict()[name]) for name, tensor in plan.weights.items())


def test_shuffling_keeps_the_widths_and_changes_the_channels():
    made = trained()
    plain, shuffled = (planned(made, adaptation_steps=0, shuffled=s).keep for s in (False, True))
    assert widths_of(plain) == widths_of(shuffled)
    assert any(not torch.equal(plain[name], shuffled[name]) for name in plain)


def test_a_frozen_mask_is_the_unadapted_one_on_adapted_weights():
    made = trained()
    frozen, unadapted, adapted = (
        planned(made, adaptation_steps=steps, frozen_mask=fixed) for steps, fixed in ((3, True), (0, False), (3, False))
    )
    assert all(torch.equal(frozen.keep[name], mask) for name, mask in unadapted.keep.items())
    assert not torch.equal(frozen.weights["head.weight"], unadapted.weights["head.weight"])
    assert len(adapted.notes["adaptation_loss"]) == 3


def test_sets_are_disjoint_and_come_down_to_what_there_is():
    context = ToyContext()
    sets = draw_sets(TASK, 3, context)
    assert [len(labels) for _, labels in sets] == [64] * 3
    (only,) = draw_sets(toy_task(count=5), 3, context)
    assert len(only[1]) == 5


def test_permutations_hold_every_channel_once():
    shape = Shape.of(lively("vgg19"), 16, 0.05, Macs())
    orders = permutations(shape, ToyContext())
    assert all(torch.equal(o.sort().values, torch.arange(len(o))) for o in orders.values())


def test_tensors_are_named_by_what_they_belong_to():
    assert {name.split(".")[0] + "." for name in trained(1).tensors} == {GENERATOR, NETWORK}
