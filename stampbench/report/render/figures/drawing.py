"""The axes, lines and files that all figures share."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from stampbench.statistics import LEAST_FOR_INTERVAL, student

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure as Drawing
    from matplotlib.layout_engine import LayoutEngine

SIZE = (6.0, 5.6)
# Figures for papers, as wide as both columns of a page and as one: inches, and columns of the legend. The wide one
# comes first, as type is only made smaller.
PAPER = {"2-columns": (6.9, 2), "1-column": (3.3, 1)}
# The share of a drawing's height that its panels take, and the height of a legend's line in sizes of its type.
PANELS, LINE_HEIGHT, POINTS_PER_INCH = 0.8, 1.45, 72
# The legend of more rows is set in smaller type, because names that list options are long.
MANY_ROWS = 12
SMALL, VERY_SMALL = 0.83, 0.69


@dataclass(frozen=True)
class Figure:
    """A drawn figure; its name serves as file name, and its caption says what it shows.

    `pdfs` holds it as PDF at each of the widths in `PAPER`.
    """

    name: str
    caption: str
    svg: bytes
    png: bytes
    pdfs: Mapping[str, bytes]


@dataclass(frozen=True)
class Sketch:
    """A figure before it is laid out and saved."""

    drawing: Drawing
    name: str
    caption: str


@dataclass(frozen=True)
class Style:
    """The look of one row of the table in every figure of a section."""

    label: str
    colour: str
    marker: str
    line: str


def interval(top1: pd.Series[float]) -> tuple[float, float]:
    """Return the mean in percent and the half width of its 95 % interval, which is 0 if there are too few seeds."""
    values = [100 * float(value) for value in top1]
    half = student(values)[0] if len(values) >= LEAST_FOR_INTERVAL else 0.0
    return sum(values) / len(values), half


def line(axes: Axes, points: Sequence[tuple[float, float, float]], style: Style) -> None:
    """Draw the points (x, mean, half width of the interval) and a line through them."""
    x, means, halves = zip(*points, strict=True)
    look: dict[str, Any] = {"color": style.colour, "marker": style.marker, "linestyle": style.line}
    axes.errorbar(x, means, yerr=halves, capsize=2, markersize=4, label=style.label, **look)


def level(axes: Axes, value: float, **look: Any) -> None:
    """Draw a level line with margins around it, as it could otherwise coincide with the frame."""
    axes.axhline(value, **look)
    axes.autoscale_view()


def plain_ticks(axis: Axis) -> None:
    """Write the ticks of a logarithmic axis as plain numbers: 1, 2, 5, 10, …"""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_formatter(NullFormatter())


def axes_of(title: str, x: str, y: str) -> tuple[Drawing, Axes]:
    """Return a drawing with one panel, and that panel; `x` and `y` are the labels of its axes."""
    drawing, (axes,) = panels_of(title, 1)
    axes.set(xlabel=x, ylabel=y)
    return drawing, axes


def panels_of(title: str, count: int) -> tuple[Drawing, list[Axes]]:
    """Return a drawing with `count` panels below each other, which share one horizontal axis, and these panels."""
    from matplotlib.figure import Figure as Drawing

    width, height = SIZE
    drawing = Drawing(figsize=(width, height + 2.2 * (count - 1)), layout="constrained")
    panels = drawing.subplots(count, sharex=True, squeeze=False)[:, 0]
    panels[0].set_title(title)
    for axes in panels:
        axes.grid(alpha=0.3)
    return drawing, list(panels)


def saved(sketch: Sketch) -> Figure:
    """Return the sketch as SVG, PNG and PDF, without dates or random identifiers: the same records give the same bytes.

    Text stays text in SVG and PDF.
    """
    import matplotlib

    drawing = sketch.drawing
    engine = drawing.get_layout_engine()
    assert engine is not None
    # The layout is computed once for both files; with an engine left, even an idle one, each file would be drawn twice.
    drawing.set_layout_engine(None)
    with matplotlib.rc_context({"svg.hashsalt": sketch.name, "svg.fonttype": "none", "pdf.fonttype": 42}):
        _lay_out(drawing, engine, columns=2)
        svg, png = _file(drawing, "svg", "Date", "Creator"), _file(drawing, "png", "Software")
        pdfs, height = {}, drawing.get_size_inches()[1]
        for name, (width, columns) in PAPER.items():
            drawing.set_size_inches(SIZE[0], height)
            _resize(drawing, width, columns)
            _lay_out(drawing, engine, columns)
            pdfs[name] = _file(drawing, "pdf", "CreationDate", "Creator", "Producer")
    return Figure(sketch.name, sketch.caption, svg, png, pdfs)


def _lay_out(drawing: Drawing, engine: LayoutEngine, columns: int) -> None:
    """Put one legend of all panels below them, in place of an older one, and arrange everything."""
    while drawing.legends:
        drawing.legends[0].remove()
    named = _named(drawing)
    if named:
        drawing.legend(named.values(), named, fontsize=_legend_size(drawing), loc="outside lower center", ncols=columns)
    engine.execute(drawing)


def _named(drawing: Drawing) -> dict[str, Any]:
    """Return what the legend of all panels lists, by its label."""
    return {label: line for axes in drawing.axes for line, label in zip(*axes.get_legend_handles_labels(), strict=True)}


def _legend_size(drawing: Drawing) -> float:
    """Return the size of the legend's type, in points."""
    share = SMALL if len(_named(drawing)) <= MANY_ROWS else VERY_SMALL
    return share * float(drawing.axes[0].xaxis.label.get_fontsize())


def _resize(drawing: Drawing, width: float, columns: int) -> None:
    """Scale a drawing to a width in inches, with room for a legend; text and marks shrink, and never grow."""
    from matplotlib.lines import Line2D
    from matplotlib.text import Text

    before, height = drawing.get_size_inches()
    shrunk = min(1.0, (width / before) ** 0.5)
    for text in drawing.findobj(Text):
        text.set_fontsize(shrunk * float(text.get_fontsize()))
    for mark in drawing.findobj(Line2D):
        mark.set_markersize(shrunk * float(mark.get_markersize()))
    lines = math.ceil(len(_named(drawing)) / columns)
    legend = lines * LINE_HEIGHT * _legend_size(drawing) / POINTS_PER_INCH
    drawing.set_size_inches(width, PANELS * height * width / before + legend)


def _file(drawing: Drawing, kind: str, *unnamed: str) -> bytes:
    """Return the drawing as a file of that kind, without these entries of its metadata."""
    buffer = io.BytesIO()
    drawing.savefig(buffer, format=kind, dpi=150, metadata=dict.fromkeys(unnamed))
    return buffer.getvalue()
