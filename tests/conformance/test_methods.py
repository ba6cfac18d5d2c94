"""Every registered method, on every network: the contract."""

import copy
import subprocess
import sys

import pytest
import torch

from stampbench import registry
from stampbench.contract import Budget, Granularity, Start, Weights
from stampbench.pruning.compact import compact, widths_of
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.masks import prunable_weights
from stampbench.pruning.resources.params import Params
from stampbench.pruning.resources.time import TrainingTime
from tests.conformance.conftest import ToyContext, method_of, planned, toy_task
from tests.fixtures.strategies import NETWORKS, lively
from tests.fixtures.tables import made_up_table

METHODS = sorted(registry.METHODS.targets())
CELLS = [pytest.param(m, n, id=f"{m}-{n}") for m in METHODS for n in NETWORKS]
BY_WEIGHT = [m for m in METHODS if Granularity.WEIGHT in registry.METHODS.load(m).granularities]
WEIGHT_CELLS = [pytest.param(m, n, id=f"{m}-{n}") for m in BY_WEIGHT for n in NETWORKS]
# What a method does besides its plan depends on the method: a chain and a residual network show it.
FEW_NETWORKS = ["vgg19", "resnet18"]
WEIGHTS = Budget(resource="weights", keep=0.1)


def budget_of(method) -> Budget:
    return Budget(keep=0.3 if method.prunes else 1.0)


def all_plans():
    """Every method and kind of budget, on few networks."""
    for name in METHODS:
        budgets = [budget_of(method_of(name)), *([WEIGHTS] if name in BY_WEIGHT else [])]
        for network in FEW_NETWORKS:
            for budget in budgets:
                yield pytest.param(name, network, budget, id=f"{name}-{network}-{budget.resource}")


PLANS = list(all_plans())


@pytest.mark.parametrize("name", METHODS)
def test_the_class_says_what_it_is(name):
    found = registry.METHODS.load(name)
    assert found.name == name
    assert isinstance(found.version, int)
    assert found.version >= 1
    assert found.card.strip()
    assert found.granularities <= frozenset(Granularity)
    assert found.default_start in found.starts <= frozenset(Start)
    assert found.Options().model_dump(mode="json") == found.Options.model_validate({}).model_dump(mode="json")


@pytest.mark.parametrize("name", METHODS)
def test_importing_a_method_imports_no_torch(name):
    module = registry.METHODS.targets()[name].partition(":")[0]
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def assert_filled(plan, pricing, keep: float) -> None:
    """The plan is within its share, and one channel more in some group would not be."""
    widths = widths_of(plan.keep)
    assert widths.keys() == pricing.widths.keys() and min(widths.values()) >= 1
    left = int(keep * pricing.cost()) - pricing.cost(widths)
    wider = (widths | {group: width + 1} for group, width in widths.items() if width < pricing.widths[group])
    assert 0 <= left < max((pricing.cost(more) - pricing.cost(widths) for more in wider), default=1)


@pytest.mark.parametrize(("name", "network"), CELLS)
def test_the_plan_fills_its_budget_and_empties_no_group(name, network, task, context):
    dense, budget = lively(network), budget_of(method_of(name))
    groups = channel_groups(dense, task.input_size)
    cost = CostModel.of(dense, groups, task.input_size)
    plan = planned(name, network, task, budget, dense=dense, context=context)
    assert_filled(plan, cost.macs_form, budget.keep)
    assert all(keep.dtype == torch.bool and keep.shape == (cost.widths[g],) for g, keep in plan.keep.items())
    assert isinstance(plan.weights, Weights | dict)
    images = torch.randn(2, 3, task.input_size, task.input_size)
    assert torch.isfinite(compact(dense, groups, plan.keep, task.input_size).eval()(images)).all()


@pytest.mark.parametrize("name", [name for name in METHODS if method_of(name).prunes])
@pytest.mark.parametrize("network", FEW_NETWORKS)
@pytest.mark.parametrize("resource", ["params", "training-time"])
def test_the_plan_fills_a_budget_of_another_resource(name, network, resource, task):
    dense, budget = lively(network), Budget(resource=resource, keep=0.4)
    cost = CostModel.of(dense, channel_groups(dense, task.input_size), task.input_size)
    found = Params() if resource == "params" else TrainingTime(made_up_table(cost).tensors)
    plan = planned(name, network, task, budget, dense=dense, context=ToyContext(resource=found))
    assert_filled(plan, found.pricing(cost), budget.keep)


@pytest.mark.parametrize(("name", "network"), WEIGHT_CELLS)
def test_weight_masks_keep_exactly_their_share(name, network, task, context):
    dense = lively(network)
    weights = prunable_weights(dense)
    masks = planned(name, network, task, WEIGHTS, dense=dense, context=context).keep
    assert masks.keys() == weights.keys()
    assert all(mask.dtype == torch.bool and mask.shape == weights[n].shape for n, mask in masks.items())
    assert sum(int(m.sum()) for m in masks.values()) == int(0.1 * sum(w.numel() for w in weights.values()))


@pytest.mark.parametrize(("name", "network", "budget"), PLANS)
def test_the_plan_is_a_function_of_the_job(name, network, budget, task):
    def kept(extra_draws: int = 0):
        context = ToyContext()
        torch.rand(extra_draws)
        context.generator("somebody-else").manual_seed(extra_draws)
        return planned(name, network, task, budget, context=context).keep

    first, second = kept(), kept(extra_draws=7)
    assert all(torch.equal(first[group], second[group]) for group in first)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("name", "network", "budget"), PLANS)
def test_planning_leaves_network_and_random_state_untouched(name, network, budget, training, task, context):
    dense = lively(network).train(training)
    before, state = copy.deepcopy(dense.state_dict()), torch.get_rng_state()
    planned(name, network, task, budget, dense=dense, context=context)
    assert all(torch.equal(before[key], value) for key, value in dense.state_dict().items())
    assert all(module.training == training for module in dense.modules())
    assert all(p.requires_grad and p.grad is None for p in dense.parameters())
    assert torch.equal(state, torch.get_rng_state())


def assert_fills(plan, budget: Budget, dense):
    """Weights are kept to the last one; of channels no group is empty, and the dearest one more would be too many."""
    if budget is WEIGHTS:
        total = sum(weights.numel() for weights in prunable_weights(dense).values())
        assert sum(int(keep.sum()) for keep in plan.keep.values()) == int(budget.keep * total)
        return
    cost, widths = CostModel.of(dense, channel_groups(dense, 16), 16), widths_of(plan.keep)
    assert widths.keys() == cost.widths.keys() and min(widths.values()) >= 1
    wider = [cost.macs(widths | {group: width + 1}) for group, width in widths.items() if width < cost.widths[group]]
    assert cost.macs(widths) <= int(budget.keep * cost.macs()) < max(wider, default=cost.macs() + 1)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("count", [1, 5])
def test_few_images_and_missing_classes_are_no_obstacle(name, count):
    task, budgets = toy_task(classes=10, count=count), [budget_of(method_of(name))]
    for budget in [*budgets, *([WEIGHTS] if name in BY_WEIGHT else [])]:
        assert_fills(planned(name, "resnet18", task, budget), budget, lively("resnet18"))


@pytest.mark.parametrize(("name", "network", "budget"), PLANS)
def test_a_start_trained_in_bf16_is_as_good_as_any(name, network, budget, task):
    rounded = lively(network).bfloat16().float()
    assert_fills(planned(name, network, task, budget, dense=rounded), budget, rounded)


@pytest.mark.parametrize("name", METHODS)
def test_widths_are_rounded_where_the_protocol_says_so(name):
    plan = planned(name, "vgg19", toy_task(), budget_of(method_of(name)), context=ToyContext(round_to=4))
    dense = {group.name: group.width for group in channel_groups(lively("vgg19"), 16)}
    assert all(width % 4 == 0 or width == dense[group] for group, width in widths_of(plan.keep).items())


@pytest.mark.parametrize("name", METHODS)
def test_unknown_options_are_refused(name):
    with pytest.raises(ValueError, match="colour"):
        registry.METHODS.load(name).Options.model_validate({"colour": "blue"})
