"""The self-contained page: headline, figures, sortable tables, method cards, and the records behind every number."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from stampbench import registry
from stampbench.errors import UserError
from stampbench.record import Record
from stampbench.report.headline import headline
from stampbench.report.render.figures.drawing import Figure
from stampbench.report.render.marks import mark
from stampbench.report.sections import Section

SUFFIX = ".html"


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
    return environment.get_template("page.html.j2").render(
        title=sections[0].title.partition(":")[0],
        headline=headline(sections),
        sections=[
            {"content": section, "pictures": [_picture(figure) for figure in drawn]}
            for section, drawn in zip(sections, figures, strict=True)
        ],
        cards=list(_cards(record.job.method for record in records)),
        records=[{"record": record, "outcome": _outcome(record)} for record in records],
        mark=mark,
    )


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
