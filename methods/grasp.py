"""GraSP keeps the channels or weights that carry the flow of gradients."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from stampbench.contract import Context, Granularity, Options, SaliencyMethod, ScoringBatches, Start

if TYPE_CHECKING:
    from torch import Tensor, nn

    from stampbench.pruning.groups import Group

CHUNK = 128


class GraspOptions(Options):
    """`per_class` is the number of images of each class that are scored on; `temperature` divides the logits."""

    per_class: int = Field(10, ge=1)
    temperature: float = Field(200.0, gt=0)


class Grasp(SaliencyMethod):
    """Gradient signal preservation: scores are the first-order effect of pruning on ½‖g‖²."""

    name = "grasp"
    version = 1
    granularities = frozenset(Granularity)
    default_start = Start.RANDOM
    needs_data = True
    Options = GraspOptions
    options: GraspOptions
    card = """GraSP removes the channels, or weights, whose loss hurts the flow of gradients least or helps it most.

- **Paper**: Wang et al., GraSP (arXiv 2002.07376). The score is S = -θ ⊙ Hg, ranked over all layers together, and
  the largest scores are removed. It is computed on 10 images per class, with the logits divided by 200. Batch norm
  uses batch statistics, as in the authors' code.
- **Our choices**: for channels, S is the same first-order change of ½‖g‖² when the gate of a coupled group goes from
  1 to 0: -∂(½‖g‖²)/∂c, where g is taken over the weights of convolutions and linear layers. It is signed and uses the
  same temperature. Rachwan et al. (arXiv 2206.10451) take its absolute value without a temperature, which is
  `temperature = 1`. The scored weights are the trained ones, whereas the authors draw the linear layers anew. Scores
  are computed in float32, never in half precision.
- **Checked against**: central differences of ½‖g‖² along -θ_j e_j and in gates, and of g for Hg, all in float64.
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
            return flow_derivatives(scored, gates, self._chunks(scored, batches), self.options.temperature)

    def weight_scores(self, network: nn.Module, batches: ScoringBatches, context: Context) -> Mapping[str, Tensor]:
        """Return θ ⊙ Hg of every weight, which is -S: the largest are kept."""
        import copy

        from stampbench.pruning.masks import prunable_weights

        scored = copy.deepcopy(network).train()
        weights = prunable_weights(scored)
        products = flow_derivatives(scored, weights, self._chunks(scored, batches), self.options.temperature)
        return {name: weights[name].detach() * product for name, product in products.items()}

    def _chunks(self, network: nn.Module, batches: ScoringBatches) -> list[tuple[Tensor, Tensor]]:
        classes = network.get_submodule("head").out_features
        images, labels = balanced(batches, int(classes), self.options.per_class)  # type: ignore[arg-type]
        if len(labels) == 1:
            # Batch statistics need two values per channel; repeating the image changes no gradient's direction.
            images, labels = images.repeat(2, 1, 1, 1), labels.repeat(2)
        return list(
            zip(
                images.tensor_split(-(-len(labels) // CHUNK)),
                labels.tensor_split(-(-len(labels) // CHUNK)),
                strict=True,
            )
        )


def balanced(batches: Iterable[tuple[Tensor, Tensor]], classes: int, per_class: int) -> tuple[Tensor, Tensor]:
    """Return the first `per_class` images of each class, or all where there are fewer, and their labels."""
    import torch

    counts, images, labels = [0] * classes, [], []
    for batch_images, batch_labels in batches:
        for row, label in enumerate(batch_labels.tolist()):
            if counts[label] < per_class:
                counts[label] += 1
                images.append(batch_images[row])
                labels.append(batch_labels[row])
        if min(counts) >= per_class:
            break
    return torch.stack(images), torch.stack(labels)


def flow_derivatives(
    network: nn.Module,
    variables: Mapping[str, Tensor],
    chunks: Sequence[tuple[Tensor, Tensor]],
    temperature: float,
) -> dict[str, Tensor]:
    """Return ∂(½‖g‖²)/∂v for every variable v, where g = ∂L/∂θ over the prunable weights; for v = θ it is Hg.

    L is the mean cross-entropy of the logits divided by `temperature`. The first pass sums g over the chunks without a
    graph; the second combines this total with the g of each chunk.
    """
    import torch
    from torch.nn import functional as F

    from stampbench.pruning.masks import prunable_weights

    weights = list(prunable_weights(network).values())
    count = sum(len(labels) for _, labels in chunks)

    def gradient(images: Tensor, labels: Tensor, graph: bool) -> tuple[Tensor, ...]:
        logits = network(images.to(weights[0].dtype)) / temperature
        loss = F.cross_entropy(logits, labels, reduction="sum") / count
        return torch.autograd.grad(loss, weights, create_graph=graph)

    total = [sum(parts) for parts in zip(*(gradient(*chunk, graph=False) for chunk in chunks), strict=True)]
    derivatives = {name: torch.zeros_like(variable) for name, variable in variables.items()}
    for chunk in chunks:
        flow = sum((whole * part).sum() for whole, part in zip(total, gradient(*chunk, graph=True), strict=True))
        for name, part in zip(derivatives, torch.autograd.grad(flow, list(variables.values())), strict=True):
            derivatives[name] += part
    return {name: derivative.detach() for name, derivative in derivatives.items()}
