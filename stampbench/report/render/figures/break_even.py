"""A figure of all seconds, those on the reference side included, against the number of targets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from stampbench.report.render.figures.drawing import Sketch, axes_of, plain_ticks
from stampbench.report.render.figures.view import View
from stampbench.report.words import fraction


def draw_break_even(view: View) -> Iterator[Sketch]:
    """Draw the seconds that 1 to 1024 targets take, at the share that the suite compares methods at."""
    view, share = view.own_schedule, view.data.compared_keep
    if share is None:
        return
    compared = view.jobs[view.jobs["keep"] == share].dropna(subset=["total_s", "reference_s"])
    if not (compared["own_reference_s"] > 0).any():
        return
    drawing, axes = axes_of(view.title, "targets", "all seconds, reference side included")
    targets = [2**power for power in range(11)]
    for style, row in view.rows(compared):
        reference, total = row["reference_s"].mean(), row["total_s"].mean()
        look: dict[str, Any] = {"color": style.colour, "linestyle": style.line, "marker": style.marker, "markersize": 3}
        axes.plot(targets, [reference + n * total for n in targets], label=style.label, **look)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    plain_ticks(axes.yaxis)
    axes.set_xticks(targets, [str(n) for n in targets])
    yield Sketch(
        drawing,
        view.scope.name("break-even", view.name),
        f"{view.title}: seconds in all against the number of targets, the reference network and all meta-training "
        f"included, at {fraction(share)} of the {view.resource_label}; accuracies differ. {view.scope.setting}.",
    )
