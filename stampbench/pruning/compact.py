"""Physical removal of channels, by torch-pruning's dependency graph."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
import torch_pruning as tp
from torch import Tensor, nn

from stampbench.pruning.groups import Group, dependency_graph, evaluation_mode


class Shrinking:
    """A network that loses channels again and again: one copy of it and one dependency graph serve all rounds."""

    def __init__(self, network: nn.Module, groups: Sequence[Group], input_size: int) -> None:
        self._network, self._groups, self._input_size = network, groups, input_size
        self._kept = {group.name: torch.ones(group.width, dtype=torch.bool) for group in groups}
        self._graph: tp.DependencyGraph | None = None

    @property
    def groups(self) -> tuple[Group, ...]:
        """The groups at the widths they have now."""
        return tuple(replace(group, width=int(self._kept[group.name].sum())) for group in self._groups)

    def keep_only(self, keep: Mapping[str, Tensor]) -> nn.Module:
        """Return the network without the channels whose bool `keep` (width,), over the first width, is false.

        The original, until a channel goes; what is gone stays gone. Raises ValueError if a group would be emptied.
        """
        for group in self._groups:
            before = self._kept[group.name]
            now = before & keep[group.name].cpu()
            if not now.any():
                raise ValueError(f"the plan keeps no channel of group {group.name!r}")
            removed = (~now[before]).nonzero().flatten().tolist()
            if removed:
                self._remove(group, removed)
            self._kept[group.name] = now
        return self._network

    def _remove(self, group: Group, removed: list[int]) -> None:
        if self._graph is None:
            self._network = copy.deepcopy(self._network)
            with evaluation_mode(self._network):
                self._graph = dependency_graph(self._network, self._input_size)
        producer = self._network.get_submodule(group.producers[0])
        self._graph.get_pruning_group(producer, tp.prune_conv_out_channels, idxs=removed).prune()


def compact(network: nn.Module, groups: Sequence[Group], keep: Mapping[str, Tensor], input_size: int) -> nn.Module:
    """Return a copy without the channels whose bool `keep` (width,) is false, in the mode of the original.

    Its output in eval mode equals the gated network's. Raises ValueError if a group would be emptied.
    """
    small = Shrinking(network, groups, input_size).keep_only(keep)
    return copy.deepcopy(network) if small is network else small


def widths_of(keep: Mapping[str, Tensor]) -> dict[str, int]:
    """Return the number of kept channels of each group."""
    return {name: int(kept.sum()) for name, kept in keep.items()}
