"""SNIP against central differences of the loss, float64."""

import pytest
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from stampbench.contract import Budget
from stampbench.methods.snip import Snip, SnipOptions
from stampbench.pruning.compact import compact
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.masks import channel_gates, prunable_weights
from tests.conformance.conftest import ToyContext, toy_task
from tests.fixtures.differences import calm, derivative, some_indices
from tests.fixtures.strategies import NETWORKS, lively

pytestmark = pytest.mark.usefixtures("smooth")
METHOD = Snip(SnipOptions())


@pytest.fixture
def batches():
    stream = torch.Generator().manual_seed(1)
    return [(torch.randn(6, 3, 16, 16, generator=stream), torch.arange(6) % 4) for _ in range(3)]


def loss(network, batches) -> float:
    with torch.no_grad():
        return sum(F.cross_entropy(network(images.double()), labels).item() for images, labels in batches)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_channel_scores_are_the_losss_sensitivity_to_gates(name, count, batches):
    network = calm(name).eval()
    groups = channel_groups(network, 16)
    scores = Snip(SnipOptions(batches=count)).scores(network, groups, batches, ToyContext())
    gates = {g.name: torch.ones(g.width, dtype=torch.float64) for g in groups}
    with channel_gates(network, groups, gates):
        for group in groups[:: len(groups) // 4]:
            for index in some_indices(gates[group.name], 3):
                found = derivative(lambda: loss(network, batches[:count]), gates[group.name], index)
                assert scores[group.name][index].item() == pytest.approx(abs(found), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("name", NETWORKS)
def test_weight_scores_are_weight_times_gradient(name, batches):
    network = calm(name).eval()
    scores = METHOD.weight_scores(network, batches, ToyContext())
    weights = prunable_weights(network)
    assert scores.keys() == weights.keys()
    for parameter in list(weights)[::5]:
        for index in some_indices(weights[parameter], 3):
            found = derivative(lambda: loss(network, batches[:1]), weights[parameter].data, index)
            expected = abs(weights[parameter][index].item() * found)
            assert scores[parameter][index].item() == pytest.approx(expected, rel=1e-4, abs=1e-9)


def counted_macs(network) -> int:
    """Multiply-accumulates of one image as PyTorch counts them, two FLOPs each."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 16, 16))
    return counter.get_total_flops() // 2


def test_one_round_and_many_meet_the_same_budget():
    """Both plans fit, and with one more of the dearest channels they would not; the rounds chose other channels."""
    network, task = lively("vgg19").eval(), toy_task()
    groups, budget = channel_groups(network, 16), int(0.2 * counted_macs(network))
    plans = [
        Snip(SnipOptions(rounds=rounds)).plan(network, task, Budget(keep=0.2), {}, ToyContext()) for rounds in (1, 5)
    ]
    for plan in plans:
        wider = []
        for name, keep in plan.keep.items():
            if not keep.all():
                one_more = keep | (torch.arange(len(keep)) == keep.int().argmin())
                wider.append(counted_macs(compact(network, groups, {**plan.keep, name: one_more}, 16)))
        assert counted_macs(compact(network, groups, plan.keep, 16)) <= budget < max(wider)
    assert any((plans[0].keep[g] != plans[1].keep[g]).any() for g in plans[0].keep)
