"""The dense network: nothing is pruned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stampbench.contract import Artefact, Budget, Context, Method, Plan, Start, Task

if TYPE_CHECKING:
    from torch import nn


class Dense(Method):
    """Keeps every channel."""

    name = "dense"
    version = 1
    default_start = Start.RANDOM
    prunes = False
    card = """The network as it is, trained with the suite's recipe.

- **Paper**: none; it is what every pruned network is compared with.
- **Ours**: started from random weights unless the suite says otherwise. Its runs set the learning rate of each start.
"""

    def plan(
        self, network: nn.Module, task: Task, budget: Budget, artefacts: Mapping[str, Artefact], context: Context
    ) -> Plan:
        """Every channel of every group."""
        import torch

        from stampbench.pruning.groups import channel_groups

        groups = channel_groups(network, task.input_size)
        return Plan({group.name: torch.ones(group.width, dtype=torch.bool) for group in groups})
