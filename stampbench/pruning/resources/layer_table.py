"""A table of measured layers, from which the seconds of a network at any widths are predicted.

NetAdapt (Yang et al., arXiv 1804.03230, section 3.2) and ProxylessNAS (Cai et al., arXiv 1812.00332, section 3.3)
predict latency from such tables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING

from stampbench.pruning.resources.polynomial import Polynomial, RelaxedPolynomial

if TYPE_CHECKING:
    import torch
    from torch import Tensor

NANOSECONDS = 1e9
# The index of a side that no group's width sets, such as the channels of the images.
FIXED = -1


@dataclass(frozen=True)
class LayerTable:
    """The measured seconds of a network's blocks, each a convolution or linear layer with what follows it.

    `grid` int64 (groups, points) holds the widths that were measured, ascending, for every group in the network's
    order. `reads` and `writes` int64 (blocks,) are the indices of the groups that set a block's input and output width,
    or `FIXED`. `seconds` float64 (blocks, points, points) are a block's at the points of its input and output width;
    they never fall as a width grows. `rest` float64 (2,) holds the seconds of a step outside the blocks, and those for
    each parameter, which the optimiser takes.
    """

    grid: Tensor
    reads: Tensor
    writes: Tensor
    seconds: Tensor
    rest: Tensor

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> LayerTable:
        """Return the table that an artefact holds."""
        return cls(**{field.name: tensors[field.name] for field in fields(cls)})

    @property
    def tensors(self) -> dict[str, Tensor]:
        """The tensors by name, as an artefact holds them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


def never_falling(seconds: Tensor) -> Tensor:
    """Return measured seconds (blocks, points, points) as the nearest that never fall along either width.

    It is the mean of the least such table above the measurements and the greatest below them. Plans are found by
    bisection, which needs costs that grow with the widths; noise, or a kernel's favourite width, may break that.
    """
    above = seconds.cummax(1).values.cummax(2).values
    below = seconds.flip(1, 2).cummin(1).values.cummin(2).values.flip(1, 2)
    return (above + below) / 2


@dataclass(frozen=True)
class TablePricing:
    """The predicted nanoseconds of one step of a network, as a function of its groups' widths."""

    table: LayerTable
    params: Polynomial
    label: str

    @property
    def widths(self) -> Mapping[str, int]:
        """The dense width of every group."""
        return self.params.widths

    def cost(self, widths: Mapping[str, int] | None = None) -> int:
        """Return the nanoseconds at these widths (default: dense)."""
        import torch

        sizes = self.widths if widths is None else widths
        return round(float(self._here.cost(torch.tensor([sizes[name] for name in self.widths], dtype=torch.float64))))

    def relaxed(self, device: torch.device | str = "cpu") -> RelaxedTable:
        """Return the same prediction for real-valued widths, on the device."""
        return RelaxedTable.of(self.table, self.params.relaxed(device), device)

    @cached_property
    def _here(self) -> RelaxedTable:
        return self.relaxed()


@dataclass(frozen=True)
class RelaxedTable:
    """The prediction over tensors: bilinear between the points of the table, of which width 0 is the first.

    A last group of width 0, whose points are 0, 0, 1, 2, …, stands for the sides that are fixed.
    """

    grid: Tensor
    reads: Tensor
    writes: Tensor
    nanoseconds: Tensor
    rest: Tensor
    params: RelaxedPolynomial

    @classmethod
    def of(cls, table: LayerTable, params: RelaxedPolynomial, device: torch.device | str) -> RelaxedTable:
        """Return the prediction of a table on a device."""
        import torch

        groups, points = table.grid.shape
        grid = torch.cat([table.grid, torch.arange(points)[None]]).double()
        reads, writes = (torch.where(side == FIXED, groups, side) for side in (table.reads, table.writes))
        seconds = _from_zero(_from_zero(table.seconds, grid[reads]).mT, grid[writes]).mT
        return cls(
            grid=torch.cat([torch.zeros(groups + 1, 1), grid], dim=1).to(device),
            reads=reads.to(device),
            writes=writes.to(device),
            nanoseconds=(never_falling(seconds) * NANOSECONDS).to(device),
            rest=(table.rest * NANOSECONDS).to(device),
            params=params,
        )

    def cost(self, widths: Tensor) -> Tensor:
        """Return the nanoseconds at real widths (groups,), a scalar."""
        at, share, _ = self._positions(widths)
        (low, high), along = self._corners(at), share[self.writes]
        between = [side[0] * (1 - along) + side[1] * along for side in (low, high)]
        across = share[self.reads]
        blocks = (between[0] * (1 - across) + between[1] * across).sum()
        return blocks + self.rest[0] + self.rest[1] * self.params.cost(widths)

    def prices(self, widths: Tensor) -> Tensor:
        """Return ∂cost/∂width of every group, (groups,), the right-hand one at a point of the table."""
        import torch

        at, share, gap = self._positions(widths)
        low, high = self._corners(at)
        across, along = share[self.reads], share[self.writes]
        by_reads = (high[0] - low[0]) * (1 - along) + (high[1] - low[1]) * along
        by_writes = (low[1] - low[0]) * (1 - across) + (high[1] - high[0]) * across
        price = torch.zeros_like(gap)
        price.index_add_(0, self.reads, by_reads / gap[self.reads])
        price.index_add_(0, self.writes, by_writes / gap[self.writes])
        return price[: len(widths)] + self.rest[1] * self.params.prices(widths)

    def _positions(self, widths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return, for every group, the point at or below its width, the share of the way to the next, and the gap."""
        import torch

        sides = torch.cat([widths, widths.new_zeros(1)])
        above = torch.searchsorted(self.grid, sides[:, None], right=True)[:, 0].clamp(1, self.grid.shape[1] - 1)
        low, high = (self.grid.gather(1, at[:, None])[:, 0] for at in (above - 1, above))
        # Narrow groups have fewer widths than the table has points, and so some points twice.
        gap = (high - low).clamp_min(1)
        return above - 1, (sides - low) / gap, gap

    def _corners(self, at: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Return the nanoseconds (blocks,) at the lower and the upper input width, each at both output widths."""
        import torch

        block = torch.arange(len(self.reads), device=at.device)
        reads, writes = at[self.reads], at[self.writes]
        lower, upper = (
            (self.nanoseconds[block, row, writes], self.nanoseconds[block, row, writes + 1])
            for row in (reads, reads + 1)
        )
        return lower, upper


def _from_zero(seconds: Tensor, widths: Tensor) -> Tensor:
    """Return seconds (blocks, points, other points) with those of width 0 before them, (blocks, 1 + points, …).

    They lie on the line through the two least of the widths (blocks, points), but never below 0 or above the least
    width's. Relaxed masks reach widths that nothing was measured at, and a price must not be negative there.
    """
    import torch

    least = widths[:, 0]
    second = (widths > least[:, None]).int().argmax(1)
    block = torch.arange(len(widths))
    slope = (seconds[block, second] - seconds[:, 0]) / (widths[block, second] - least).clamp_min(1)[:, None]
    none = (seconds[:, 0] - slope * least[:, None]).clamp_min(0).minimum(seconds[:, 0])
    return torch.cat([none[:, None], seconds], dim=1)
