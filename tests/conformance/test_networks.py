"""Every registered network: the contract, checked against gates, fvcore, and the networks' own tensors."""

import copy
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stampbench import registry
from stampbench.errors import NetworkError
from stampbench.networks.check import checked
from stampbench.networks.initial import build, initialise
from stampbench.pruning.compact import compact, widths_of
from stampbench.pruning.cost import CostModel
from stampbench.pruning.cropped import STEP, cropped_forward
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.masks import channel_gates
from stampbench.registry import Registry
from tests.fixtures.examples import examples
from tests.fixtures.strategies import NETWORKS, keeps, lively

SMALL = "small"


@pytest.fixture(autouse=True)
def with_a_small_depthwise_network(monkeypatch):
    """Registered beside the others: biases, ReLU6, 5×5, stride 2, a residual depthwise convolution."""
    targets = registry.NETWORKS.targets() | {SMALL: "tests.fixtures.small_networks:Separable"}
    monkeypatch.setattr(registry, "NETWORKS", Registry("network", targets))


EVERY = pytest.mark.parametrize("name", [*NETWORKS, SMALL])


def fresh(name: str, seed: int = 0, width: float = 0.25) -> torch.nn.Module:
    network = build(name, 10, width)
    for tensor in network.state_dict().values():
        tensor.fill_(float("nan") if tensor.is_floating_point() else 7)
    initialise(network, torch.Generator().manual_seed(seed), torch.Generator().manual_seed(100))
    return network


def counted_by_fvcore(network: torch.nn.Module) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fvcore.nn import FlopCountAnalysis

        analysis = FlopCountAnalysis(copy.deepcopy(network).eval(), torch.zeros(1, 3, 32, 32))
        counted = analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False).by_operator()
    return int(counted["conv"] + counted["linear"])


def gated_output(network, groups, keep, images):
    with torch.no_grad(), channel_gates(network, groups, {name: kept.float() for name, kept in keep.items()}):
        return network(images)


@EVERY
def test_it_is_understood(name):
    network, groups = checked(name, 0.125, 32)
    assert type(network) is type(build(name, 2, 0.125))
    assert len({group.name for group in groups}) == len(groups) > 0


@EVERY
@examples(8)
@given(data=st.data())
def test_compact_and_gated_outputs_agree_and_costs_are_exact(name, data):
    network = lively(name, seed=data.draw(st.integers(0, 99))).eval()
    groups = channel_groups(network, 32)
    keep = data.draw(keeps(groups))
    small = compact(network, groups, keep, 32)
    images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(small(images), gated_output(network, groups, keep, images), atol=1e-5, rtol=1e-5)
    widths, cost = widths_of(keep), CostModel.of(network, groups, 32)
    assert cost.macs(widths) == counted_by_fvcore(small)
    assert cost.params(widths) == sum(p.numel() for p in small.parameters())
    build(name, 10, 1.0, widths).load_state_dict(small.state_dict())


@EVERY
def test_every_group_can_be_pruned_to_one_channel(name):
    network = lively(name).eval()
    groups = channel_groups(network, 32)
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    for only in [None, *range(0, len(groups), max(1, len(groups) // 4))]:
        chosen = groups if only is None else [groups[only]]
        keep = {g.name: torch.ones(g.width, dtype=torch.bool) for g in groups}
        keep |= {g.name: torch.arange(g.width) == g.width // 2 for g in chosen}
        small = compact(network, groups, keep, 32)
        with torch.no_grad():
            torch.testing.assert_close(small(images), gated_output(network, groups, keep, images), atol=1e-5, rtol=1e-5)


@EVERY
@pytest.mark.parametrize("width", [0.25, 1.0])
def test_dense_costs_equal_fvcores(name, width):
    network = fresh(name, width=width)
    cost = CostModel.of(network, channel_groups(network, 32), 32)
    assert cost.macs() == counted_by_fvcore(network)
    assert cost.params() == sum(p.numel() for p in network.parameters())


@EVERY
@examples(6)
@given(data=st.data())
def test_cropped_and_gated_passes_agree(name, data):
    """Outputs, gradients of weights and gates, and batch norm's statistics of the kept channels."""
    seed, width = data.draw(st.integers(0, 99)), data.draw(st.sampled_from([0.125, 0.5]))
    cropped = lively(name, seed, width).double().train(data.draw(st.booleans()))
    gated = copy.deepcopy(cropped)
    groups = channel_groups(cropped, 16)
    assert name == SMALL or width == 0.125 or max(group.width for group in groups) > STEP
    keep = data.draw(keeps(groups))
    images = torch.randn(6, 3, 16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    stream = torch.Generator().manual_seed(2)
    levels = {n: torch.rand(len(k), dtype=torch.float64, generator=stream) + 0.5 for n, k in keep.items()}
    gates, others = ({n: (keep[n] * level).requires_grad_() for n, level in levels.items()} for _ in range(2))

    with channel_gates(gated, groups, others):
        expected = gated(images)
    found = cropped_forward(cropped, groups, gates, images)
    torch.testing.assert_close(found, expected)

    expected.square().sum().backward()
    found.square().sum().backward()
    for (named, parameter), other in zip(cropped.named_parameters(), gated.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, msg=named)
    for group in groups:
        kept = keep[group.name]
        torch.testing.assert_close(gates[group.name].grad, others[group.name].grad)
        assert not (group.rectified and gates[group.name].grad[~kept].any())
        for statistic in (f"{norm}.{part}" for norm in group.norms for part in ("running_mean", "running_var")):
            torch.testing.assert_close(cropped.get_buffer(statistic)[kept], gated.get_buffer(statistic)[kept])
    # The network is whole again, its depthwise convolutions too.
    assert torch.isfinite(cropped(images)).all()


@EVERY
def test_it_is_rebuilt_from_its_widths(name):
    network = fresh(name).eval()
    rebuilt = build(name, 10, 1.0, {group.name: group.width for group in channel_groups(network, 32)}).eval()
    rebuilt.load_state_dict(network.state_dict())
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    assert torch.equal(network(images), rebuilt(images))


@EVERY
def test_initial_weights_are_those_of_their_streams_alone(name):
    before = torch.get_rng_state()
    first, again, other = (fresh(name, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(tensor.isfinite().all() for tensor in first.values())
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert torch.equal(first["head.weight"], other["head.weight"])
    for key, tensor in first.items():
        drawn = tensor.dim() > 1 and key != "head.weight"
        assert torch.equal(tensor, other[key]) != drawn, key


@EVERY
@pytest.mark.parametrize("training", [True, False])
def test_looking_at_a_network_changes_nothing(name, training):
    network = lively(name).train(training)
    network.head.eval()
    before = copy.deepcopy(network.state_dict())
    modes, state = [module.training for module in network.modules()], torch.get_rng_state()
    groups = channel_groups(network, 32)
    CostModel.of(network, groups, 32)
    compact(network, groups, {g.name: torch.arange(g.width) >= g.width // 2 for g in groups}, 32)
    assert modes == [module.training for module in network.modules()]
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


def test_a_depthwise_layer_costs_one_input_for_every_output():
    """By hand: positions × k² × channels, and k² weights and a bias for each channel."""
    network = build(SMALL, 10, 0.25)
    cost = CostModel.of(network, channel_groups(network, 32), 32)
    widths = {"stem": 5, "point": 7}
    layers = [32 * 32 * 9 * 3 * 5, 16 * 16 * 9 * 5, 16 * 16 * 5 * 7, 16 * 16 * 25 * 7, 7 * 10]
    assert cost.macs(widths) == sum(layers)
    weights = [9 * 3 * 5 + 5, 9 * 5 + 5, 5 * 7 + 7, 25 * 7, 7 * 10 + 10]
    assert cost.params(widths) == sum(weights) + 2 * (5 + 5 + 7 + 7)


def test_parameters_that_are_not_counted_are_refused():
    network = lively(SMALL)
    network.extra = torch.nn.Parameter(torch.ones(3))
    counted = sum(p.numel() for p in network.parameters())
    with pytest.raises(NetworkError, match=f"{counted - 3:,} parameters .* {counted:,}"):
        CostModel.of(network, channel_groups(network, 32), 32)
