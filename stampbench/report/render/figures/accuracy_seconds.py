"""A figure of accuracy against all seconds on the target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stampbench.report.render.figures.drawing import Sketch, axes_of, interval, plain_ticks
from stampbench.report.render.figures.view import View
from stampbench.report.words import fraction


def draw_accuracy_seconds(view: View) -> Iterator[Sketch]:
    """Draw accuracy against all seconds on the target, one point per row and budget of the table."""
    view = view.own_schedule
    if view.jobs["total_s"].notna().sum() == 0:
        return
    drawing, axes = axes_of(view.title, "pretrain + prune + train on the target, s", "top-1 accuracy on test images, %")
    several = view.pruned["keep"].nunique() > 1
    for style, row in view.rows(view.jobs):
        label = style.label
        for keep, group in row.groupby("keep", sort=False):
            mean, half = interval(group["top1"])
            seconds = group["total_s"].mean()
            look: dict[str, Any] = {"fmt": style.marker, "color": style.colour, "capsize": 2}
            axes.errorbar([seconds], [mean], yerr=[half], label=label, **look)
            if several:
                share = fraction(float(str(keep)))
                axes.annotate(share, (seconds, mean), (4, 4), textcoords="offset points", fontsize=7)
            label = "_nolegend_"
    axes.set_xscale("log")
    plain_ticks(axes.xaxis)
    yield Sketch(
        drawing,
        view.scope.name("accuracy-seconds", view.name),
        f"{view.title}: accuracy against all the seconds that a target takes"
        f"{f'; the share of {view.resource_label} kept stands beside each point' if several else ''}; bars are 95 % "
        f"intervals of the mean over seeds. {view.scope.setting}.",
    )
