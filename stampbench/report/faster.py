"""The claim on speed in one sentence each: how many times as fast the subject reaches what another row reaches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean

import pandas as pd

from stampbench.record import Record
from stampbench.report.data import Data, by_resource
from stampbench.report.frames import PLACE, ROW, groups
from stampbench.report.remarks import tells_of_search
from stampbench.report.words import network_label, row_in_words, share_in_words


def faster(data: Data) -> list[str]:
    """Return a sentence per place, for the row that sets the goal and for every search with a size in its paper.

    The subject is the row of the first claim, with whichever schedule first reaches the mean accuracy that the other
    row has after the suite's own schedule. A search is charged with the seconds that its paper's size would take.
    """
    if data.goal is None or data.subject is None or len(data.scope.epochs) == 1:
        return []
    return [
        sentence
        for _, _, cells in by_resource(data.compared_cells)
        for place, there in groups(cells, PLACE)
        for sentence in _sentences(data, f"On {place[0]} with {network_label(place[1], place[2])}", there)
    ]


def _sentences(data: Data, where: str, cells: pd.DataFrame) -> Iterator[str]:
    assert data.goal is not None
    is_subject = (cells[ROW] == list(data.subject or ())).all(axis=1)
    others = cells[~is_subject & (cells["keep"] < 1) & (cells["epochs"] == data.own_epochs)]
    for _, other in others.iterrows() if is_subject.any() else ():
        name, share = row_in_words(other["variant"], other["start"]), share_in_words(other["keep"], other["resource"])
        reached = f"{name} at {share} reaches"
        search = _search_s([data.records[key] for key in other["keys"]])
        if tuple(other[ROW]) == data.goal.row:
            yield f"{where}, {_compared(cells[is_subject], reached, other['top1'], other['total_s'])}"
        elif search is not None:
            reached += ", with the search at the size of its paper,"
            yield f"{where}, {_compared(cells[is_subject], reached, other['top1'], other['total_s'] + search)}"


def _compared(subject: pd.DataFrame, reached: str, level: float, seconds: float) -> str:
    reaching = subject[subject["top1"] >= level]
    name = row_in_words(subject["variant"].iloc[0], subject["start"].iloc[0])
    if reaching.empty:
        most = subject["total_s"].max()
        return f"{name} does not reach within {most:.0f} s, its longest schedule, what {reached} in {seconds:.0f} s."
    own = reaching["total_s"].min()
    return f"{name} reaches in {own:.0f} s what {reached} in {seconds:.0f} s: {seconds / own:.1f} times as fast."


def _search_s(records: Sequence[Record]) -> float | None:
    """Return the additional seconds of a search at its paper's size, or None if no record tells of one."""
    notes = [record.notes for record in records if tells_of_search(record)]
    if not notes:
        return None
    return fmean((note["paper_evaluations"] - note["evaluations"]) * note["evaluation_s"] for note in notes)
