"""All figures of a section, drawn from the same data as its tables.

Each figure is one file in this folder and one line below, in the list of figures that are drawn for every place or in
the list of those that are drawn once per section. Each method has one colour, also for colour-blind readers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from stampbench.report.data import Data
from stampbench.report.render.figures.accuracy_seconds import draw_accuracy_seconds
from stampbench.report.render.figures.accuracy_share import draw_accuracy_share
from stampbench.report.render.figures.accuracy_step import draw_accuracy_step
from stampbench.report.render.figures.break_even import draw_break_even
from stampbench.report.render.figures.drawing import Figure, Sketch, saved
from stampbench.report.render.figures.masks import draw_masks
from stampbench.report.render.figures.time_to_accuracy import draw_time_to_accuracy
from stampbench.report.render.figures.view import View, views
from stampbench.report.render.figures.widths import draw_widths

OF_A_PLACE: tuple[Callable[[View], Iterator[Sketch]], ...] = (
    draw_accuracy_share,
    draw_accuracy_seconds,
    draw_accuracy_step,
    draw_time_to_accuracy,
    draw_widths,
    draw_break_even,
)
OF_ALL_PLACES: tuple[Callable[[Data], Iterator[Sketch]], ...] = (draw_masks,)


def figures_of(data: Data) -> list[Figure]:
    """Return all figures that the data can fill, place by place. Every call draws them again."""
    import matplotlib

    at_places = (sketch for view in views(data) for draw in OF_A_PLACE for sketch in draw(view))
    overall = (sketch for draw in OF_ALL_PLACES for sketch in draw(data))
    # Names may hold dollar signs, which mean no formula.
    with matplotlib.rc_context({"text.parse_math": False}):
        return [saved(sketch) for sketches in (at_places, overall) for sketch in sketches]
