"""Other sets, other weights, other methods' masks."""

import pytest
import torch

from stampbench import registry
from stampbench.contract import Artefact, Budget
from stampbench.methods.stamp import META_TRAINED, OTHER_SET, RANDOM_MASKS, Stamp
from stampbench.methods.stamp.meta_training import GENERATOR, NETWORK
from stampbench.methods.stamp.sets import draw_sets, noise_sets, packed_sets, unpacked_sets
from stampbench.methods.transplant import Transplant
from stampbench.pruning.planner import channel_plan
from tests.conformance.conftest import ToyContext, method_of, toy_task
from tests.fixtures import factories
from tests.fixtures.strategies import lively

TASK = toy_task(classes=10, count=400)
PRETRAINED = {"pretrained": Artefact(lively("vgg19").state_dict(), 0.0)}
BUDGET = Budget(keep=0.3)
QUICK = {"meta_steps": 1, "adaptation_steps": 2}


def specs(method, **changes):
    return method.artefacts(factories.job(method.name, width=0.125, **changes))


def made_for(method) -> dict[str, Artefact]:
    return {spec.kind: method.prepare(spec, TASK, PRETRAINED, ToyContext()) for spec in specs(method)}


def test_control_weights_share_everything_but_the_masks():
    method = Stamp(Stamp.Options(weights="random-masks", **QUICK))
    own, control = specs(method)
    assert (own.kind, control.kind) == (META_TRAINED, RANDOM_MASKS)
    assert control.recipe == own.recipe | {"masks": "random"} != own.recipe


@pytest.mark.parametrize("options", [{}, {"static": True}, {"shared": "frozen"}])
def test_all_variants_share_one_control(options):
    _, control = specs(Stamp(Stamp.Options(weights="random-masks", **options)))
    (other,) = specs(Transplant(Transplant.Options(mask="magnitude")))
    assert control == other


def test_controls_of_the_target_side_share_the_generator():
    plain = specs(Stamp(Stamp.Options()))
    for options in ({"shuffled": True}, {"scratch": True}, {"frozen_mask": True}, {"adaptation_steps": 0}):
        assert specs(Stamp(Stamp.Options(**options))) == plain


def test_another_datasets_set_is_an_artefact_of_its_own():
    method = Stamp(Stamp.Options(look_at="digits", sets=2, **QUICK))
    _, other = specs(method)
    assert (other.kind, other.dataset, other.scope) == (OTHER_SET, "digits", "target")
    assert (other.recipe["images"], other.recipe["validation_images"]) == (None, 0)
    sets = unpacked_sets(method.prepare(other, TASK, PRETRAINED, ToyContext()), TASK, ToyContext())
    expected = draw_sets(TASK, 2, ToyContext())
    for (images, labels), (same_images, same_labels) in zip(sets, expected, strict=True):
        assert torch.equal(images, same_images)
        assert torch.equal(labels, same_labels)
    (larger, _) = unpacked_sets(packed_sets(sets), toy_task(size=32), ToyContext())[0]
    assert larger.shape[-1] == 32


def stirred(made: Artefact) -> Artefact:
    """A generator that reads all of its inputs, as one long trained does."""
    noise = torch.Generator().manual_seed(0)
    tensors = {
        name: t + 0.3 * torch.randn(t.shape, generator=noise) if name.startswith(GENERATOR) else t
        for name, t in made.tensors.items()
    }
    return Artefact(tensors, made.seconds)


def test_a_wrong_set_gives_another_mask_and_noise_another_still():
    kinds = {}
    for look_at in ("target", "noise", "digits"):
        method = Stamp(Stamp.Options(look_at=look_at, meta_steps=1, adaptation_steps=0, sets=2))
        artefacts = made_for(method)
        artefacts[META_TRAINED] = stirred(artefacts[META_TRAINED])
        if look_at == "digits":
            inverted = [(-images, labels) for images, labels in draw_sets(TASK, 2, ToyContext())]
            artefacts[OTHER_SET] = packed_sets(inverted)
        kinds[look_at] = method.plan(lively("vgg19"), TASK, BUDGET, artefacts, ToyContext()).keep
    for one, other in (("target", "noise"), ("target", "digits"), ("noise", "digits")):
        assert any(not torch.equal(kinds[one][name], kinds[other][name]) for name in kinds[one])


def test_noise_keeps_the_labels():
    for (noise, labels), (images, same) in zip(
        noise_sets(TASK, 2, ToyContext()), draw_sets(TASK, 2, ToyContext()), strict=True
    ):
        assert torch.equal(labels, same)
        assert noise.shape == images.shape


@pytest.mark.parametrize("weights", ["stamp", "random-masks"])
def test_a_transplanted_mask_is_the_methods_on_those_weights(weights):
    method = Transplant(Transplant.Options(mask="magnitude", weights=weights, meta_steps=1, adaptation_steps=0))
    artefacts = made_for(method)
    plan = method.plan(lively("vgg19"), TASK, BUDGET, artefacts, ToyContext())
    (made,) = artefacts.values()
    network = lively("vgg19")
    body = {n.removeprefix(NETWORK): t for n, t in made.tensors.items() if n.startswith(NETWORK)}
    head = {n: t for n, t in network.state_dict().items() if n.startswith("head.")}
    network.load_state_dict(body | head)
    expected = channel_plan(method_of("magnitude"), network, TASK, BUDGET, ToyContext())
    assert all(torch.equal(plan.keep[name], mask) for name, mask in expected.keep.items())
    assert all(torch.equal(plan.weights[name], tensor) for name, tensor in network.state_dict().items())


def test_transplanted_weights_go_as_many_steps_as_stamps():
    method = Transplant(Transplant.Options(mask="snip", **QUICK))
    plan = method.plan(lively("vgg19"), TASK, BUDGET, made_for(method), ToyContext())
    assert len(plan.notes["adaptation_loss"]) == 2


def test_options_of_the_transplanted_method_are_checked_and_spelled_out():
    assert Transplant.Options(mask="snip").options == {"batches": 1, "rounds": 1}
    with pytest.raises(ValueError, match="colour"):
        Transplant.Options(mask="snip", options={"colour": "blue"})


def test_an_artefact_of_another_network_is_refused():
    method = Stamp(Stamp.Options(**QUICK))
    made = made_for(method)
    with pytest.raises(ValueError, match=r"another network or width: logits\..* more; meta-train for this network"):
        method.plan(lively("resnet18"), TASK, BUDGET, made, ToyContext())
    control = Transplant(Transplant.Options(mask="magnitude", **QUICK))
    (spec,) = specs(control)
    wide = {"pretrained": Artefact(lively("resnet18").state_dict(), 0.0)}
    other = control.prepare(spec.model_copy(update={"network": "resnet18"}), TASK, wide, ToyContext())
    with pytest.raises(ValueError, match="another network or width"):
        control.plan(lively("vgg19"), TASK, BUDGET, {spec.kind: other}, ToyContext())


def test_a_transplants_version_holds_those_of_its_method_and_of_stamp(monkeypatch):
    options = Transplant.Options(mask="snip")
    before = Transplant.version_with(options)
    versions = {before}
    for method in (registry.METHODS.load("snip"), Stamp, Transplant):
        with monkeypatch.context() as patch:
            patch.setattr(method, "version", method.version + 1)
            versions.add(Transplant.version_with(options))
    assert len(versions) == 4
