"""A pruning method of somebody else's, in a package of its own: batch norm's scale decides (arXiv 1708.06519)."""

from __future__ import annotations

from stampbench.contract import SaliencyMethod, Start


class NetworkSlimming(SaliencyMethod):
    """Scores are |γ|, summed over the group's batch norms."""

    name = "example-slimming"
    version = 1
    default_start = Start.REFERENCE
    card = "Keeps the channels with the largest batch-norm scales; an example of a third party's method."

    def scores(self, network, groups, batches, context):
        """Σ|γ| of each channel."""
        return {
            group.name: sum(network.get_submodule(norm).weight.detach().abs() for norm in group.norms)
            for group in groups
        }
