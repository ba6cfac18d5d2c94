"""MetaPruning: search the widths with a network that generates weights for any of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pydantic import Field

from stampbench.contract import (
    Artefact,
    ArtefactSpec,
    Budget,
    Context,
    Method,
    Options,
    Plan,
    Start,
    Task,
    Weights,
)

if TYPE_CHECKING:
    from torch import nn

    from stampbench.job import Job

KIND = "pruning-net"


class MetaPruningOptions(Options):
    """The paper's search by default. `epochs` train the PruningNet; `window` is the width of the MAC window below
    the budget, as its share; `recalibration` counts the batches that batch norm's statistics are computed on."""

    epochs: int = Field(32, ge=1)
    population: int = Field(50, ge=2)
    iterations: int = Field(20, ge=1)
    parents: int = Field(10, ge=2)
    mutations: int = Field(25, ge=0)
    crossovers: int = Field(25, ge=0)
    mutation_rate: float = Field(0.1, gt=0, le=1)
    window: float = Field(0.05, gt=0, lt=1)
    recalibration: int = Field(8, ge=1)


class MetaPruning(Method):
    """A PruningNet ranks shapes, an evolutionary search picks one, which is trained from fresh weights."""

    name = "metapruning"
    version = 1
    starts = frozenset({Start.RANDOM})
    default_start = Start.RANDOM
    needs_data = True
    Options = MetaPruningOptions
    options: MetaPruningOptions
    card = """Searches the widths of all groups; the winner is trained from fresh weights.

- **Paper**: Liu et al., MetaPruning (arXiv 1903.10258). A PruningNet generates each layer's weights from width ratios
  through 32 hidden units, cropped to the leading channels; 31 ratios 0.10, 0.13 … 1.00, random ones at every training
  step; evolutionary search (50 candidates, the best 10 breed, 25 mutations, 25 crossovers, 20 iterations) with the
  MAC window as hard constraint; fitness is accuracy on held-out training images after batch norm's recalibration.
- **Ours**: VGG-19 and ResNet-18 (the paper has ResNet-50 and MobileNets): a layer's MLP reads the ratios of the groups
  that it reads and writes; the head is learned and cropped. Generated weights start at Kaiming's scale; the first
  epoch is warm-up. Batch norm keeps no statistics per ratio, as recalibration replaces them. A random candidate's
  ratios lie below a random bound, or small budgets would reject nearly all. The winner's proportions are scaled up
  until they fill the budget.
- **Checked against**: cropped against full weights; an enumerated optimum; statistics computed directly.
"""

    def artefacts(self, job: Job) -> list[ArtefactSpec]:
        """The PruningNet, trained on the target: one, however long its winner is trained."""
        made = {"method_version": self.version, "warmup_epochs": 1.0}
        return [ArtefactSpec.of(job, KIND, "target", self.options.epochs, **made)]

    def prepare(self, spec: ArtefactSpec, task: Task, artefacts: Mapping[str, Artefact], context: Context) -> Artefact:
        """Trains a PruningNet; its tensors are the state dict."""
        from .pruning_net import train_pruning_net

        return train_pruning_net(spec, task, context)

    def plan(
        self, network: nn.Module, task: Task, budget: Budget, artefacts: Mapping[str, Artefact], context: Context
    ) -> Plan:
        """The winning shape, scaled to fill the budget, with fresh weights."""
        from .search import search_plan

        keep, notes = search_plan(self.options, network, task, budget, artefacts[KIND], context)
        return Plan(keep, Weights.FRESH, notes)
