"""Set encoder, statistics and mask generator."""

import pytest
import torch

from stampbench.methods.stamp.mask_generator import MaskGenerator, StaticGenerator, mean_logits
from stampbench.methods.stamp.set_encoder import SetEncoder, by_class
from stampbench.methods.stamp.set_statistics import class_mean_logits, separability, standardise, view_set
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.masks import channel_gates
from tests.fixtures.differences import derivative
from tests.fixtures.strategies import NETWORKS, lively

SIZE = 16


def unpriced(_keep: float) -> torch.Tensor:
    raise AssertionError("a generator that reads no prices asks for none")


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def encoder(features: int = 12) -> SetEncoder:
    made = SetEncoder(features, 64)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=0.3, generator=stream())
    return made


def some_set(count: int, classes: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    images = torch.randn(count, 3, SIZE, SIZE, generator=stream(seed))
    return images, torch.randint(classes, (count,), generator=stream(seed + 1))


def generator_for(network, kind=MaskGenerator):
    groups = channel_groups(network, SIZE)
    made = kind(groups, network.head.in_features) if kind is MaskGenerator else kind(groups)
    made.initialise(stream())
    return made


def stirred(generator):
    """With every parameter moved off its start, so that all inputs count."""
    noise = stream(9)
    with torch.no_grad():
        for parameter in generator.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=noise))
    return generator


@pytest.mark.parametrize(("count", "classes"), [(1, 1), (2, 1), (7, 3), (64, 10), (50, 100)])
def test_the_code_ignores_order_and_names_of_classes(count, classes):
    features = torch.randn(count, 12, generator=stream(1))
    labels = torch.randint(classes, (count,), generator=stream(2))
    code = encoder()(features, labels)
    order = torch.randperm(count, generator=stream(3))
    renamed = torch.randperm(classes, generator=stream(4))[labels]
    assert code.shape == (64,)
    assert torch.allclose(encoder()(features[order], renamed[order]), code, atol=1e-5)


def test_the_code_depends_on_features_and_on_which_belong_together():
    features, labels = torch.randn(12, 12, generator=stream(1)), torch.arange(12) % 3
    code = encoder()(features, labels)
    assert not torch.allclose(encoder()(2 * features, labels), code, atol=1e-3)
    assert not torch.allclose(encoder()(features, labels.sort().values), code, atol=1e-3)


def test_padding_holds_every_element_once():
    values, labels = torch.arange(14.0).view(7, 2), torch.tensor([5, 1, 5, 9, 1, 5, 1])
    sets, absent = by_class(values, labels)
    assert sets.shape == (3, 3, 2)
    assert absent.tolist() == [[False] * 3, [False] * 3, [False, True, True]]
    assert torch.equal(sets[0], values[[1, 4, 6]])
    assert torch.equal(sets[1], values[[0, 2, 5]])


@pytest.mark.parametrize("name", NETWORKS)
def test_untrained_it_ranks_by_l1_norm(name):
    """Magnitude pruning is where meta-training begins."""
    network = lively(name)
    groups = channel_groups(network, SIZE)
    found = generator_for(network)(view_set(network, groups, *some_set(8, 3)), 0.25, unpriced)
    logits = found.sum()
    assert not found.offsets.any()
    for group in groups:
        norms = sum(network.get_submodule(n).weight.abs().sum((1, 2, 3)) for n in group.producers)
        assert torch.equal(logits[group.name].argsort(), norms.argsort())


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("count", [1, 3, 20])
def test_logits_do_not_depend_on_the_order_of_the_set(name, count):
    network = lively(name)
    groups, made = channel_groups(network, SIZE), stirred(generator_for(network))
    images, labels = some_set(count, 4)
    order = torch.randperm(count, generator=stream(5))
    first = made(view_set(network, groups, images, labels), 0.25, unpriced).sum()
    second = made(view_set(network, groups, images[order], labels[order]), 0.25, unpriced).sum()
    for group in groups:
        assert torch.isfinite(first[group.name]).all()
        assert torch.allclose(first[group.name], second[group.name], atol=2e-3)


def test_logits_depend_on_set_and_budget_but_the_static_ones_on_the_budget_alone():
    network = lively("vgg19")
    groups = channel_groups(network, SIZE)
    one, other = (view_set(network, groups, *some_set(16, 4, seed)) for seed in (0, 7))

    def differ(*pair):
        first, second = (found if isinstance(found, dict) else found.sum() for found in pair)
        return any(not torch.allclose(first[name], second[name], atol=1e-4) for name in first)

    made, static = stirred(generator_for(network)), stirred(generator_for(network, StaticGenerator))
    assert differ(made(one, 0.25, unpriced), made(other, 0.25, unpriced))
    assert differ(made(one, 0.25, unpriced), made(one, 0.5, unpriced))
    assert not differ(static(one, 0.25, unpriced), static(other, 0.25, unpriced))
    assert differ(static(one, 0.25, unpriced), static(one, 0.5, unpriced))
    assert not differ(mean_logits(made, [one, one], 0.25, unpriced), made(one, 0.25, unpriced))


def test_offsets_are_bounded_and_the_sum_keeps_gradients_from_them():
    network = lively("vgg19")
    groups = channel_groups(network, SIZE)
    found = stirred(generator_for(network))(view_set(network, groups, *some_set(16, 4)), 0.25, unpriced)
    assert found.offsets.shape == (len(groups),)
    assert found.offsets.abs().max() <= 1
    for index, (name, logit) in enumerate(found.sum().items()):
        assert torch.allclose(logit.mean(), found.offsets[index], atol=1e-5)
        assert logit.std(correction=0).item() == pytest.approx(1, abs=1e-3)
        (gradient,) = torch.autograd.grad(logit.sum(), found.offsets, retain_graph=True, allow_unused=True)
        assert gradient is None, name


def test_statistics_are_standardised_and_looking_changes_nothing():
    network = lively("resnet18").train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    view = view_set(network, channel_groups(network, SIZE), *some_set(16, 4))
    for values in view.statistics.values():
        assert torch.allclose(values.mean(0), torch.zeros(values.shape[1]), atol=1e-4)
        assert (values.square().mean(0) < 1.001).all()
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_gate_gradient_is_the_difference_quotient(smooth):
    """Its column, up to the standardising, against central differences of the class-mean loss in the gates."""
    network = lively("vgg19").double().eval()
    images, labels = some_set(6, 3)
    images = images.double()
    groups = channel_groups(network, SIZE)
    group = groups[3]
    view = view_set(network, groups, images, labels)
    gates = {g.name: torch.ones(g.width, dtype=torch.float64) for g in groups}
    caught = []
    network.head.register_forward_pre_hook(lambda _m, inputs: caught.append(inputs[0]))
    with torch.no_grad():
        network(images)
    means_of = caught[-1].clone()

    def loss() -> float:
        with torch.no_grad(), channel_gates(network, groups, gates):
            network(images)
        logits = logits_against(caught[-1], means_of, labels)
        return torch.nn.functional.cross_entropy(logits, labels.unique(return_inverse=True)[1]).item()

    quotients = torch.tensor([derivative(loss, gates[group.name], (i,), 1e-7) for i in range(group.width)])
    expected = standardise((quotients / quotients.abs().mean())[:, None])[:, 0]
    assert torch.allclose(view.statistics[group.name][:, 3].float(), expected.float(), atol=1e-3)


def logits_against(features: torch.Tensor, fixed: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Class-mean logits whose means and variance stay those of the ungated network."""
    present = labels.unique()
    means = torch.stack([fixed[labels == label].mean(0) for label in present])
    variance = (fixed - fixed.mean(0)).square().sum(1).mean()
    return -4 * (features[:, None] - means).square().sum(2) / variance


def test_class_means_classify_what_is_separable():
    labels = torch.arange(30) % 3
    features = torch.eye(3)[labels] + 0.05 * torch.randn(30, 3, generator=stream())
    assert torch.equal(class_mean_logits(features, labels).argmax(1), labels)


def test_separability_is_the_log_ratio_of_variances():
    """Against a value whose variances are known: class means -1 and 1, ± 0.5 within."""
    values = torch.tensor([[-1.5], [-0.5], [0.5], [1.5]])
    found = separability(values, torch.tensor([0, 0, 1, 1]))
    assert found.item() == pytest.approx(torch.tensor(1 / 0.25).log().item(), abs=1e-4)
