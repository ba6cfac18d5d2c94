"""What a section found, in a sentence computed from its records."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from stampbench.report.claims import Finding, Line
from stampbench.report.sections import Section
from stampbench.report.tables import accuracy

NOTHING = "Nothing of this suite has been run yet."


def headline(sections: Sequence[Section]) -> str:
    """The first claim that was tested; without claims, the highest mean accuracy at the budget with most seeds."""
    for section in sections:
        if section.data is None:
            continue
        for finding in section.data.findings:
            if finding and any(line.comparison.half_width is not None for line in finding.lines):
                return claim_in_words(finding)
        if (cells := section.data.cells)["top1"].notna().any():
            return highest_in_words(section.data.frame, cells)
    return NOTHING


def claim_in_words(finding: Finding) -> str:
    """How many comparisons went which way, and the closest rival."""
    known = [line for line in finding.lines if line.comparison.half_width is not None]
    closest = min(known, key=lambda line: line.comparison.mean or 0.0)
    count = "1 comparison" if len(finding.lines) == 1 else f"{len(finding.lines)} comparisons"
    tally = f"{count} of {finding.subject}, paired by seed and Holm-corrected: {finding.tally}"
    return f"{finding.title}. {tally}. The closest rival is {_against(closest)}."


def _against(line: Line) -> str:
    found = line.comparison
    target, network, width, _, keep = line.place
    return (
        f"{line.other} on {target}, {network} × {width:g} at {keep:g} of the MACs: {found.mean:+.2f} ± "
        f"{found.half_width:.2f} points (n = {found.n})"
    )


def highest_in_words(frame: pd.DataFrame, cells: pd.DataFrame) -> str:
    """The pruned row with the highest mean, at the place and budget with most finished seeds."""
    done = cells[cells["top1"].notna()]
    pruned = done[done["keep"] < 1] if (done["keep"] < 1).any() else done
    place = ["target", "network", "width", "kind", "keep", "epochs"]
    seeds = pruned.groupby(place, sort=False)["done"].sum()
    cell = pruned.set_index(place).loc[[seeds.idxmax()]].reset_index().sort_values("top1", kind="stable").iloc[-1]
    names = frame[frame["target"] == cell["target"]]["display_name"].dropna()
    kind = "MACs" if cell["kind"] == "macs" else "weights"
    return (
        f"On {names.iloc[0]} with {cell['network']} × {cell['width']:g} at {cell['keep']:g} of the {kind}, "
        f"{cell['variant']} ({cell['start']} weights) has the highest mean accuracy of what was pruned: "
        f"{accuracy(dict(cell), 'top1')} % (n = {cell['done']}; epochs: {cell['epochs']})."
    )
