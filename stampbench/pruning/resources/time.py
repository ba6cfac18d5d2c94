"""Training time and latency, predicted from a table of layers that were measured on the job's device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stampbench.pruning.resources.base import Pricing, Resource
from stampbench.pruning.resources.layer_table import LayerTable, TablePricing

if TYPE_CHECKING:
    from torch import Tensor

    from stampbench.pruning.cost import CostModel


class TimedResource(Resource):
    """Seconds of one step of the compact network, by a table of layers."""

    unit = "ns"

    def __init__(self, table: Mapping[str, Tensor]) -> None:
        """Use the tensors of the artefact that holds the table."""
        self._table = LayerTable.of(table)

    def pricing(self, cost: CostModel) -> Pricing:
        """Return the prediction. Raises ValueError if the table was measured on a network of other widths."""
        dense = list(cost.widths.values())
        if self._table.grid[:, -1].tolist() != dense:
            raise ValueError(f"the table of layers is of widths {self._table.grid[:, -1].tolist()}, not of {dense}")
        return TablePricing(self._table, cost.params_form, f"ns of {self.label}")


class TrainingTime(TimedResource):
    """Seconds of a training step with a batch of 128: forward, backward, and the optimiser."""

    name = "training-time"
    label = "training time"
    timing = "train_step"


class Latency(TimedResource):
    """Seconds of inference with a batch of 1."""

    name = "latency"
    label = "latency"
    timing = "latency"
