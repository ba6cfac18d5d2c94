"""SNIP keeps the channels or weights that the loss is most sensitive to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from pydantic import Field

from stampbench.contract import Context, Granularity, Options, SaliencyMethod, ScoringBatches, Start

if TYPE_CHECKING:
    from torch import Tensor, nn

    from stampbench.pruning.groups import Group


class SnipOptions(Options):
    """`batches` of 128 images are scored on; with `rounds` = 1 the scores are computed once, with more repeatedly."""

    batches: int = Field(1, ge=1)
    rounds: int = Field(1, ge=1)


class Snip(SaliencyMethod):
    """Connection sensitivity: the gradient of the loss with respect to a mask of ones."""

    name = "snip"
    label = "SNIP"
    version = 1
    granularities = frozenset(Granularity)
    default_start = Start.RANDOM
    needs_data = True
    Options = SnipOptions
    options: SnipOptions
    card = """SNIP keeps the channels, or weights, that the loss is most sensitive to.

- **Papers**: Lee et al., SNIP (arXiv 1810.02340). The score is |∂L/∂c_j| at c = 1, which is |w_j · ∂L/∂w_j|, ranked
  over all layers together. It is computed on one mini-batch of 128, with batch norm in inference mode, as in the
  authors' code. `rounds` > 1 is the iterative version (de Jorge et al., arXiv 2006.09081).
- **Our choices**: for channels, c is a gate per coupled group, placed after batch norm; Verdenius et al. (arXiv
  2006.00896) gate features likewise. The scored weights are the trained ones, whereas the authors draw them anew.
  Biases are not pruned, whereas the authors' snip-public ranks them among the weights. Its default batch is 100 images;
  the paper has 128 on CIFAR-10, as here. mil-ad/snip, a port to PyTorch, scores in training mode, with the batch's own
  statistics.
- **Single weights**: of n weights ⌊keep × n⌋ are kept, where Synaptic-Flow keeps ⌈keep × n⌉. Up to 20 % of the scores
  are exactly 0; if a budget has to take some of these, the earlier layers and weights are kept.
- **Checked against**: central differences of the loss in gates and in weights, and the derivative with respect to a
  mask of a second formula, on networks with trained batch norm, in float64. An independent comparison with official
  code where the conditions match (VGG-19 and ResNet-18 × 0.25, random and trained weights, synthetic images and
  CIFAR-10; same weights, same batch; float64) found a largest relative difference of 9e-15 between the scores, and a
  rank correlation of 1.
"""

    @property
    def rounds(self) -> int:
        """The number of scoring rounds."""
        return self.options.rounds

    def scores(
        self, network: nn.Module, groups: Sequence[Group], batches: ScoringBatches, context: Context
    ) -> Mapping[str, Tensor]:
        """Return |∂L/∂gate| of every channel."""
        from stampbench.pruning.masks import channel_gates, unit_gates

        gates = unit_gates(network, groups)
        with channel_gates(network, groups, gates):
            gradients = loss_gradients(network, gates, islice(batches, self.options.batches))
        return {name: gradient.abs() for name, gradient in gradients.items()}

    def weight_scores(self, network: nn.Module, batches: ScoringBatches, context: Context) -> Mapping[str, Tensor]:
        """Return |w · ∂L/∂w| of every weight."""
        from stampbench.pruning.masks import prunable_weights

        weights = prunable_weights(network)
        gradients = loss_gradients(network, weights, islice(batches, self.options.batches))
        return {name: (weights[name] * gradient).abs() for name, gradient in gradients.items()}


def loss_gradients(
    network: nn.Module, variables: Mapping[str, Tensor], batches: Iterable[tuple[Tensor, Tensor]]
) -> dict[str, Tensor]:
    """Return ∂L/∂v for every variable v, in eval mode; L is the sum of the mean cross-entropies of the batches."""
    import torch
    from torch.nn import functional as F

    from stampbench.pruning.groups import evaluation_mode

    total = {name: torch.zeros_like(variable) for name, variable in variables.items()}
    with evaluation_mode(network):
        for images, labels in batches:
            loss = F.cross_entropy(network(images.to(next(iter(total.values())).dtype)), labels)
            gradients = torch.autograd.grad(loss, list(variables.values()))
            for name, gradient in zip(total, gradients, strict=True):
                total[name] += gradient
    return {name: gradient.detach() for name, gradient in total.items()}
