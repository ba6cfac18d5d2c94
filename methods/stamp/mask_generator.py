"""The mask generator maps the set code, a group's statistics over the set and the budget to a logit per channel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from stampbench.pruning.groups import Group, module_key

from .set_encoder import SetEncoder
from .set_statistics import L1_NORM, STATISTICS, SetView, standardise

# A function from a share of the resource to what is read of its prices, (groups,); see `prices.price_shares`.
Prices = Callable[[float], Tensor]
CODE = 64
HIDDEN = 64


@dataclass(frozen=True)
class Logits:
    """The output of a generator.

    `scores` (width,) of each group, of mean 0 and deviation 1, order its channels. `offsets` (groups,), in [-1, 1], set
    the widths of the groups against each other.
    """

    scores: Mapping[str, Tensor]
    offsets: Tensor

    def sum(self) -> dict[str, Tensor]:
        """Return a logit per channel, (width,) for every group, through which no gradient reaches the offsets.

        A batch norm takes out any factor common to its channels, so the gradients of the loss in a group's gates add up
        to zero: they order the channels and are blind to the width.
        """
        fixed = self.offsets.detach()
        return {name: score + fixed[index] for index, (name, score) in enumerate(self.scores.items())}


class ChannelLogits(nn.Module):
    """The network that computes the scores and the offset of one group.

    No parameter belongs to a channel: only their statistics tell channels apart. Before training, it ranks by the L1
    norms of the filters and treats all groups alike. Bounded offsets keep every group alive: with half of all channels
    kept, a group keeps between about a sixth and five sixths of its own.
    """

    def __init__(self, priced: bool) -> None:
        super().__init__()
        self.conditions = nn.Linear(CODE + 2 + len(STATISTICS) + priced, HIDDEN)
        self.channel = nn.Linear(len(STATISTICS), HIDDEN, bias=False)
        self.score = nn.Linear(HIDDEN, 1, bias=False)
        self.direct = nn.Linear(len(STATISTICS), 1, bias=False)
        self.offset = nn.Linear(HIDDEN, 1)

    def forward(self, statistics: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Return scores (width,) and an offset (1,) from statistics (width, 7) and conditions.

        Conditions are the code (64,), two numbers of the budget, seven levels and, if priced, the group's price.
        """
        conditioned = self.conditions(conditions)
        score = self.direct(statistics) + self.score(torch.relu(self.channel(statistics) + conditioned))
        return standardise(score[:, 0]), torch.tanh(self.offset(torch.relu(conditioned)))


class MaskGenerator(nn.Module):
    """The generator of masks for one network's groups, which serves all budgets and sets.

    One that is `priced` also reads what the channels of every group cost, and so serves all resources.
    """

    def __init__(self, groups: Sequence[Group], features: int, priced: bool = False) -> None:
        super().__init__()
        self.priced = priced
        self.encoder = SetEncoder(features, CODE)
        self.logits = nn.ModuleDict({module_key(group.name): ChannelLogits(priced) for group in groups})

    def initialise(self, stream: torch.Generator) -> None:
        """Draw weights as `initialise` does."""
        initialise(self, stream)

    def forward(self, view: SetView, keep: float, prices: Prices) -> Logits:
        """Return the logits of every group for a share of the resource in (0, 1]; only a priced one asks for prices."""
        code = self.encoder(view.features, view.labels)
        budget = torch.tensor([math.log(keep), math.log(len(view.labels.unique()))]).to(code)
        read = prices(keep).to(code).split(1) if self.priced else [code[:0]] * len(view.levels)
        found = {
            name: self.logits[module_key(name)](statistics, torch.cat([code, budget, view.levels[name], price]))
            for (name, statistics), price in zip(view.statistics.items(), read, strict=True)
        }
        return _gathered(found)


class StaticGenerator(nn.Module):
    """The ablation without set inputs: logits from learned statistics, a learned code and the budget alone."""

    def __init__(self, groups: Sequence[Group]) -> None:
        super().__init__()
        self.logits = nn.ModuleDict({module_key(group.name): ChannelLogits(priced=False) for group in groups})
        self.statistics = nn.ParameterDict(
            {module_key(group.name): nn.Parameter(torch.empty(group.width, len(STATISTICS))) for group in groups}
        )
        self.code = nn.Parameter(torch.empty(CODE))

    def initialise(self, stream: torch.Generator) -> None:
        """Draw weights as `initialise` does, and learned statistics and code from a standard normal."""
        initialise(self, stream)
        for parameter in [*self.statistics.values(), self.code]:
            nn.init.normal_(parameter, generator=stream)

    def forward(self, view: SetView, keep: float, prices: Prices) -> Logits:
        """Return the logits of every group; only the names of the groups are read from the view, and no price."""
        budget = torch.tensor([math.log(keep), 0.0]).to(self.code)
        conditions = torch.cat([self.code, budget, torch.zeros_like(next(iter(view.levels.values())))])
        found = {
            name: self.logits[module_key(name)](self.statistics[module_key(name)], conditions)
            for name in view.statistics
        }
        return _gathered(found)


def initialise(generator: nn.Module, stream: torch.Generator) -> None:
    """Draw weights by Glorot's uniform rule, and start at zero those that would tell channels or groups apart."""
    for parameter in generator.parameters():
        if parameter.dim() > 1:
            bound = math.sqrt(6 / sum(parameter.shape[-2:]))
            nn.init.uniform_(parameter, -bound, bound, generator=stream)
        else:
            nn.init.zeros_(parameter)
    for module in generator.modules():
        if isinstance(module, nn.LayerNorm):
            nn.init.ones_(module.weight)
        if isinstance(module, ChannelLogits):
            nn.init.zeros_(module.score.weight)
            nn.init.zeros_(module.offset.weight)
            with torch.no_grad():
                module.direct.weight.zero_()[0, L1_NORM] = 1


def mean_logits(generator: nn.Module, views: Sequence[SetView], keep: float, prices: Prices) -> dict[str, Tensor]:
    """Return the logits averaged over several sets of one target, as a single draw of a set leaves much to chance."""
    found: list[dict[str, Tensor]] = [generator(view, keep, prices).sum() for view in views]
    return {name: torch.stack([logits[name] for logits in found]).mean(0) for name in found[0]}


def _gathered(found: Mapping[str, tuple[Tensor, Tensor]]) -> Logits:
    return Logits(
        {name: scores for name, (scores, _) in found.items()}, torch.cat([offset for _, offset in found.values()])
    )
