"""MetaPruning searches the widths of all groups, with a network that generates weights for any widths."""

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
    """The options of the search; the defaults are the paper's.

    `epochs` are those of the PruningNet's training; `window` is the width of the MAC window below the budget, as a
    share of the budget; `recalibration` is the number of batches that batch norm's statistics are computed on.
    """

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
    """A PruningNet ranks shapes, an evolutionary search picks one, and the winner is trained from fresh weights."""

    name = "metapruning"
    label = "MetaPruning"
    version = 1
    starts = frozenset({Start.RANDOM})
    default_start = Start.RANDOM
    needs_data = True
    Options = MetaPruningOptions
    options: MetaPruningOptions
    card = """MetaPruning searches the widths of all groups and trains the winning shape from fresh weights.

- **Paper**: Liu et al., MetaPruning (arXiv 1903.10258). A PruningNet generates the weights of each layer from width
  ratios through 32 hidden units; the weights are cropped to the leading channels. There are 31 ratios, 0.10, 0.13 …
  1.00, drawn at random at every training step. An evolutionary search (50 candidates, of which the best 10 breed, 25
  mutations, 25 crossovers, 20 iterations) has the MAC window as a hard constraint. Fitness is the accuracy on held-out
  training images after batch norm is recalibrated.
- **Our choices**: the networks are VGG-19 and ResNet-18, where the paper has ResNet-50 and MobileNets. The MLP of a
  layer takes the ratios of the groups that the layer reads and writes; the head is learned and cropped. Generated
  weights start at Kaiming's scale, and the first epoch is a warm-up. Batch norm keeps no statistics per ratio, because
  recalibration replaces them. The ratios of a random candidate lie below a random bound; otherwise small budgets would
  reject nearly all candidates. The winner's proportions are scaled up until they fill the budget.
- **Different from the authors' code** (liuzechun/MetaPruning), and left so:
  - *What is searched*: the outputs of the last layer may be pruned here; there they never are. A width is its ratio ×
    the full width rounded to the nearest integer, there rounded down.
  - *Window*: a candidate costs 0.95 to 1 × the budget; there ± 2.5 % around it for ResNet-50, and at most the budget
    for MobileNets.
  - *Breeding*: a gene that mutates is drawn anew and may stay as it was; there it always changes. The two parents of a
    crossover may be the same; there they differ. Up to 20,000 draws are made to find the mutations or the crossovers of
    an iteration; there both stop after 250 and random candidates fill the rest.
  - *Recalibration*: batch norm's statistics are the plain means over 8 batches of 128 images as they are; there moving
    averages over 100 batches of 1,000 augmented images.
  - *Training of the PruningNet*: the suite's recipe, which is SGD with Nesterov momentum and a cosine schedule, weight
    decay 5e-4 and no label smoothing unless the suite says otherwise; there SGD without Nesterov, weight decay from 0
    to 1e-4, label smoothing 0.1 and a linear or stepwise schedule.
- **Checked against**: cropped weights against full ones; an optimum found by enumeration; statistics computed directly.
  No number of the paper is reproduced: its experiments are on ImageNet.
"""

    def artefacts(self, job: Job) -> list[ArtefactSpec]:
        """Return the specification of the one PruningNet, which does not depend on how long the winner is trained."""
        made = {"method_version": self.version, "warmup_epochs": 1.0}
        return [ArtefactSpec.of(job, KIND, "target", self.options.epochs, **made)]

    def prepare(self, spec: ArtefactSpec, task: Task, artefacts: Mapping[str, Artefact], context: Context) -> Artefact:
        """Train a PruningNet on the target; the artefact's tensors are its state dict."""
        from .pruning_net import train_pruning_net

        return train_pruning_net(spec, task, context)

    def plan(
        self, network: nn.Module, task: Task, budget: Budget, artefacts: Mapping[str, Artefact], context: Context
    ) -> Plan:
        """Return the winning shape, scaled to fill the budget, with fresh weights."""
        from .search import search_plan

        keep, notes = search_plan(self.options, network, task, budget, artefacts[KIND], context)
        return Plan(keep, Weights.FRESH, notes)
