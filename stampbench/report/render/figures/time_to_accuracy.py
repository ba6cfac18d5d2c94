"""A figure of accuracy against all seconds on the target, schedule by schedule."""

from __future__ import annotations

from collections.abc import Iterator

from stampbench.report.render.figures.drawing import Sketch, axes_of, interval, level, line, plain_ticks
from stampbench.report.render.figures.view import View
from stampbench.report.words import fraction


def draw_time_to_accuracy(view: View) -> Iterator[Sketch]:
    """Draw accuracy against all seconds at the share that the suite compares methods at, if there are two schedules."""
    share = view.data.compared_keep
    if share is None or view.jobs["epochs"].nunique() < 2:
        return
    drawing, axes = axes_of(view.title, "pretrain + prune + train on the target, s", "top-1 accuracy on test images, %")
    compared = view.jobs[view.jobs["keep"].isin([share, 1.0])]
    for style, row in view.rows(compared):
        points = [(group["total_s"].mean(), *interval(group["top1"])) for _, group in row.groupby("epochs")]
        line(axes, points, style)
    if (goal := view.accuracy_to_reach) is not None:
        level(axes, 100 * goal, color="#444444", linewidth=0.8, label="accuracy to reach")
    axes.set_xscale("log")
    plain_ticks(axes.xaxis)
    yield Sketch(
        drawing,
        view.scope.name("time-to-accuracy", view.name),
        f"{view.title}: accuracy after schedules of {view.scope.conditions} against all their seconds on the target, "
        f"at {fraction(share)} of the {view.resource_label}; bars are 95 % intervals of the mean over seeds.",
    )
