"""Plans that are made in rounds: what one round removes stays removed."""

from itertools import pairwise

import pytest
import torch

from stampbench.contract import Budget, SaliencyMethod
from stampbench.pruning.compact import widths_of
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.resources.macs import Macs
from stampbench.pruning.resources.time import TrainingTime
from tests.conformance.conftest import ToyContext, toy_task
from tests.fixtures.strategies import lively
from tests.fixtures.tables import made_up_table


class Rounds(SaliencyMethod):
    """The same scores in every round; `seen` are the widths that each round found."""

    name = "rounds"
    rounds = 100

    def __init__(self, size):
        super().__init__(None)
        self.seen, self.size = [], size

    def scores(self, network, groups, batches, context):
        self.seen.append({group.name: group.width for group in groups})
        assert all(network.get_submodule(group.producers[0]).out_channels == group.width for group in groups)
        streams = [torch.Generator().manual_seed(number) for number in range(len(groups))]
        return {
            group.name: self.size * torch.rand(group.width, generator=stream).double().add(1)
            for group, stream in zip(groups, streams, strict=True)
        }


@pytest.mark.parametrize("network", ["resnet18", "vgg19"])
@pytest.mark.parametrize("resource", ["macs", "training-time"])
@pytest.mark.parametrize(("round_to", "size"), [(1, 1.0), (8, 1.0), (8, 1e20), (8, -1e20)])
def test_no_round_brings_a_removed_channel_back(network, resource, round_to, size):
    """With steps of 8 channels, a round may leave more of its budget than the next round takes away.

    SynFlow's scores are products over all layers, and may be so large that one less is the same number.
    """
    dense, task = lively(network, width=0.25), toy_task()
    cost = CostModel.of(dense, channel_groups(dense, task.input_size), task.input_size)
    counted = Macs() if resource == "macs" else TrainingTime(made_up_table(cost).tensors)
    method, context = Rounds(size), ToyContext(resource=counted, round_to=round_to)
    plan = context.plan_by_scores(method, dense, task, Budget(resource=resource, keep=0.5))
    widths = [*method.seen, widths_of(plan.keep)]
    assert len(widths) == method.rounds + 1
    for before, after in pairwise(widths):
        assert all(after[group] <= before[group] for group in before)
    pricing = counted.pricing(cost)
    assert pricing.cost(widths[-1]) <= 0.5 * pricing.cost()
    assert all(width % round_to == 0 or width == pricing.widths[group] for group, width in widths[-1].items())


class Reader(Rounds):
    """A method that reads an image."""

    name, rounds = "reader", 1

    def scores(self, network, groups, batches, context):
        next(iter(batches))
        return super().scores(network, groups, batches, context)


def test_a_method_that_reads_images_must_say_so():
    dense, task, method = lively("vgg19"), toy_task(), Reader(1.0)
    with pytest.raises(TypeError, match="reader reads images, so its class must say `needs_data = True`"):
        ToyContext().plan_by_scores(method, dense, task, Budget(keep=0.5))
    method.needs_data = True
    assert ToyContext().plan_by_scores(method, dense, task, Budget(keep=0.5)).keep
