"""The dense network: nothing is pruned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stampbench.contract import Artefact, Budget, Context, Method, Plan, Start, Task

if TYPE_CHECKING:
    from torch import nn


class Dense(Method):
    """A method that keeps every channel."""

    name = "dense"
    version = 1
    default_start = Start.RANDOM
    prunes = False
    card = """The dense network is trained with the suite's recipe, and nothing is pruned.

- **Paper**: there is none. Every pruned network is compared with this one.
- **Our choices**: it starts from random weights unless the suite says otherwise. Its runs set the learning rate of
  each start.
"""

    def plan(
        self, network: nn.Module, task: Task, budget: Budget, artefacts: Mapping[str, Artefact], context: Context
    ) -> Plan:
        """Return a plan that keeps every channel of every group."""
        import torch

        from stampbench.pruning.groups import channel_groups

        groups = channel_groups(network, task.input_size)
        return Plan({group.name: torch.ones(group.width, dtype=torch.bool) for group in groups})
