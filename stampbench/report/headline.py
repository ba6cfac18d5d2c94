"""The headline of a page: one sentence, computed from the records, that says what was found."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from stampbench.report.claims import JudgedClaim, Line
from stampbench.report.frames import BUDGET, PLACE, accuracies_by_seed
from stampbench.report.sections import Section
from stampbench.report.words import accuracy, network_label, share_in_words
from stampbench.statistics import compare

NOTHING = "Nothing of this suite has been run yet."


def headline(sections: Sequence[Section]) -> str:
    """Return the outcome of the first claim that was tested or, without claims, the highest mean accuracy."""
    for section in sections:
        if section.data is None:
            continue
        for claim in section.data.claims:
            if any(line.comparison.half_width is not None for line in claim.lines):
                return claim_in_words(claim)
        if (cells := section.data.cells)["top1"].notna().any():
            return highest_in_words(section.data.frame, cells)
    return NOTHING


def claim_in_words(claim: JudgedClaim) -> str:
    """Return how many comparisons had which verdict, and the row that came closest to the subject."""
    known = [line for line in claim.lines if line.comparison.half_width is not None]
    closest = min(known, key=lambda line: line.comparison.mean or 0.0)
    count = "1 comparison" if len(claim.lines) == 1 else f"{len(claim.lines)} comparisons"
    tally = f"{count} of {claim.subject} with others, paired by seed and Holm-corrected: {claim.tally}"
    word = claim.verdicts[claim.lines.index(closest)]
    return f"{claim.title}. {tally}. The closest rival is {_against(closest)}: {word}."


def _against(line: Line) -> str:
    found, match = line.comparison, line.match
    place = f"{match.target}, {network_label(match.network, match.width)}"
    return (
        f"{line.other} on {place} at {share_in_words(match.keep, match.resource)}: {found.mean:+.2f} ± "
        f"{found.half_width:.2f} points (n = {found.n})"
    )


def highest_in_words(frame: pd.DataFrame, cells: pd.DataFrame) -> str:
    """Return the pruned row with the highest mean accuracy, at the place and budget with most finished seeds."""
    done = cells[cells["top1"].notna()]
    pruned = done[done["keep"] < 1] if (done["keep"] < 1).any() else done
    place = [*PLACE, *BUDGET, "epochs"]
    seeds = pruned.groupby(place, sort=False)["done"].sum()
    there = pruned.set_index(place).loc[[seeds.idxmax()]].reset_index().sort_values("top1", kind="stable")
    cell = there.iloc[-1]
    names = frame[frame["target"] == cell["target"]]["display_name"].dropna()
    network, share = network_label(cell["network"], cell["width"]), share_in_words(cell["keep"], cell["resource"])
    return (
        f"On {names.iloc[0]} with {network} at {share}, "
        f"{cell['variant']} ({cell['start']} weights) has the highest mean accuracy among the pruned networks: "
        f"{accuracy(dict(cell), 'top1')} % (n = {cell['done']}; epochs: {cell['epochs']}). "
        + _lead(cell, there.iloc[-2] if len(there) > 1 else None, frame)
    ).rstrip()


def _lead(best: pd.Series, second: pd.Series | None, frame: pd.DataFrame) -> str:
    """Return how far the best is ahead of the runner-up, seed by seed, and whether that may be chance."""
    if second is None:
        return ""
    accuracies = [accuracies_by_seed(frame[frame["key"].isin(cell["keys"])]) for cell in (best, second)]
    found = compare(*accuracies)
    rival = f"the runner-up, {second['variant']} ({second['start']} weights)"
    if found.mean is None:
        return f"It has no seed in common with {rival}."
    if found.half_width is None:
        seeds = f"{found.n} common {'seed is' if found.n == 1 else 'seeds are'}"
        return f"It is {found.mean:+.2f} points from {rival}; {seeds} too few to tell that from chance."
    within = "within" if abs(found.mean) <= found.half_width else "beyond"
    return f"It is {found.mean:+.2f} ± {found.half_width:.2f} points from {rival} (n = {found.n}), {within} chance."
