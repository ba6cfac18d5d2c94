"""Random pruning: channels are drawn, not chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from stampbench.contract import Context, Granularity, Options, SaliencyMethod, ScoringBatches, Start

if TYPE_CHECKING:
    from torch import Tensor, nn

    from stampbench.pruning.groups import Group


class RandomOptions(Options):
    """`scope`: "layer" keeps about the same share of every group, "global" draws among all channels together."""

    scope: Literal["layer", "global"] = "layer"


class Random(SaliencyMethod):
    """Scores are uniform draws on [0, 1)."""

    name = "random"
    version = 1
    granularities = frozenset(Granularity)
    default_start = Start.REFERENCE
    Options = RandomOptions
    options: RandomOptions
    card = """Every channel's, or weight's, score is a uniform draw; the best-drawn are kept.

- **Papers**: the control of Frankle et al. (arXiv 2009.08576) and Su et al. (arXiv 2009.11094). Random pruning with
  good layer ratios matches pruning at initialisation (Liu et al., arXiv 2202.02643).
- **Ours**: whole coupled groups, or single weights. `scope = "layer"` (default) keeps about the same share of every
  group or parameter, `"global"` ranks the draws of all together; the two are different baselines.
- **Checked against**: uniformity of the kept channels over many draws (chi-square). Draws are real numbers, not ranks:
  ranks broke another library's global baseline.
"""

    @property
    def uniform(self) -> bool:
        """Whether channels are ranked within their group."""
        return self.options.scope == "layer"

    def scores(
        self, network: nn.Module, groups: Sequence[Group], batches: ScoringBatches, context: Context
    ) -> Mapping[str, Tensor]:
        """Draws, float64 (width,), from the stream "random-scores"."""
        import torch

        stream = context.generator("random-scores")
        return {g.name: torch.rand(g.width, generator=stream, dtype=torch.float64) for g in groups}

    def weight_scores(self, network: nn.Module, batches: ScoringBatches, context: Context) -> Mapping[str, Tensor]:
        """Draws, float64, from the stream "random-scores"."""
        import torch

        from stampbench.pruning.masks import prunable_weights

        stream = context.generator("random-scores")
        weights = prunable_weights(network)
        return {name: torch.rand(w.shape, generator=stream, dtype=torch.float64) for name, w in weights.items()}
