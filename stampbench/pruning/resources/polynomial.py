"""Costs that are sums of products of two widths, such as MACs and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

# A factor of a term: the group whose width it is, or a number that does not depend on widths.
Side = str | int


@dataclass(frozen=True)
class Polynomial:
    """The sum Σ coefficient · side · side over `terms`; `widths` are the dense ones, `label` says what it counts."""

    terms: tuple[tuple[int, Side, Side], ...]
    widths: Mapping[str, int]
    label: str

    def cost(self, widths: Mapping[str, int] | None = None) -> int:
        """Return the sum at these widths (default: dense)."""
        sizes = self.widths if widths is None else widths
        return sum(
            coefficient
            * (first if isinstance(first, int) else sizes[first])
            * (second if isinstance(second, int) else sizes[second])
            for coefficient, first, second in self.terms
        )

    def relaxed(self, device: torch.device | str = "cpu") -> RelaxedPolynomial:
        """Return the same polynomial for real-valued widths, float64, on the device."""
        import torch

        index = {name: position for position, name in enumerate(self.widths)}
        fixed: list[int] = []

        def position(side: Side) -> int:
            if isinstance(side, str):
                return index[side]
            fixed.append(side)
            return len(index) + len(fixed) - 1

        first = [position(side) for _, side, _ in self.terms]
        second = [position(side) for _, _, side in self.terms]
        coefficients = [coefficient for coefficient, _, _ in self.terms]
        return RelaxedPolynomial(
            torch.tensor(coefficients, dtype=torch.float64, device=device),
            torch.tensor(first, device=device),
            torch.tensor(second, device=device),
            torch.tensor(fixed, dtype=torch.float64, device=device),
        )


@dataclass(frozen=True)
class RelaxedPolynomial:
    """The polynomial over tensors: `first` and `second` are the positions of the sides, groups before constants."""

    coefficients: Tensor
    first: Tensor
    second: Tensor
    fixed: Tensor

    def cost(self, widths: Tensor) -> Tensor:
        """Return the sum at real widths (groups,), a scalar."""
        import torch

        sides = torch.cat([widths, self.fixed])
        return (self.coefficients * sides[self.first] * sides[self.second]).sum()

    def prices(self, widths: Tensor) -> Tensor:
        """Return ∂cost/∂width of every group, (groups,)."""
        import torch

        sides = torch.cat([widths, self.fixed])
        price = torch.zeros_like(sides)
        price.index_add_(0, self.first, self.coefficients * sides[self.second])
        price.index_add_(0, self.second, self.coefficients * sides[self.first])
        return price[: len(widths)]
