"""Random pruning keeps channels or weights that are drawn by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from stampbench.contract import Context, Granularity, Options, SaliencyMethod, ScoringBatches, Start

if TYPE_CHECKING:
    from torch import Tensor, nn

    from stampbench.pruning.groups import Group


class RandomOptions(Options):
    """`scope` = "layer" keeps about the same share of every group, "global" draws among all channels together."""

    scope: Literal["layer", "global"] = "layer"


class Random(SaliencyMethod):
    """Scores are uniform draws on [0, 1)."""

    name = "random"
    version = 1
    granularities = frozenset(Granularity)
    default_start = Start.REFERENCE
    Options = RandomOptions
    options: RandomOptions
    card = """Random pruning scores every channel, or weight, by a uniform draw and keeps the highest.

- **Papers**: this is the control of Frankle et al. (arXiv 2009.08576) and Su et al. (arXiv 2009.11094). Random pruning
  with good layer ratios matches pruning at initialisation (Liu et al., arXiv 2202.02643).
- **Our choices**: whole coupled groups, or single weights, are drawn. `scope = "layer"` (the default) keeps about the
  same share of every group or parameter; `scope = "global"` ranks all draws together. The two are different baselines.
  Draws are real numbers, not ranks, because ranks broke the global baseline of another library. Synaptic-Flow draws
  from a normal distribution, which makes the same masks equally likely.
- **Single weights**: of n weights ⌊keep × n⌋ are kept, where Synaptic-Flow keeps ⌈keep × n⌉.
- **Checked against**: uniformity of the kept channels over many draws (chi-square).
"""

    @property
    def uniform(self) -> bool:
        """True if channels are ranked within their group, false if across groups."""
        return self.options.scope == "layer"

    def scores(
        self, network: nn.Module, groups: Sequence[Group], batches: ScoringBatches, context: Context
    ) -> Mapping[str, Tensor]:
        """Return draws from the stream "random-scores", float64 (width,) per group."""
        import torch

        stream = context.generator("random-scores")
        return {g.name: torch.rand(g.width, generator=stream, dtype=torch.float64) for g in groups}

    def weight_scores(self, network: nn.Module, batches: ScoringBatches, context: Context) -> Mapping[str, Tensor]:
        """Return draws from the stream "random-scores", float64, one per weight."""
        import torch

        from stampbench.pruning.masks import prunable_weights

        stream = context.generator("random-scores")
        weights = prunable_weights(network)
        return {name: torch.rand(w.shape, generator=stream, dtype=torch.float64) for name, w in weights.items()}
