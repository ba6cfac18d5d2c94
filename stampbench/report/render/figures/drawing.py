"""The axes, lines and files that all figures share."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from stampbench.statistics import LEAST_FOR_INTERVAL, student

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

SIZE = (6.0, 5.6)
# The legend of more rows is set in smaller type, because names that list options are long.
MANY_ROWS = 12


@dataclass(frozen=True)
class Figure:
    """A drawn figure; its name serves as file name, and its caption says what it shows."""

    name: str
    caption: str
    svg: bytes
    png: bytes


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


def plain_ticks(axes: Axes) -> None:
    """Write the ticks of a logarithmic horizontal axis as plain numbers: 1, 2, 5, 10, …"""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


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
    """Return the sketch as SVG and PNG, without dates or random identifiers: the same records give the same bytes."""
    import matplotlib

    drawing, files = sketch.drawing, {}
    named = {
        label: line for axes in drawing.axes for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if named:
        size = "small" if len(named) <= MANY_ROWS else "x-small"
        drawing.legend(named.values(), named, fontsize=size, loc="outside lower center", ncols=2)
    # The layout is computed once for both files; with an engine left, even an idle one, each file would be drawn twice.
    engine = drawing.get_layout_engine()
    assert engine is not None
    engine.execute(drawing)
    drawing.set_layout_engine(None)
    with matplotlib.rc_context({"svg.hashsalt": sketch.name, "svg.fonttype": "path"}):
        for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
            buffer = io.BytesIO()
            drawing.savefig(buffer, format=kind, dpi=150, metadata=metadata)
            files[kind] = buffer.getvalue()
    return Figure(sketch.name, sketch.caption, files["svg"], files["png"])
