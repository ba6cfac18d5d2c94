"""The evolutionary search over width ratios (Liu et al., arXiv 1903.10258, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from stampbench.contract import Artefact, Budget, BudgetError, Context, Task
from stampbench.data.augmentation import normalise, resize
from stampbench.pruning.allocate import allocate
from stampbench.pruning.cost import CostModel
from stampbench.pruning.groups import channel_groups
from stampbench.pruning.planner import SCORING_BATCH, ScoringBatches
from stampbench.pruning.resources.base import Pricing, limit_at

from .pruning_net import RATIOS, Generated, PruningNet, blank

if TYPE_CHECKING:
    from . import MetaPruningOptions

Genome = tuple[int, ...]
MOST_REJECTIONS = 20_000
# The paper evaluates 50 candidates at first, and 50 new ones in each of the 19 other iterations.
PAPER_EVALUATIONS = 50 + 19 * 50
PAPER_SEARCH = "50 candidates, 20 iterations; its PruningNet trains for a quarter of the usual epochs"


class Search:
    """An evolutionary search over genomes.

    A genome has one index into the ratios per group. `fitness` is evaluated once per genome; higher is better.
    """

    def __init__(
        self,
        options: MetaPruningOptions,
        genes: int,
        feasible: Callable[[Genome], bool],
        fitness: Callable[[Genome], float],
        stream: torch.Generator,
    ) -> None:
        self.options, self.genes, self.feasible, self.fitness = options, genes, feasible, fitness
        self.evaluated: dict[Genome, float] = {}
        self._stream = stream

    def run(self) -> Genome:
        """Return the best genome found. Raise `BudgetError` if no feasible genome can be drawn."""
        options = self.options
        candidates = self._fill([])
        for iteration in range(options.iterations):
            for genome in candidates:
                if genome not in self.evaluated:
                    self.evaluated[genome] = self.fitness(genome)
            if iteration + 1 < options.iterations:
                parents = self.best(options.parents)
                bred = self._attempts(options.mutations, lambda parents=parents: self._mutated(parents))  # type: ignore[misc]
                bred += self._attempts(options.crossovers, lambda parents=parents: self._crossed(parents))  # type: ignore[misc]
                candidates = self._fill(bred)
        return self.best(1)[0]

    def best(self, count: int) -> list[Genome]:
        """Return the fittest genomes so far, the best first; of equals, the earlier comes first."""
        return sorted(self.evaluated, key=lambda genome: -self.evaluated[genome])[:count]

    def _fill(self, candidates: list[Genome]) -> list[Genome]:
        """Return the candidates with random genomes added until the population is full."""
        missing = self.options.population - len(candidates)
        drawn = self._attempts(missing, self._random)
        if not candidates and not drawn:
            raise BudgetError("no shape was found in the window below the budget: widen `window`, or raise the budget")
        return candidates + drawn

    def _attempts(self, count: int, draw: Callable[[], Genome]) -> list[Genome]:
        """Return `count` new feasible genomes, drawn by rejection, or fewer if too many draws are rejected."""
        found: list[Genome] = []
        for _ in range(MOST_REJECTIONS):
            if len(found) >= count:
                break
            genome = draw()
            if genome not in self.evaluated and genome not in found and self.feasible(genome):
                found.append(genome)
        return found

    def _integers(self, high: int, count: int) -> list[int]:
        return torch.randint(high, (count,), generator=self._stream).tolist()

    def _chances(self, probability: float) -> list[bool]:
        return (torch.rand(self.genes, generator=self._stream) < probability).tolist()

    def _random(self) -> Genome:
        bound = self._integers(len(RATIOS), 1)[0]
        return tuple(self._integers(bound + 1, self.genes))

    def _mutated(self, parents: list[Genome]) -> Genome:
        parent = parents[self._integers(len(parents), 1)[0]]
        fresh = self._integers(len(RATIOS), self.genes)
        chosen = self._chances(self.options.mutation_rate)
        return tuple(new if changed else old for old, new, changed in zip(parent, fresh, chosen, strict=True))

    def _crossed(self, parents: list[Genome]) -> Genome:
        first, second = (parents[index] for index in self._integers(len(parents), 2))
        return tuple(a if left else b for a, b, left in zip(first, second, self._chances(0.5), strict=True))


def search_plan(
    options: MetaPruningOptions, network: nn.Module, task: Task, budget: Budget, made: Artefact, context: Context
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the channels to keep, and notes: evaluations, seconds for each, the winner's ratios and fitness."""
    groups = channel_groups(network, task.input_size)
    pricing = context.resource.pricing(CostModel.of(network, groups, task.input_size))
    names, limit = list(pricing.widths), limit_at(budget.keep, pricing)
    pruning_net = blank(made.notes["network"], task.classes, made.notes["width"], task.input_size)
    pruning_net.load_state_dict(dict(made.tensors))
    pruning_net.to(context.device).eval()

    def ratios(genome: Genome) -> dict[str, float]:
        return {name: RATIOS[gene] for name, gene in zip(names, genome, strict=True)}

    def feasible(genome: Genome) -> bool:
        return (1 - options.window) * limit <= pricing.cost(pruning_net.widths(ratios(genome))) <= limit

    evaluate_shape = fitness_on_validation(pruning_net, made.notes["network"], task, options.recalibration, context)
    search = Search(
        options,
        len(names),
        feasible,
        lambda genome: evaluate_shape(ratios(genome)),
        context.generator("search"),
    )
    start = context.now()
    with context.phase("prune/search"):
        winner = search.run()
    seconds = context.now() - start
    allocation = allocate(profile(pricing, ratios(winner)), pricing, limit, context.round_to, context.floor)
    notes = {
        "evaluations": len(search.evaluated),
        "evaluation_s": seconds / len(search.evaluated),
        "ratios": ratios(winner),
        "fitness": search.evaluated[winner],
        "floored": allocation.floored,
        "paper_evaluations": PAPER_EVALUATIONS,
        "paper_search": PAPER_SEARCH,
    }
    return allocation.keep, notes


def profile(pricing: Pricing, ratios: dict[str, float]) -> dict[str, Tensor]:
    """Return scores that keep leading channels of every group in proportion to its ratio, whatever the budget."""
    return {
        name: -torch.arange(1, width + 1, dtype=torch.float64) / (ratios[name] * width)
        for name, width in pricing.widths.items()
    }


def fitness_on_validation(
    pruning_net: PruningNet, name: str, task: Task, recalibration: int, context: Context
) -> Callable[[dict[str, float]], float]:
    """Return a function from ratios to top-1 on the validation images, in float32, after batch norm is recalibrated.

    Recalibration is on the first `recalibration` training batches.
    """
    calibration = [images for images, _ in ScoringBatches(task, context)][:recalibration]
    held_out = [
        (normalise(resize(images, task.input_size), task.mean, task.std), labels)
        for images, labels in zip(
            task.validation.images.split(SCORING_BATCH), task.validation.labels.split(SCORING_BATCH), strict=True
        )
    ]

    @torch.no_grad()
    def fitness(ratios: dict[str, float]) -> float:
        network = Generated(name, task.classes, pruning_net.widths(ratios), pruning_net(ratios))
        network.recalibrate(calibration)
        hits = sum(int((network(images).argmax(1) == labels).sum()) for images, labels in held_out)
        return hits / max(1, sum(len(labels) for _, labels in held_out))

    return fitness
