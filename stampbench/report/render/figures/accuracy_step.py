"""A figure of accuracy against the measured time of a step, for budgets of time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stampbench.report.render.figures.drawing import Sketch, axes_of, interval
from stampbench.report.render.figures.view import View
from stampbench.report.words import fraction


def draw_accuracy_step(view: View) -> Iterator[Sketch]:
    """Draw accuracy against the measured share of the dense network's time, one point per row and budget."""
    view = view.own_schedule
    timed = view.pruned[view.pruned["measured_share"].notna()]
    if timed.empty:
        return
    label = view.resource_label
    drawing, axes = axes_of(view.title, f"measured share of the dense network's {label}", "top-1 on test images, %")
    for style, row in view.rows(timed):
        budgets = list(row.groupby("keep", sort=True))
        points = [(group["measured_share"].mean(), *interval(group["top1"])) for _, group in budgets]
        shares, means, halves = zip(*points, strict=True)
        look: dict[str, Any] = {"marker": style.marker, "color": style.colour, "linestyle": style.line, "capsize": 2}
        axes.errorbar(shares, means, yerr=halves, label=style.label, **look)
    for keep in timed["keep"].unique():
        axes.axvline(float(keep), color="#cccccc", linewidth=0.8, zorder=0)
    budgets_in_words = ", ".join(fraction(float(keep)) for keep in sorted(timed["keep"].unique(), reverse=True))
    yield Sketch(
        drawing,
        view.scope.name("accuracy-step", view.name),
        f"{view.title}: accuracy against the measured {label}, as a share of the dense network's; grey lines are the "
        f"budgets, {budgets_in_words}; bars are 95 % intervals of the mean over seeds. {view.scope.setting}.",
    )
