"""GraSP keeps the channels or weights that carry the flow of gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from stampbench.contract import Context, Granularity, Options, SaliencyMethod, ScoringBatches, Start

if TYPE_CHECKING:
    from torch import Tensor, nn

    from stampbench.pruning.groups import Group


class GraspOptions(Options):
    """`per_class` is the number of images of each class that are scored on; `temperature` divides the logits."""

    per_class: int = Field(10, ge=1)
    temperature: float = Field(200.0, gt=0)


class Grasp(SaliencyMethod):
    """Gradient signal preservation: scores are the first-order effect of pruning on ½‖g‖²."""

    name = "grasp"
    label = "GraSP"
    version = 2
    granularities = frozenset(Granularity)
    default_start = Start.RANDOM
    needs_data = True
    Options = GraspOptions
    options: GraspOptions
    card = """GraSP removes the channels, or weights, whose loss hurts the flow of gradients least or helps it most.

- **Paper**: Wang et al., GraSP (arXiv 2002.07376). The score is S = -θ ⊙ Hg, ranked over all layers together, and
  the largest scores are removed. It is computed on 10 images per class, with the logits divided by 200. As in the
  authors' code, the images are sorted by class and run in two halves, each with its own batch statistics; L is the
  sum of the two halves' mean losses.
- **Our choices**: for channels, S is the same first-order change of ½‖g‖² when the gate of a coupled group goes from
  1 to 0: -∂(½‖g‖²)/∂c, where g is taken over the weights of convolutions and linear layers. It is signed and uses the
  same temperature. Rachwan et al. (arXiv 2206.10451) take its absolute value without a temperature, which is
  `temperature = 1`. The scored weights are the trained ones, whereas the authors draw the linear layers anew. Scores
  are computed in float32, never in half precision.
- **Single weights**: of n weights ⌊keep × n⌋ are kept, over all layers together. The authors remove the
  ⌊(1 - keep) × n⌋ weights of the largest scores, but keep the last of these.
- **Checked against**: central differences of ½‖g‖² along -θ_j e_j and in gates, and of g for Hg, all in float64. On
  the same weights and halves, the scores agree with the authors' GraSP.py to 7e-15 of their size in float64 (VGG-19 and
  ResNet-18 × 0.25). The code of SynFlow's authors (Tanaka et al. 2020) runs GraSP in eval mode, which is another
  criterion: its scores have a rank correlation of -0.02 to 0.15 with these.
- **Depends on the images**: with other images of the same classes, the authors' own masks of a random VGG-19 at 10 %
  of the weights overlap by an intersection over union of only 0.18 to 0.28.
- **Version 2** has the authors' halves. Version 1 ran all images in mixed chunks of at most 128, whose masks overlap
  with the authors' by 0.21 (random VGG-19 at 10 % of the weights, CIFAR-10) to 0.63 (trained).
"""

    def scores(
        self, network: nn.Module, groups: Sequence[Group], batches: ScoringBatches, context: Context
    ) -> Mapping[str, Tensor]:
        """Return ∂(½‖g‖²)/∂gate of every channel, which is -S: the largest are kept."""
        import copy

        from stampbench.pruning.masks import channel_gates, unit_gates

        scored = copy.deepcopy(network).train()
        gates = unit_gates(scored, groups)
        with channel_gates(scored, groups, gates):
            return flow_derivatives(scored, gates, self._halves(scored, batches), self.options.temperature)

    def weight_scores(self, network: nn.Module, batches: ScoringBatches, context: Context) -> Mapping[str, Tensor]:
        """Return θ ⊙ Hg of every weight, which is -S: the largest are kept."""
        import copy

        from stampbench.pruning.masks import prunable_weights

        scored = copy.deepcopy(network).train()
        weights = prunable_weights(scored)
        products = flow_derivatives(scored, weights, self._halves(scored, batches), self.options.temperature)
        return {name: weights[name].detach() * product for name, product in products.items()}

    def _halves(self, network: nn.Module, batches: ScoringBatches) -> list[tuple[Tensor, Tensor]]:
        from stampbench.pruning.groups import classifier_of

        images, labels = sorted_by_class(batches, classifier_of(network).out_features, self.options.per_class)
        if len(labels) < 4:
            # Batch statistics need two values per channel in each half.
            images, labels = images.repeat_interleave(4, 0), labels.repeat_interleave(4)
        middle = len(labels) // 2
        return [(images[:middle], labels[:middle]), (images[middle:], labels[middle:])]


def sorted_by_class(batches: Iterable[tuple[Tensor, Tensor]], classes: int, per_class: int) -> tuple[Tensor, Tensor]:
    """Return the first `per_class` images of each class, or all where there are fewer, sorted by class.

    The images are (N, 3, size, size), their labels int64 (N,) in ascending order.
    """
    import torch

    found: list[list[Tensor]] = [[] for _ in range(classes)]
    for images, labels in batches:
        for image, label in zip(images, labels.tolist(), strict=True):
            if len(found[label]) < per_class:
                found[label].append(image)
        if all(len(of_class) == per_class for of_class in found):
            break
    chosen = torch.stack([image for of_class in found for image in of_class])
    counts = torch.tensor([len(of_class) for of_class in found])
    return chosen, torch.arange(classes).repeat_interleave(counts).to(chosen.device)


def flow_derivatives(
    network: nn.Module,
    variables: Mapping[str, Tensor],
    parts: Sequence[tuple[Tensor, Tensor]],
    temperature: float,
) -> dict[str, Tensor]:
    """Return ∂(½‖g‖²)/∂v for every variable v, where g = ∂L/∂θ over the prunable weights; for v = θ it is Hg.

    L is the sum over the parts of their mean cross-entropy, the logits divided by `temperature`; each part has its own
    batch statistics. The first pass sums g over the parts without a graph; the second combines this total with the g
    of each part.
    """
    import torch
    from torch.nn import functional as F

    from stampbench.pruning.masks import prunable_weights

    weights = list(prunable_weights(network).values())

    def gradient(images: Tensor, labels: Tensor, graph: bool) -> tuple[Tensor, ...]:
        logits = network(images.to(weights[0].dtype)) / temperature
        return torch.autograd.grad(F.cross_entropy(logits, labels), weights, create_graph=graph)

    total = [sum(of_parts) for of_parts in zip(*(gradient(*part, graph=False) for part in parts), strict=True)]
    derivatives = {name: torch.zeros_like(variable) for name, variable in variables.items()}
    for part in parts:
        flow = sum((whole * own).sum() for whole, own in zip(total, gradient(*part, graph=True), strict=True))
        for name, own in zip(derivatives, torch.autograd.grad(flow, list(variables.values())), strict=True):
            derivatives[name] += own
    return {name: derivative.detach() for name, derivative in derivatives.items()}
