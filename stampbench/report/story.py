"""The question that a section answers, in one sentence."""

from __future__ import annotations

from stampbench.report.data import Data
from stampbench.report.scope import distinct
from stampbench.report.words import network_label, share_in_words


def question(data: Data) -> str:
    """Return what was compared: how many rows, on which targets and networks, at which budgets, from how many seeds."""
    cells = data.cells
    rows = cells[["variant", "start"]].drop_duplicates()
    networks = (network_label(network, width) for network, width in cells[["network", "width"]].itertuples(index=False))
    pruned = cells[cells["keep"] < 1][["keep", "resource"]].drop_duplicates()
    budgets = [share_in_words(keep, resource) for keep, resource in pruned.itertuples(index=False)]
    seeds = data.frame["seed"].nunique()
    return (
        f"Which of {len(rows)} ways to a network, each a method and the weights that it starts from, is most accurate "
        f"on {distinct(cells['target'])} with {distinct(networks)}, at {', '.join(budgets) or 'all of the MACs'}? "
        f"All are trained alike, with the same images, from the same {seeds} seeds: {data.scope.setting}."
    )
