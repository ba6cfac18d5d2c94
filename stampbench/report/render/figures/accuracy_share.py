"""A figure of accuracy against the share kept."""

from __future__ import annotations

from collections.abc import Iterator

from stampbench.report.frames import MEASURES
from stampbench.report.render.figures.drawing import Sketch, axes_of, interval, level, line
from stampbench.report.render.figures.view import View
from stampbench.report.words import fraction
from stampbench.statistics import LEAST_FOR_INTERVAL


def draw_accuracy_share(view: View) -> Iterator[Sketch]:
    """Draw accuracy against the share kept, with the dense networks as level lines, if there are two budgets."""
    view = view.own_schedule
    shares = sorted(view.pruned["keep"].unique())
    if len(shares) < 2:
        return
    label = view.resource_label
    drawing, axes = axes_of(view.title, f"share of {label} kept", "top-1 accuracy on test images, %")
    # The share that was really kept is drawn where it is measured: a plan may keep less than its budget.
    share = view.resource if view.resource in MEASURES else "keep"
    for style, row in view.rows(view.pruned):
        line(axes, [(group[share].mean(), *interval(group["top1"])) for _, group in row.groupby("keep")], style)
    for style, row in view.rows(view.whole):
        level(axes, interval(row["top1"])[0], color=style.colour, linestyle=style.line, label=style.label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(shares, [fraction(keep) for keep in shares])
    yield Sketch(
        drawing,
        view.scope.name(f"accuracy-{view.resource}", view.name),
        f"{view.title}: accuracy against the share of {label} kept; bars are 95 % intervals of the mean over seeds "
        f"(with at least {LEAST_FOR_INTERVAL} seeds), level lines are the dense networks. {view.scope.setting}.",
    )
