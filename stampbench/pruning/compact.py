"""Physical removal of channels, by torch-pruning's dependency graph."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch_pruning as tp
from torch import Tensor, nn

from stampbench.pruning.groups import Group, dependency_graph, evaluation_mode


def compact(network: nn.Module, groups: Sequence[Group], keep: Mapping[str, Tensor], input_size: int) -> nn.Module:
    """A copy without the channels whose bool `keep` (width,) is false, in the mode of the original.

    Its output in eval mode equals the gated network's. Raises ValueError if a group would be emptied.
    """
    small = copy.deepcopy(network)
    with evaluation_mode(small):
        graph = dependency_graph(small, input_size)
        for group in groups:
            removed = (~keep[group.name]).nonzero().flatten().tolist()
            if len(removed) == group.width:
                raise ValueError(f"the plan keeps no channel of group {group.name!r}")
            if removed:
                producer = small.get_submodule(group.producers[0])
                graph.get_pruning_group(producer, tp.prune_conv_out_channels, idxs=removed).prune()
    return small


def widths_of(keep: Mapping[str, Tensor]) -> dict[str, int]:
    """The number of kept channels of each group."""
    return {name: int(kept.sum()) for name, kept in keep.items()}
