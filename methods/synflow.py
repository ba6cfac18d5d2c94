"""SynFlow: keep what synaptic strength flows through, without looking at data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from stampbench.contract import Context, Granularity, Options, SaliencyMethod, ScoringBatches, Start

if TYPE_CHECKING:
    from torch import Tensor, nn

    from stampbench.pruning.groups import Group


class SynflowOptions(Options):
    """`rounds`: scoring rounds of the exponential schedule."""

    rounds: int = Field(100, ge=1)


class Synflow(SaliencyMethod):
    """Iterative synaptic flow pruning."""

    name = "synflow"
    version = 1
    granularities = frozenset(Granularity)
    default_start = Start.RANDOM
    Options = SynflowOptions
    options: SynflowOptions
    card = """Keeps the channels, or weights, that an all-ones input reaches the output through.

- **Papers**: Tanaka et al., SynFlow (arXiv 2006.05467, algorithm 1): R = 1ᵀ f(1; |θ|), S = θ ⊙ ∂R/∂θ, 100 rounds of an
  exponential schedule, ranked over all layers together; data-free, eval mode, here in float64.
- **Ours**: batch norm is made neutral for scoring (scale 1, shift 0, mean 0, variance 1), which it is at random
  initialisation; a pretrained one would take a mean away and break the argument of positive flow. On channels, S is
  ∂R/∂gate of the coupled group at gate 1, which is the flow through the group.
- **Checked against**: conservation of the summed scores from layer to layer, positivity, and no layer collapse at 10³ ×
  where one-shot magnitude collapses.
"""

    @property
    def rounds(self) -> int:
        """Scoring rounds."""
        return self.options.rounds

    def scores(
        self, network: nn.Module, groups: Sequence[Group], batches: ScoringBatches, context: Context
    ) -> Mapping[str, Tensor]:
        """∂R/∂gate of every channel, float64, ≥ 0."""
        from stampbench.pruning.masks import channel_gates, unit_gates

        positive = positive_copy(network)
        gates = unit_gates(positive, groups)
        with channel_gates(positive, groups, gates):
            return flow_gradients(positive, gates, batches.input_size)

    def weight_scores(self, network: nn.Module, batches: ScoringBatches, context: Context) -> Mapping[str, Tensor]:
        """|θ| ⊙ ∂R/∂|θ| of every weight, float64, ≥ 0."""
        from stampbench.pruning.masks import prunable_weights

        positive = positive_copy(network)
        weights = prunable_weights(positive)
        gradients = flow_gradients(positive, weights, batches.input_size)
        return {name: weights[name].detach() * gradient for name, gradient in gradients.items()}


def positive_copy(network: nn.Module) -> nn.Module:
    """A float64 copy in eval mode with every weight positive and every batch norm neutral."""
    import copy

    import torch
    from torch import nn

    positive = copy.deepcopy(network).double().eval()
    with torch.no_grad():
        for module in positive.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
        for parameter in positive.parameters():
            parameter.abs_()
    return positive


def flow_gradients(network: nn.Module, variables: Mapping[str, Tensor], input_size: int) -> dict[str, Tensor]:
    """∂R/∂v for every variable, R the sum of the outputs for one image of ones."""
    import torch

    like = next(network.parameters())
    flow = network(torch.ones(1, 3, input_size, input_size, dtype=like.dtype, device=like.device)).sum()
    gradients = torch.autograd.grad(flow, list(variables.values()))
    return dict(zip(variables, gradients, strict=True))
