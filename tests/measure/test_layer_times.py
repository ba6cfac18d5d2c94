"""Tables of layers: all seconds of a step in its blocks, none twice, and busy moments waited for."""

from itertools import islice

import pytest
import torch

from stampbench import registry
from stampbench.measure import layer_times
from stampbench.measure.layer_times import measure_layers, quiet_moments, timed_blocks
from stampbench.measure.speed import BATCH, made_up_images, network_at
from stampbench.networks.check import checked
from stampbench.pruning.cost import CostModel
from stampbench.pruning.resources.time import Latency, TrainingTime
from tests.fixtures.quickly import quicken


@pytest.mark.parametrize("timing", ["train_step", "latency"])
def test_blocks_hold_most_of_a_step_and_no_more_than_all(timing):
    network, _ = checked("resnet18", 0.125, 16)
    widths = {group.name: group.width for group in checked("resnet18", 0.125, 16)[1]}
    module = network_at("resnet18", 2, widths, torch.device("cpu"))
    images = made_up_images(timing, 16, torch.device("cpu"))[:8]
    layers = {name for name, _ in layer_times._layers(network)}
    shares = []
    for seconds in timed_blocks(module, images, timing, "fp32"):
        whole = seconds.pop("")
        assert seconds.keys() == layers and min(seconds.values()) > 0
        shares.append(sum(seconds.values()) / whole)
    # Other work may have interrupted one step outside of the blocks.
    assert 0.5 < max(shares) <= 1


@pytest.mark.parametrize(("timing", "resource"), [("train_step", TrainingTime), ("latency", Latency)])
def test_a_measured_table_prices_its_network(timing, resource, monkeypatch):
    quicken(monkeypatch.setattr)
    monkeypatch.setitem(BATCH, "train_step", 4)
    network, groups = checked("resnet18", 0.125, 16)
    table, notes = measure_layers("resnet18", network, groups, 16, 1, timing, "fp32", torch.device("cpu"))
    pricing = resource(table.tensors).pricing(CostModel.of(network, groups, 16))
    least = dict.fromkeys(pricing.widths, 1)
    # One step a network tells little, so noise may take the blocks for nothing.
    assert 0 < pricing.cost(least) <= pricing.cost()
    assert registry.RESOURCES.load(resource.name) is resource
    assert len(notes["yardstick"]) == 2 and min(notes["yardstick"]) > 0


def test_busy_moments_are_waited_for_until_patience_ends():
    """The first moment cannot be known to be busy; of the others 1.6 is, and 1.4 is not."""
    seconds = iter([1.0, 1.6, 1.4, 9.0, 0.9, 1.4, 9.0, 1.0, 9.0])
    assert list(islice(quiet_moments(lambda: next(seconds), 3), 5)) == [1.0, 1.4, 0.9, 9.0, 1.0]
