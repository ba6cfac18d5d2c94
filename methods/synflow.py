"""SynFlow keeps the channels or weights that synaptic strength flows through, without looking at data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from stampbench.contract import Context, Granularity, Options, SaliencyMethod, ScoringBatches, Start

if TYPE_CHECKING:
    from torch import Tensor, nn

    from stampbench.pruning.groups import Group


class SynflowOptions(Options):
    """`rounds` is the number of scoring rounds of the exponential schedule."""

    rounds: int = Field(100, ge=1)


class Synflow(SaliencyMethod):
    """Iterative synaptic flow pruning."""

    name = "synflow"
    version = 1
    granularities = frozenset(Granularity)
    default_start = Start.RANDOM
    Options = SynflowOptions
    options: SynflowOptions
    card = """SynFlow keeps the channels, or weights, through which an all-ones input reaches the output.

- **Paper**: Tanaka et al., SynFlow (arXiv 2006.05467, algorithm 1). With R = 1ᵀ f(1; |θ|), the score is S = θ ⊙ ∂R/∂θ,
  ranked over all layers together in 100 rounds of an exponential schedule. No data is read, and the network is in eval
  mode.
- **Our choices**: scores are computed in float64. Batch norm is made neutral for scoring (scale 1, shift 0, mean 0,
  variance 1), as it is at random initialisation; a pretrained batch norm would subtract a mean and break the argument
  of positive flow. For channels, S is ∂R/∂gate of the coupled group at gate 1, which is the flow through the group.
- **Checked against**: conservation of the summed scores from layer to layer; scores that are nowhere negative; no
  layer collapse at a compression of 10³, where one-shot magnitude collapses.
"""

    @property
    def rounds(self) -> int:
        """The number of scoring rounds."""
        return self.options.rounds

    def scores(
        self, network: nn.Module, groups: Sequence[Group], batches: ScoringBatches, context: Context
    ) -> Mapping[str, Tensor]:
        """Return ∂R/∂gate of every channel, float64, ≥ 0."""
        from stampbench.pruning.masks import channel_gates, unit_gates

        positive = positive_copy(network)
        gates = unit_gates(positive, groups)
        with channel_gates(positive, groups, gates):
            return flow_gradients(positive, gates, batches.input_size)

    def weight_scores(self, network: nn.Module, batches: ScoringBatches, context: Context) -> Mapping[str, Tensor]:
        """Return |θ| ⊙ ∂R/∂|θ| of every weight, float64, ≥ 0."""
        from stampbench.pruning.masks import prunable_weights

        positive = positive_copy(network)
        weights = prunable_weights(positive)
        gradients = flow_gradients(positive, weights, batches.input_size)
        return {name: weights[name].detach() * gradient for name, gradient in gradients.items()}


def positive_copy(network: nn.Module) -> nn.Module:
    """Return a float64 copy in eval mode, with every weight made positive and every batch norm neutral."""
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
    """Return ∂R/∂v for every variable v, where R is the sum of the outputs for one image of ones."""
    import torch

    like = next(network.parameters())
    flow = network(torch.ones(1, 3, input_size, input_size, dtype=like.dtype, device=like.device)).sum()
    gradients = torch.autograd.grad(flow, list(variables.values()))
    return dict(zip(variables, gradients, strict=True))
