"""Every method at equal time beside the same method at equal MACs (docs/design.md, section 4)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pandas as pd

from stampbench import registry
from stampbench.report.data import Data
from stampbench.report.frames import PLACE, ROW, groups
from stampbench.report.model import DASH, Column, Entry, Table
from stampbench.report.tables.entries import MEASURES, dicts, row_entries
from stampbench.report.words import fraction, network_label, resource_label


def beside_tables(data: Data) -> list[Table]:
    """Return one table per target, network and width, where the compared share is kept of time and of another resource.

    Within a column all methods keep the same share of one resource; columns of two resources are not compared.
    """
    scope, tables = data.scope, []
    cells = data.compared_cells
    pruned = cells[(cells["keep"] < 1) & (cells["epochs"] == data.own_epochs)]
    for place, there in groups(pruned, PLACE):
        resources = list(dict.fromkeys(there["resource"]))
        if len(resources) == 1 or not any(map(_timed, resources)):
            continue
        share = fraction(there["keep"].iloc[0])
        table = Table(
            name=scope.name("beside", str(place[0]), network_label(*place[1:])),
            caption=f"Equal {' beside equal '.join(map(resource_label, resources))}, {place[0]}, "
            f"{network_label(*place[1:])} ({scope.suite}, {scope.preset} preset): every method at {share} of each. "
            "Compare methods within a resource, not across; top-1 accuracy on test images in %, mean ± sd over seeds; "
            "the other columns are means, as shares of the dense network's; the step is that of training with a batch "
            f"of 128, as measured, the reciprocal of its mean speed-up; {scope.setting}.",
            columns=tuple(_columns(resources, share)),
            rows=tuple(_rows(there, resources)),
        )
        tables.append(table)
    return tables


def _timed(resource: str) -> bool:
    return registry.RESOURCES.load(resource).timing is not None


def _measures(resource: str) -> list[str]:
    return ["top1", "macs", "params", *(["predicted_share"] if _timed(resource) else [])]


def _columns(resources: Sequence[str], share: str) -> Iterator[Column]:
    yield from (Column(word, number=False) for word in ("method", "start"))
    for resource in resources:
        kept = f"{share} {resource_label(resource)}"
        headings = [*(MEASURES[measure][0] for measure in _measures(resource)), "step %"]
        yield from (Column(f"{kept}: {heading}") for heading in headings)


def _rows(cells: pd.DataFrame, resources: Sequence[str]) -> Iterator[tuple[Entry, ...]]:
    for row, own in groups(cells, ROW):
        by_resource = {cell["resource"]: cell for cell in dicts(own)}
        entries = list(row_entries(*row))
        for resource in resources:
            cell, measures = by_resource.get(resource), _measures(resource)
            if cell is None:
                entries += [Entry(DASH)] * (len(measures) + 1)
                continue
            entries += [
                Entry(DASH if pd.isna(cell[measure]) else MEASURES[measure][1](cell, measure)) for measure in measures
            ]
            speed_up = cell["train_speed_up"]
            entries.append(Entry(DASH if pd.isna(speed_up) else f"{100 / speed_up:.1f}"))
        yield tuple(entries)
