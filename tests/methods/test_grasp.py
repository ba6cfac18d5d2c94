"""GraSP against central differences of gradients and of ½‖g‖², float64."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from stampbench.methods.grasp import Grasp, GraspOptions, flow_derivatives, sorted_by_class
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.masks import channel_gates, prunable_weights
from tests.conformance.conftest import ToyContext
from tests.fixtures.differences import calm, derivative, some_indices
from tests.fixtures.strategies import NETWORKS, lively

pytestmark = pytest.mark.usefixtures("smooth")
TEMPERATURE = 2.0
METHOD = Grasp(GraspOptions(per_class=2, temperature=TEMPERATURE))


@pytest.fixture
def batches():
    stream = torch.Generator().manual_seed(1)
    return [(torch.randn(20, 3, 16, 16, generator=stream), torch.arange(20) % 10)]


@pytest.fixture
def halves(batches):
    """The authors' layout, by numpy: sorted by class, then cut in the middle."""
    images, labels = (part.numpy() for part in batches[0])
    order = np.lexsort((np.arange(20), labels))
    return [(torch.from_numpy(images[rows]), torch.from_numpy(labels[rows])) for rows in np.split(order, 2)]


def gradient(network, halves) -> list[torch.Tensor]:
    loss = sum(F.cross_entropy(network(images.double()) / TEMPERATURE, labels) for images, labels in halves)
    return list(torch.autograd.grad(loss, list(prunable_weights(network).values())))


def flow(network, halves) -> float:
    """½‖g‖² over the prunable weights."""
    return sum(0.5 * g.square().sum().item() for g in gradient(network, halves))


@pytest.mark.parametrize("name", NETWORKS)
def test_weight_scores_are_the_flows_derivative_along_the_weight(name, batches, halves):
    """S_j = d/dε ½‖g(θ - ε θ_j e_j)‖² at 0; what is kept is the largest -S."""
    network = calm(name).train()
    scores = METHOD.weight_scores(network, batches, ToyContext())
    weights = prunable_weights(network)
    for parameter in list(weights)[::6]:
        for index in some_indices(weights[parameter], 2):
            found = derivative(lambda: flow(network, halves), weights[parameter].data, index, 1e-6)
            removal = -weights[parameter][index].item() * found
            assert -scores[parameter][index].item() == pytest.approx(removal, rel=1e-3, abs=1e-8)


@pytest.mark.parametrize("name", NETWORKS)
def test_hessian_gradient_products_are_differences_of_gradients(name, halves):
    """Hg = d/dε g(θ + ε g) at 0, every entry of it."""
    network = calm(name).train()
    weights = prunable_weights(network)
    products = flow_derivatives(network, weights, halves, TEMPERATURE)
    direction, step, sides = gradient(network, halves), 1e-6, []
    for sign in (1, -1):
        with torch.no_grad():
            for weight, part in zip(weights.values(), direction, strict=True):
                weight.add_(part, alpha=sign * step)
        sides.append(gradient(network, halves))
        with torch.no_grad():
            for weight, part in zip(weights.values(), direction, strict=True):
                weight.sub_(part, alpha=sign * step)
    for product, above, below in zip(products.values(), *sides, strict=True):
        torch.testing.assert_close(product, (above - below) / (2 * step), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
def test_channel_scores_are_the_flows_derivative_in_gates(name, batches, halves):
    network = calm(name).train()
    groups = channel_groups(network, 16)
    scores = METHOD.scores(network, groups, batches, ToyContext())
    gates = {g.name: torch.ones(g.width, dtype=torch.float64) for g in groups}
    with channel_gates(network, groups, gates):
        for group in groups[:: len(groups) // 3]:
            for index in some_indices(gates[group.name], 2):
                found = derivative(lambda: flow(network, halves), gates[group.name], index, 1e-6)
                assert scores[group.name][index].item() == pytest.approx(found, rel=1e-3, abs=1e-7)


def test_with_frozen_statistics_the_halves_mean_the_same_as_one_batch(batches, halves):
    """L of two halves of equal size is twice the mean loss of all, so that Hg is four times as large."""
    network = lively("resnet18").double().eval()
    weights = prunable_weights(network)
    whole, parts = (flow_derivatives(network, weights, layout, TEMPERATURE) for layout in (batches, halves))
    for name in weights:
        torch.testing.assert_close(4 * whole[name], parts[name], rtol=1e-8, atol=1e-12)


def test_each_half_has_statistics_of_its_own(batches, halves):
    network = lively("vgg19").double().train()
    weights = prunable_weights(network)
    whole, parts = (flow_derivatives(network, weights, layout, TEMPERATURE) for layout in (batches, halves))
    assert not any(torch.allclose(4 * whole[name], parts[name], rtol=1e-2) for name in weights)


def test_images_are_sorted_by_class_and_need_not_hold_every_class():
    labels = torch.tensor([0, 0, 0, 1, 2, 0, 1, 2, 1])
    images = torch.arange(9.0).view(9, 1, 1, 1).expand(9, 3, 2, 2)
    batches = [(images[:5], labels[:5]), (images[5:], labels[5:])]
    chosen, of = sorted_by_class(batches, 3, 2)
    assert chosen[:, 0, 0, 0].tolist() == [0, 1, 3, 6, 4, 7]
    assert of.tolist() == [0, 0, 1, 1, 2, 2]
    assert of.dtype == torch.int64
    _, of = sorted_by_class(batches, 4, 2)
    assert of.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_a_handful_of_images_is_enough(count):
    images, labels = torch.randn(count, 3, 16, 16), torch.arange(count)
    scores = METHOD.weight_scores(lively("vgg19"), [(images, labels)], ToyContext())
    assert all(torch.isfinite(score).all() for score in scores.values())


def test_the_temperature_changes_the_ranking(batches):
    network = lively("vgg19").double()
    cold, hot = (
        Grasp(GraspOptions(per_class=2, temperature=t)).weight_scores(network, batches, ToyContext()) for t in (1, 200)
    )
    orders = [torch.cat([s.flatten() for s in scores.values()]).argsort() for scores in (cold, hot)]
    assert not torch.equal(*orders)
