"""Prices that the generator reads, and made-up ones, against closed forms."""

import math
from dataclasses import replace

import pytest
import torch

from stampbench.methods.stamp import META_TRAINED, Stamp
from stampbench.methods.stamp.mask_generator import MaskGenerator
from stampbench.methods.stamp.meta_training import MetaTraining
from stampbench.methods.stamp.prices import made_up_pricing, price_shares
from stampbench.methods.stamp.set_statistics import view_set
from stampbench.networks.check import checked
from stampbench.pruning.cost import CostModel
from stampbench.pruning.resources.polynomial import Polynomial
from stampbench.pruning.resources.time import TrainingTime
from tests.conformance.conftest import ToyContext, toy_task
from tests.fixtures import factories
from tests.fixtures.strategies import lively
from tests.fixtures.tables import made_up_table

WIDTHS = {"a": 10, "b": 20}


@pytest.fixture(scope="module")
def cost():
    network, groups = checked("vgg19", 0.25, 32)
    return CostModel.of(network, groups, 32)


def test_shares_of_a_linear_price_list_are_those_of_its_groups_at_any_budget():
    pricing = Polynomial(((3, 1, "a"), (1, 1, "b")), WIDTHS, "coins")
    for keep in (1.0, 0.3, 0.05):
        expected = torch.tensor([math.log(2 * 30 / 50), math.log(2 * 20 / 50)])
        torch.testing.assert_close(price_shares(pricing, keep), expected.double())


def test_a_constant_part_lowers_the_widths_but_enters_no_share():
    pricing = Polynomial(((1, "a", "b"), (100, 1, 1)), WIDTHS, "coins")
    torch.testing.assert_close(price_shares(pricing, 0.5), torch.zeros(2).double())


def test_shares_add_up_and_know_no_unit(cost):
    found = price_shares(cost.macs_form, 0.25)
    assert found.exp().sum().item() == pytest.approx(len(found))
    pairs = tuple((1000 * coefficient, *sides) for coefficient, *sides in cost.macs_form.terms)
    torch.testing.assert_close(price_shares(Polynomial(pairs, cost.widths, "milli"), 0.25), found)


def test_made_up_prices_differ_grow_with_every_width_and_repeat(cost):
    def drawn(seed: int) -> Polynomial:
        return made_up_pricing(cost, torch.Generator().manual_seed(seed))

    assert drawn(0) == drawn(0)
    shares = [price_shares(drawn(seed), 0.25) for seed in range(20)]
    assert torch.stack(shares).std(0).min() > 0.2
    for seed in range(5):
        pricing = drawn(seed)
        assert pricing.cost() == pytest.approx(1e12, rel=1e-6)
        dense = torch.tensor(list(pricing.widths.values())).double()
        assert (pricing.relaxed().prices(dense / 2) > 0).all()


def test_real_resources_lie_in_the_range_of_made_up_ones(cost):
    """A group's share under MACs and parameters is no outlier among those of made-up price lists."""
    drawn = torch.stack(
        [price_shares(made_up_pricing(cost, torch.Generator().manual_seed(s)), 0.25) for s in range(200)]
    )
    for pricing in (cost.macs_form, cost.params_form):
        share = price_shares(pricing, 0.25)
        assert ((drawn.min(0).values <= share) & (share <= drawn.max(0).values)).all()


def test_a_priced_generator_reads_the_prices_and_another_does_not():
    network = lively("vgg19")
    _, groups = checked("vgg19", 0.125, 16)
    view = view_set(network, groups, torch.randn(16, 3, 16, 16), torch.arange(16) % 4)
    for priced in (True, False):
        made = MaskGenerator(groups, network.head.in_features, priced)
        made.initialise(torch.Generator().manual_seed(0))
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.add_(0.2 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(9)))
        prices = torch.zeros(len(groups)), torch.linspace(-2, 2, len(groups))
        first, second = (made(view, 0.25, lambda _keep, price=price: price).offsets for price in prices)
        assert torch.equal(first, second) != priced


@pytest.fixture(params=["drawn", "with-time"])
def run(request, cost):
    options = Stamp.Options(meta_steps=4, prices=request.param)
    network = lively("vgg19")
    _, groups = checked("vgg19", 0.125, 16)
    table = made_up_table(CostModel.of(network, groups, 16), round_to=8)
    context = replace(ToyContext(), resource=TrainingTime(table.tensors))
    return MetaTraining(network, toy_task(classes=10, count=400), options, context)


@pytest.fixture
def episode(run):
    return run.episodes.draw(256, torch.Generator().manual_seed(0))


def drawn_of(run, episode):
    """The shapes and episodes of 40 draws of a resource, by what the resource counts."""
    pairs = [run._priced(episode, torch.Generator().manual_seed(seed)) for seed in range(40)]
    return {shape.pricing.label: (shape, priced) for shape, priced in pairs}


def test_episodes_draw_their_resource_and_a_step_moves_the_generator(run, episode):
    timed = {"ns of training time"} if run.options.prices == "with-time" else set()
    assert {"MACs", "parameters", "made-up units"} | timed == set(drawn_of(run, episode))
    before = [parameter.clone() for parameter in run.generator.parameters()]
    run.step()
    assert any(not torch.equal(a, b) for a, b in zip(before, run.generator.parameters(), strict=True))


def test_a_budget_that_is_drawn_leaves_something_to_choose_and_the_gradient_is_finite(run, episode):
    for keep in (1 / 32, 0.2, 1.0):
        for label, (shape, priced) in drawn_of(run, replace(episode, keep=keep)).items():
            if "time" in label:
                assert shape.least < priced.keep <= 1
            for budget in (priced.keep, 1e-9):
                stream = torch.Generator().manual_seed(1)
                logits = {g.name: torch.randn(g.width, generator=stream, requires_grad=True) for g in shape.groups}
                gates = shape.gates(logits, budget)
                sum((gate * torch.randn(gate.shape, generator=stream)).sum() for gate in gates.values()).backward()
                assert all(logit.grad.isfinite().all() for logit in logits.values())


def test_only_a_generator_that_was_trained_with_time_depends_on_the_jobs_budget():
    job = factories.job("stamp", options={})
    timed = job.model_copy(
        update={"budget": job.budget.model_copy(update={"resource": "training-time", "table": "0" * 16})}
    )

    def digest(of, prices: str) -> str:
        (spec,) = Stamp(Stamp.Options(prices=prices)).artefacts(of)
        assert spec.kind == META_TRAINED
        return spec.digest

    for prices in ("macs", "drawn"):
        assert digest(job, prices) == digest(timed, prices)
    assert digest(job, "with-time") != digest(timed, "with-time")
