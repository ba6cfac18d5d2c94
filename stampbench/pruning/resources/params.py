"""Parameters: trainable weights, biases, and the scales and shifts of batch norms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stampbench.pruning.resources.base import Pricing, Resource

if TYPE_CHECKING:
    from stampbench.pruning.cost import CostModel


class Params(Resource):
    """Trainable parameters."""

    name = "params"
    label = "parameters"

    def pricing(self, cost: CostModel) -> Pricing:
        """Return the closed form of the parameters."""
        return cost.params_form
