"""The self-contained page: the story, figures, tables, two methods side by side, method cards, and all records."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stampbench import registry
from stampbench.errors import UserError
from stampbench.record import Record
from stampbench.report.frames import PLACE
from stampbench.report.headline import headline
from stampbench.report.model import Table
from stampbench.report.pairs import paired_rows, t_quantiles
from stampbench.report.render.figures.drawing import Figure
from stampbench.report.render.marks import mark
from stampbench.report.render.people import CORE
from stampbench.report.sections import Section
from stampbench.report.story import question
from stampbench.report.tables import wins
from stampbench.report.words import network_label

SUFFIX = ".html"
# What fits a phone.
NARROW = ("method", "start", "budget", "epochs", "top-1 %")


@dataclass(frozen=True)
class Picture:
    """A figure as the page shows it: its SVG in base64."""

    caption: str
    data: str


@dataclass(frozen=True)
class Card:
    """The description of a method, in the version that is installed."""

    name: str
    version: str
    text: str


def document(sections: Sequence[Section], figures: Sequence[Sequence[Figure]]) -> str:
    """Return the page of one suite; `figures` holds the figures of each section.

    All text that comes from records or suites is escaped.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("stampbench.report.render"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    records = [record for section in sections if section.data for record in section.data.records.values()]
    pairs = [row for section in sections if section.data for row in paired_rows(section.data)]
    title = sections[0].title.partition(":")[0]
    return environment.get_template("page.html.j2").render(
        title=title,
        headline=headline(sections),
        sections=[
            {
                "content": section,
                "title": _capitalised(section.title.removeprefix(f"{title}: ")),
                "question": question(section.data) if section.data else "",
                "stories": [table for table in shown if table.is_story],
                "tables": [table for table in shown if not table.is_story],
                "pictures": [_picture(figure) for figure in drawn],
            }
            for section, drawn, shown in zip(sections, figures, map(list, map(_shown, sections)), strict=True)
        ],
        pairs=_for_script({"rows": pairs}),
        pairs_known=bool(pairs),
        quantiles=_for_script(t_quantiles()),
        cards=list(_cards(record.job.method for record in records)),
        records=[{"record": record, "outcome": _outcome(record)} for record in records],
        mark=mark,
    )


@dataclass(frozen=True)
class Shown:
    """A table as the page shows it, its target and network, and whether it belongs to the story.

    The columns `more` are hidden at first, the columns `wide` on narrow screens.
    """

    table: Table
    more: frozenset[int]
    wide: frozenset[int]
    place: tuple[str, str]
    is_story: bool


def _shown(section: Section) -> Iterator[Shown]:
    """Yield the tables of a section; of wide ones about a target, all but the core is hidden at first."""
    data, places, stories = section.data, dict[str, tuple[str, str]](), set[str]()
    if data is not None:
        stories = {wins.name_of(claim.subject, data.scope) for claim in data.claims}
        for target, network, width in data.cells[PLACE].drop_duplicates().itertuples(index=False):
            label = network_label(network, width)
            places[data.scope.name(target, label)] = (str(target), label)
    for table in section.tables:
        more, wide = (_others(table, kept) if table.name in places else frozenset() for kept in (CORE, NARROW))
        yield Shown(table, more, wide - more, places.get(table.name, ("", "")), table.name in stories)


def _others(table: Table, kept: Sequence[str]) -> frozenset[int]:
    """Return the indices of the columns with other headings than these."""
    return frozenset(index for index, column in enumerate(table.columns) if column.heading not in kept)


def _for_script(content: object) -> str:
    """Return JSON that may stand inside a script element as it is."""
    return json.dumps(content).replace("<", "\\u003c").replace("&", "\\u0026")


def _picture(figure: Figure) -> Picture:
    return Picture(figure.caption, base64.b64encode(figure.svg).decode("ascii"))


def _cards(methods: Iterable[str]) -> Iterator[Card]:
    for name in dict.fromkeys(methods):
        try:
            method = registry.METHODS.load(name)
        except UserError as error:
            yield Card(name, "unknown", str(error))
            continue
        yield Card(name, str(method.version), method.card)


def _outcome(record: Record) -> str:
    if record.accuracy is None:
        return f"{record.status}: {record.reason}"
    return f"{100 * record.accuracy.top1:.2f} % top-1"


def _capitalised(heading: str) -> str:
    return heading[:1].upper() + heading[1:]
