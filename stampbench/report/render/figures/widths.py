"""A figure of the channels left in every group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from stampbench.record import Record
from stampbench.report.render.figures.drawing import Sketch, panels_of
from stampbench.report.render.figures.view import View
from stampbench.report.words import fraction


def draw_widths(view: View) -> Iterator[Sketch]:
    """Draw the mean width of every group in each row, and in the dense network if it was run, one panel per budget."""
    view = view.own_schedule
    budgets = list(view.pruned.groupby("keep"))[::-1]
    if not budgets:
        return
    found = group_widths({key: view.data.records[key] for key in view.jobs["key"]})
    drawing, panels = panels_of(view.title, len(budgets))
    for axes, (keep, budget) in zip(panels, budgets, strict=True):
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylabel(f"channels at {fraction(float(str(keep)))} of the {view.resource_label}")
        for style, row in view.rows(pd.concat([view.whole, budget])):
            mean = found.loc[row["key"]].mean()
            look: dict[str, Any] = {"color": style.colour, "marker": style.marker, "linestyle": style.line}
            axes.plot(range(len(mean)), mean.to_numpy(), markersize=3, label=style.label, **look)
    panels[-1].set_xlabel("channel group")
    groups = [str(group).removeprefix("features.") for group in found.columns]
    panels[-1].set_xticks(range(len(groups)), groups, rotation=90)
    yield Sketch(
        drawing,
        view.scope.name("widths", view.name),
        f"{view.title}: channels left in every group, mean over seeds; where rows have equal widths, only the "
        f"last one is visible. {view.scope.setting}.",
    )


def group_widths(records: Mapping[str, Record]) -> pd.DataFrame:
    """Return the channels left in every group, one row per record."""
    return pd.DataFrame.from_dict({key: r.cost.widths for key, r in records.items() if r.cost}, orient="index")
