"""Figures of a suite, from the same frames as its tables: one colour a method everywhere, for colour-blind eyes too."""

from __future__ import annotations

import io
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from stampbench import registry
from stampbench.record import Record
from stampbench.report.cells import TABLE
from stampbench.report.equal import level_of
from stampbench.report.masks import comparable_groups, mean_distance, place_in_words
from stampbench.report.tables import Scope
from stampbench.statistics import LEAST_FOR_INTERVAL, student

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Drawing

# Okabe and Ito's palette, black first, and grey; in the registry's order of methods.
PALETTE = ("#000000", "#999999", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#8C564B", "#6A3D9A")
MARKERS = "osD^vP*X<>dph8"
LINES = {"random": ":", "reference": "-", "target": "--"}
SIZE = (6.0, 5.6)
# Of more rows the legend is set smaller: their names, told apart by options, are long.
MANY_ROWS = 12
ROW = ["method", "variant", "start"]


@dataclass(frozen=True)
class Figure:
    """A drawn figure: its name serves as file name, its caption says what is seen."""

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
    """How a row of the table looks in every figure of a section."""

    label: str
    colour: str
    marker: str
    line: str


def suite_figures(
    frame: pd.DataFrame, cells: pd.DataFrame, records: Mapping[str, Record], scope: Scope, epochs: int
) -> list[Figure]:
    """All figures that these jobs can fill, target by target; `frame` is a `job_frame`, `cells` its `cell_frame`.

    `epochs` is the suite's own schedule, at which methods are compared where there are several.
    """
    return [_saved(sketch) for sketch in _sketches(frame, cells, records, scope, epochs)]


def _sketches(
    frame: pd.DataFrame, cells: pd.DataFrame, records: Mapping[str, Record], scope: Scope, epochs: int
) -> Iterator[Sketch]:
    done = frame[(frame["status"] == "done") & (frame["granularity"] == "channel")]
    styles = _styles(done, records)
    for place, jobs in done.groupby(TABLE, sort=False):
        assert isinstance(place, tuple)
        view = _View(jobs, styles, scope, f"{jobs['display_name'].iloc[0]}, {place[1]} × {place[2]:g}", _slug(place))
        own = _View(jobs[jobs["epochs"] == epochs], styles, replace(scope, epochs=(epochs,)), view.title, view.name)
        there = cells[(cells[TABLE] == list(place)).all(axis=1)]
        yield from accuracy_against_macs(own)
        yield from accuracy_against_seconds(own)
        yield from time_to_accuracy(view, level_of(there, epochs))
        yield from kept_widths(own, records)
        yield from break_even(own)
    yield from mask_distances(frame, records, scope)


@dataclass(frozen=True)
class _View:
    """The finished jobs of one target and network, and how they are drawn."""

    jobs: pd.DataFrame
    styles: Mapping[Hashable, Style]
    scope: Scope
    title: str
    name: str

    def rows(self, jobs: pd.DataFrame) -> Iterator[tuple[Style, pd.DataFrame]]:
        """The rows of the table among these jobs, with their styles."""
        for row, group in jobs.groupby(ROW, sort=False):
            yield self.styles[row], group

    @property
    def pruned(self) -> pd.DataFrame:
        """The jobs that removed something."""
        return self.jobs[self.jobs["macs"] < 1]


def accuracy_against_macs(view: _View) -> Iterator[Sketch]:
    """Accuracy over the share of MACs kept, with the dense networks as level lines; needs two budgets."""
    shares = sorted(view.pruned["keep"].unique())
    if len(shares) < 2:
        return
    drawing, axes = _axes(view.title, "share of MACs kept", "top-1 accuracy on test images, %")
    for style, row in view.rows(view.pruned):
        points = [(group["macs"].mean(), *_interval(group["top1"])) for _, group in row.groupby("keep")]
        _line(axes, points, style)
    for style, row in view.rows(view.jobs[view.jobs["macs"] == 1]):
        _level(axes, _interval(row["top1"])[0], color=style.colour, linestyle=style.line, label=style.label)
    axes.set_xscale("log", base=2)
    axes.set_xticks(shares, [_fraction(share) for share in shares])
    yield Sketch(
        drawing,
        view.scope.name("accuracy-macs", view.name),
        f"{view.title}: accuracy against the share of MACs kept; bars are 95 % intervals of the mean over seeds (from "
        f"{LEAST_FOR_INTERVAL} seeds on), level lines the dense networks. {view.scope.setting}.",
    )


def accuracy_against_seconds(view: _View) -> Iterator[Sketch]:
    """Accuracy over all seconds on the target: one point a row and budget of the table."""
    if view.jobs["total_s"].notna().sum() == 0:
        return
    drawing, axes = _axes(view.title, "pretrain + prune + train on the target, s", "top-1 accuracy on test images, %")
    several = view.pruned["keep"].nunique() > 1
    for style, row in view.rows(view.jobs):
        label = style.label
        for keep, group in row.groupby("keep", sort=False):
            mean, half = _interval(group["top1"])
            seconds = group["total_s"].mean()
            look: dict[str, Any] = {"fmt": style.marker, "color": style.colour, "capsize": 2}
            axes.errorbar([seconds], [mean], yerr=[half], label=label, **look)
            if several:
                share = _fraction(float(str(keep)))
                axes.annotate(share, (seconds, mean), (4, 4), textcoords="offset points", fontsize=7)
            label = "_nolegend_"
    axes.set_xscale("log")
    _plain_ticks(axes)
    yield Sketch(
        drawing,
        view.scope.name("accuracy-seconds", view.name),
        f"{view.title}: accuracy against all the seconds that a target takes"
        f"{'; beside each point the share of MACs kept' if several else ''}; bars are 95 % intervals of the mean over "
        f"seeds. {view.scope.setting}.",
    )


def time_to_accuracy(view: _View, level: float | None) -> Iterator[Sketch]:
    """Accuracy over all seconds on the target, schedule by schedule; needs two schedules."""
    if view.jobs["epochs"].nunique() < 2:
        return
    drawing, axes = _axes(view.title, "pretrain + prune + train on the target, s", "top-1 accuracy on test images, %")
    compared = view.jobs[view.jobs["keep"].isin([0.25, 1.0])]
    for style, row in view.rows(compared):
        points = [(group["total_s"].mean(), *_interval(group["top1"])) for _, group in row.groupby("epochs")]
        _line(axes, points, style)
    if level is not None:
        _level(axes, 100 * level, color="#444444", linewidth=0.8, label="accuracy to reach")
    axes.set_xscale("log")
    _plain_ticks(axes)
    yield Sketch(
        drawing,
        view.scope.name("time-to-accuracy", view.name),
        f"{view.title}: accuracy after schedules of {view.scope.conditions} against all their seconds on the target, "
        "at 1/4 of the MACs; bars are 95 % intervals of the mean over seeds.",
    )


def kept_widths(view: _View, records: Mapping[str, Record]) -> Iterator[Sketch]:
    """Mean width of every channel group in each row and, where it was run, in the dense network; a panel a budget."""
    budgets = list(view.pruned.groupby("keep"))[::-1]
    if not budgets:
        return
    widths = group_widths({key: records[key] for key in view.jobs["key"]})
    drawing, panels = _panels(view.title, len(budgets))
    for axes, (keep, budget) in zip(panels, budgets, strict=True):
        axes.set_yscale("log", base=2)
        axes.yaxis.set_major_formatter("{x:g}")
        axes.set_ylabel(f"channels at {_fraction(float(str(keep)))} of the MACs")
        for style, row in view.rows(pd.concat([view.jobs[view.jobs["macs"] == 1], budget])):
            mean = widths.loc[row["key"]].mean()
            look: dict[str, Any] = {"color": style.colour, "marker": style.marker, "linestyle": style.line}
            axes.plot(range(len(mean)), mean.to_numpy(), markersize=3, label=style.label, **look)
    panels[-1].set_xlabel("channel group")
    groups = [str(group).removeprefix("features.") for group in widths.columns]
    panels[-1].set_xticks(range(len(groups)), groups, rotation=90)
    yield Sketch(
        drawing,
        view.scope.name("widths", view.name),
        f"{view.title}: channels left in every group, mean over seeds; of rows with equal widths the last is seen. "
        f"{view.scope.setting}.",
    )


def break_even(view: _View) -> Iterator[Sketch]:
    """All seconds, those on the reference side included, over the number of targets, at 1/4 of the MACs."""
    quarter = view.jobs[view.jobs["keep"] == 0.25].dropna(subset=["total_s", "reference_s"])
    if not (quarter["own_reference_s"] > 0).any():
        return
    drawing, axes = _axes(view.title, "targets", "all seconds, reference side included")
    targets = [2**power for power in range(11)]
    for style, row in view.rows(quarter):
        reference, total = row["reference_s"].mean(), row["total_s"].mean()
        look: dict[str, Any] = {"color": style.colour, "linestyle": style.line}
        axes.plot(targets, [reference + n * total for n in targets], label=style.label, **look)
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(targets, [str(n) for n in targets])
    yield Sketch(
        drawing,
        view.scope.name("break-even", view.name),
        f"{view.title}: seconds for so many targets, the reference network and all meta-training included, at 1/4 of "
        f"the MACs; accuracies differ. {view.scope.setting}.",
    )


def mask_distances(frame: pd.DataFrame, records: Mapping[str, Record], scope: Scope) -> Iterator[Sketch]:
    """A map of mean Jaccard distances between the masks of targets, for every row that left masks of several."""
    for place, found in comparable_groups(records, frame):
        targets = list(dict.fromkeys(record.job.target for record in found))
        if len(targets) < 2:
            continue
        where = f"{place['variant']}, {place_in_words(place, scope)}"
        drawing, axes = _axes(f"Masks of {where}", "", "")
        matrix = [[mean_distance(found, row, column) for column in targets] for row in targets]
        numbers = [[float("nan") if value is None else value for value in row] for row in matrix]
        axes.imshow(numbers, cmap="cividis_r", vmin=0)
        axes.grid(visible=False)
        axes.set_xticks(range(len(targets)), targets)
        axes.set_yticks(range(len(targets)), targets)
        top = max(value for row in matrix for value in row if value is not None)
        for i, row in enumerate(matrix):
            for j, value in enumerate(row):
                text = "–" if value is None else f"{value:.3f}"
                shade = "white" if value is not None and value > top / 2 else "black"
                axes.text(j, i, text, ha="center", va="center", color=shade)
        yield Sketch(
            drawing,
            scope.name("masks", where),
            f"Mean Jaccard distance between the masks of {where}; on the diagonal, draws of one target. "
            f"{scope.setting}.",
        )


def group_widths(records: Mapping[str, Record]) -> pd.DataFrame:
    """Channels left in every group, a row a record."""
    return pd.DataFrame.from_dict({key: r.cost.widths for key, r in records.items() if r.cost}, orient="index")


def colour_of(method: str) -> str:
    """The method's colour, the same in every figure: by its place in the registry."""
    names = list(registry.METHODS.targets())
    return PALETTE[names.index(method) % len(PALETTE)] if method in names else PALETTE[-1]


def _styles(frame: pd.DataFrame, records: Mapping[str, Record]) -> dict[Hashable, Style]:
    """Rows of one colour differ in their markers, starts in their lines."""
    styles: dict[Hashable, Style] = {}
    used: dict[str, int] = {}
    for row, group in frame.groupby(ROW, sort=False):
        assert isinstance(row, tuple)
        method, variant, start = map(str, row)
        # A control that prunes by another method's mask has that method's colour.
        lent = records[group["key"].iloc[0]].job.options.get("mask", method)
        index = used[lent] = used.get(lent, -1) + 1
        styles[row] = Style(f"{variant} ({start})", colour_of(lent), MARKERS[index % len(MARKERS)], LINES[start])
    return styles


def _interval(top1: pd.Series[float]) -> tuple[float, float]:
    """Mean in percent and the half width of its 95 % interval; 0 where there are too few seeds."""
    values = [100 * float(value) for value in top1]
    half = student(values)[0] if len(values) >= LEAST_FOR_INTERVAL else 0.0
    return sum(values) / len(values), half


def _line(axes: Axes, points: Sequence[tuple[float, float, float]], style: Style) -> None:
    x, means, halves = zip(*points, strict=True)
    look: dict[str, Any] = {"color": style.colour, "marker": style.marker, "linestyle": style.line}
    axes.errorbar(x, means, yerr=halves, capsize=2, markersize=4, label=style.label, **look)


def _level(axes: Axes, value: float, **look: Any) -> None:
    """A level line, with margins around it: by itself it may come to lie on the frame."""
    axes.axhline(value, **look)
    axes.autoscale_view()


def _fraction(share: float) -> str:
    return "1" if share == 1 else f"1/{1 / share:g}"


def _slug(place: tuple[object, ...]) -> str:
    return f"{place[0]}-{place[1]}-{place[2]:g}"


def _plain_ticks(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _axes(title: str, x: str, y: str) -> tuple[Drawing, Axes]:
    drawing, (axes,) = _panels(title, 1)
    axes.set(xlabel=x, ylabel=y)
    return drawing, axes


def _panels(title: str, count: int) -> tuple[Drawing, list[Axes]]:
    """So many below each other, of one horizontal axis."""
    from matplotlib.figure import Figure as Drawing

    width, height = SIZE
    drawing = Drawing(figsize=(width, height + 2.2 * (count - 1)), layout="constrained")
    panels = drawing.subplots(count, sharex=True, squeeze=False)[:, 0]
    panels[0].set_title(title)
    for axes in panels:
        axes.grid(alpha=0.3)
    return drawing, list(panels)


def _saved(sketch: Sketch) -> Figure:
    """Saved twice; without dates or random identifiers, so that the same records give the same bytes."""
    import matplotlib

    drawing, files = sketch.drawing, {}
    named = {
        label: line for axes in drawing.axes for line, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    if named:
        size = "small" if len(named) <= MANY_ROWS else "x-small"
        drawing.legend(named.values(), named, fontsize=size, loc="outside lower center", ncols=2)
    # Laid out once for both files; where an engine stays, even one that does nothing, each file is drawn twice.
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
