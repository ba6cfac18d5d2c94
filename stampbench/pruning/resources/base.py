"""The contract of a resource: it prices a network's channel groups, so that plans can meet a budget of it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from stampbench.pruning.cost import CostModel


class RelaxedPricing(Protocol):
    """A pricing at real-valued widths, float64 (groups,), in the order of the pricing's groups."""

    def cost(self, widths: Tensor) -> Tensor:
        """Return the cost at these widths, a scalar."""
        ...

    def prices(self, widths: Tensor) -> Tensor:
        """Return ∂cost/∂width of every group, (groups,): the cost of one more channel."""
        ...


class Pricing(Protocol):
    """The cost of one network in a resource, as a function of the widths of its channel groups."""

    @property
    def widths(self) -> Mapping[str, int]:
        """The dense width of every group."""
        ...

    @property
    def label(self) -> str:
        """The name, for messages, of the things that the cost counts: "MACs"."""
        ...

    def cost(self, widths: Mapping[str, int] | None = None) -> int:
        """Return the cost at these widths (default: dense), in the resource's unit."""
        ...

    def relaxed(self, device: torch.device | str = "cpu") -> RelaxedPricing:
        """Return the same pricing for real-valued widths on that device."""
        ...


def limit_at(keep: float, pricing: Pricing) -> int:
    """Return the most that a network may cost if this share of the dense one's cost is kept, in the resource's unit."""
    return math.floor(keep * pricing.cost())


class Resource(ABC):
    """A quantity that a network uses and a budget limits. `label` is its name in tables, `unit` that of its amounts.

    `timing` names the timing of `stampbench.record.Speed` that a pricing predicts; the resource is then made with the
    tensors of a table of layers, which must be measured first. It is None where the cost is a closed form.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    unit: ClassVar[str] = ""
    timing: ClassVar[str | None] = None

    @abstractmethod
    def pricing(self, cost: CostModel) -> Pricing:
        """Return the pricing of the network that this cost model describes."""
