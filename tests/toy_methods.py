"""Methods that take the contract's rarer paths: fresh and given weights, single weights, artefacts, head steps."""

from __future__ import annotations

from typing import ClassVar

from stampbench.contract import (
    Artefact,
    ArtefactSpec,
    Budget,
    Granularity,
    Method,
    Plan,
    SaliencyMethod,
    Start,
    Weights,
)


def half(network, task):
    """The first half of every group's channels."""
    import torch

    from stampbench.pruning.groups import channel_groups

    groups = channel_groups(network, task.input_size)
    return {group.name: torch.arange(group.width) < group.width // 2 for group in groups}


class Fresh(Method):
    name = "fresh"
    version = 1
    card = "Keeps half, starts anew."
    default_start = Start.REFERENCE

    def plan(self, network, task, budget, artefacts, context):
        return Plan(half(network, task), Weights.FRESH)


class Given(Fresh):
    name = "given"
    card = "Keeps half of weights of its own: all of them 0.01."

    def plan(self, network, task, budget, artefacts, context):
        weights = {name: tensor.clone() for name, tensor in network.state_dict().items()}
        for name in weights:
            if name.endswith("conv1.weight"):
                weights[name].fill_(0.01)
        return Plan(half(network, task), weights, {"why": "a test"})


class SingleWeights(Method):
    name = "single-weights"
    version = 1
    card = "Keeps the first tenth of every convolution's weights."
    granularities: ClassVar = frozenset({Granularity.WEIGHT})

    def plan(self, network, task, budget: Budget, artefacts, context):
        import torch

        masks = {}
        for name, parameter in network.named_parameters():
            if parameter.dim() == 4:
                kept = int(budget.keep * parameter.numel())
                masks[name] = (torch.arange(parameter.numel()) < kept).view(parameter.shape)
        return Plan(masks)


class Prepared(Fresh):
    name = "prepared"
    card = "Needs something made on the target first."

    def artefacts(self, job):
        return [ArtefactSpec.of(job, "table", "target", 1)]

    def prepare(self, spec, task, artefacts, context):
        import torch

        return Artefact({"numbers": torch.rand(4, generator=context.generator("table"))}, 12.5)

    def plan(self, network, task, budget, artefacts, context):
        with context.phase("prune/search"):
            numbers = artefacts["table"].tensors["numbers"]
        return Plan(half(network, task), notes={"first": float(numbers[0])})


class Hungry(Fresh):
    name = "hungry"
    card = "Wants more memory than there is."

    def plan(self, network, task, budget, artefacts, context):
        import torch

        return Plan({"features.0": torch.empty(10**15)})


class ReadsData(SaliencyMethod):
    name = "reads-data"
    version = 1
    card = "Scores by the head's weights, which training moves."
    needs_data = True

    def scores(self, network, groups, batches, context):
        import torch

        _, labels = next(iter(batches))
        assert len(labels)
        return {group.name: torch.full((group.width,), network.head.weight.abs().sum().item()) for group in groups}


TARGETS = {
    "fresh": "tests.toy_methods:Fresh",
    "given": "tests.toy_methods:Given",
    "single-weights": "tests.toy_methods:SingleWeights",
    "prepared": "tests.toy_methods:Prepared",
    "hungry": "tests.toy_methods:Hungry",
    "reads-data": "tests.toy_methods:ReadsData",
}
