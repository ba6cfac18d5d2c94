"""MACs: multiply-accumulates of convolutions and linear layers for one image."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stampbench.pruning.resources.base import Pricing, Resource

if TYPE_CHECKING:
    from stampbench.pruning.cost import CostModel


class Macs(Resource):
    """Multiply-accumulates of one image."""

    name = "macs"
    label = "MACs"

    def pricing(self, cost: CostModel) -> Pricing:
        """Return the closed form of the MACs."""
        return cost.macs_form
