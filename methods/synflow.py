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
    label = "SynFlow"
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
  of positive flow. The authors' code, Synaptic-Flow, would leave trained batch norm in place: then the scores have a
  rank correlation of 0.97 with ours, and the masks after 100 rounds overlap by only 0.13 to 0.36 (intersection over
  union). For channels, S is ∂R/∂gate of the coupled group at gate 1, which is the flow through the group.
- **Single weights**: of n weights ⌊keep × n⌋ are kept in every round, where Synaptic-Flow keeps ⌈keep × n⌉. Over 100
  rounds this one weight adds up: the masks overlap by 0.97 at a compression of 10 and by 0.89 at 100. If Synaptic-Flow
  rounds its count down too, all rounds agree.
- **Checked against**: conservation of the summed scores from layer to layer; scores that are nowhere negative; no
  layer collapse at a compression of 10³, where one-shot magnitude collapses; a product of matrices in closed form, and
  the derivative with respect to a mask of a second formula, on networks with trained batch norm. An independent
  comparison with Synaptic-Flow (VGG-19 and ResNet-18 × 0.25, random and trained weights; same weights, neutral batch
  norm, float64) found no difference between the scores, and a rank correlation of 1.
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
