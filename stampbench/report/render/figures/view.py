"""The jobs that one figure shows, and the look of each row of the table in every figure of a section."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, replace

import pandas as pd

from stampbench import registry
from stampbench.contract import Method
from stampbench.record import Record
from stampbench.report.data import Data, at_place, by_resource
from stampbench.report.frames import PLACE, ROW, groups
from stampbench.report.render.figures.drawing import Style
from stampbench.report.scope import Scope
from stampbench.report.words import network_label, resource_label

# Black, grey and the colours of Okabe and Ito's palette, in the registry's order of methods.
PALETTE = ("#000000", "#999999", "#E69F00", "#56B4E9", "#009E73", "#CC79A7", "#0072B2", "#D55E00", "#8C564B", "#6A3D9A")
# Marker and line tell the start. Further rows of the same method and start have markers of their own.
MARKERS = {"random": "o", "reference": "s", "target": "^"}
MORE_MARKERS = "DvP*X<>dph8"
LINES = {"random": ":", "reference": "-", "target": "--"}


@dataclass(frozen=True)
class View:
    """The finished jobs of one place that keep all or part of one resource, and the styles of their rows."""

    data: Data
    jobs: pd.DataFrame
    styles: Mapping[Hashable, Style]
    scope: Scope
    resource: str
    title: str
    name: str

    @property
    def own_schedule(self) -> View:
        """This view without the jobs of schedules other than the suite's own."""
        epochs = self.data.own_epochs
        jobs = self.jobs[self.jobs["epochs"] == epochs]
        return replace(self, jobs=jobs, scope=replace(self.scope, epochs=(epochs,)))

    @property
    def pruned(self) -> pd.DataFrame:
        """The jobs that removed something."""
        return self.jobs[self.jobs["keep"] < 1]

    @property
    def whole(self) -> pd.DataFrame:
        """The jobs that removed nothing."""
        return self.jobs[self.jobs["keep"] == 1]

    @property
    def resource_label(self) -> str:
        """The name of the resource as readers know it."""
        return resource_label(self.resource)

    @property
    def accuracy_to_reach(self) -> float | None:
        """The accuracy that the suite sets as goal at this place, in [0, 1], or None if there is no goal."""
        there = at_place(self.data.channel_cells, list(self.jobs[PLACE].iloc[0]))
        goal = self.data.goal
        return goal.accuracy(there[there["resource"] == self.resource]) if goal else None

    def rows(self, jobs: pd.DataFrame) -> Iterator[tuple[Style, pd.DataFrame]]:
        """Yield the rows of the table that these jobs belong to: the style and the jobs of each."""
        for row, group in groups(jobs, ROW):
            yield self.styles[row], group


def views(data: Data) -> Iterator[View]:
    """Yield one view per place and, where there are several resources, per resource."""
    done = data.frame[(data.frame["status"] == "done") & (data.frame["granularity"] == "channel")]
    styles = _styles(done, data.records)
    for resource, suffix, rows in by_resource(done):
        for (target, network, width), jobs in groups(rows, PLACE):
            title = f"{jobs['display_name'].iloc[0]}, {network_label(network, width)}"
            name = "-".join([target, network, f"{width:g}", *suffix])
            yield View(data, jobs, styles, data.scope, resource, title, name)


def colour_of(method: str) -> str:
    """Return the colour of a method, which its position in the registry decides, so that it is the same everywhere."""
    names = list(registry.METHODS.targets())
    return PALETTE[names.index(method) % len(PALETTE)] if method in names else PALETTE[-1]


def _styles(jobs: pd.DataFrame, records: Mapping[str, Record]) -> dict[Hashable, Style]:
    """Return the style of every row: colours tell methods, markers and lines tell starts."""
    styles: dict[Hashable, Style] = {}
    used: dict[str, set[str]] = {}
    for row, group in groups(jobs, ROW):
        name, variant, start, _ = row
        method: type[Method] = registry.METHODS.load(name)
        shown_as = method.shown_as(method.Options.model_validate(records[group["key"].iloc[0]].job.options))
        taken = used.setdefault(shown_as, set())
        free = (marker for marker in (MARKERS[start], *MORE_MARKERS) if marker not in taken)
        marker = next(free, MARKERS[start])
        taken.add(marker)
        styles[row] = Style(f"{variant} ({start})", colour_of(shown_as), marker, LINES[start])
    return styles
