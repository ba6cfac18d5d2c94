"""Where the subject of the suite's claims wins, ties and loses, against each other row: the story in one table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import pandas as pd

from stampbench.report.claims import BETTER, SAME, WORSE, JudgedClaim, verdict
from stampbench.report.data import Data
from stampbench.report.frames import PLACE, ROW, accuracies_by_seed, groups
from stampbench.report.model import DASH, Column, Entry, Table
from stampbench.report.scope import Scope
from stampbench.report.tables.equal_time import limits_of
from stampbench.report.words import resource_label
from stampbench.statistics import Comparison, compare, holm

SECONDS = "equal seconds"
# How often which verdict was found, by the row compared with and by what was equal.
Tally = dict[tuple[str, str], Counter[str]]


def wins_tables(data: Data) -> list[Table]:
    """Return one table per subject of a claim, with a row for every other row of its claims.

    A claim that was judged by targets of other suites too does not count here: the table is about the section alone.
    """
    own = [claim for claim in data.claims if claim.scope == data.scope]
    return [_table(subject, own, data) for subject in dict.fromkeys(claim.subject for claim in own)]


def _table(subject: str, claims: Sequence[JudgedClaim], data: Data) -> Table:
    tally = _by_claims([claim for claim in claims if claim.subject == subject])
    others = list(dict.fromkeys(other for other, _ in tally))
    tally |= _by_seconds(subject, others, data)
    equal = list(dict.fromkeys(what for _, what in tally))
    rows = [
        (Entry(other), *(_entry(tally.get((other, what), Counter())) for what in equal))
        for other in others
        if any((other, what) in tally for what in equal)
    ]
    scope = data.scope
    return Table(
        name=name_of(subject, scope),
        caption=f"Where {subject} wins and loses ({scope.suite}, {scope.preset} preset): comparisons won / not decided "
        "/ lost, paired by seed, over targets, networks, budgets and schedules; won or lost if the Holm-corrected p is "
        f"below 0.05; a dash where fewer than three seeds are common; {scope.setting}.",
        columns=(Column("against", number=False), *(Column(what) for what in equal)),
        rows=tuple(rows),
    )


def name_of(subject: str, scope: Scope) -> str:
    """Return the name of the table of that subject."""
    return scope.name("wins", subject)


def _by_claims(claims: Sequence[JudgedClaim]) -> Tally:
    tally: Tally = {}
    seen = set()
    for claim in claims:
        for line, word in zip(claim.lines, claim.verdicts, strict=True):
            # Two claims may hold the same comparison.
            if (line.other, line.match) not in seen:
                seen.add((line.other, line.match))
                tally.setdefault((line.other, f"equal {resource_label(line.match.resource)}"), Counter())[word] += 1
    return tally


def _by_seconds(subject: str, others: list[str], data: Data) -> Tally:
    """Return the verdicts within every limit of seconds, at the share that the suite compares schedules at."""
    if len(data.scope.epochs) == 1:
        return {}
    found = list(_compared_within_seconds(subject, others, data))
    adjusted = holm([comparison.p for _, comparison in found])
    tally: Tally = {}
    for (other, comparison), p in zip(found, adjusted, strict=True):
        tally.setdefault((other, SECONDS), Counter())[verdict(comparison, p)] += 1
    return tally


def _compared_within_seconds(subject: str, others: list[str], data: Data) -> Iterator[tuple[str, Comparison]]:
    for _, there in groups(data.compared_cells, PLACE):
        rows = {f"{row[1]} ({row[2]})": cells for row, cells in groups(there, ROW)}
        limits, none = limits_of(there), there.iloc[:0]
        for other in others:
            ended = ((_within(rows.get(name, none), limit) for name in (subject, other)) for limit in limits)
            # Once both have ended their longest schedules, further limits would repeat the same comparison.
            for own, rival in dict.fromkeys(map(tuple, ended)):
                if own and rival:
                    jobs = (data.frame[data.frame["key"].isin(keys)] for keys in (own, rival))
                    yield other, compare(*map(accuracies_by_seed, jobs))


def _within(cells: pd.DataFrame, limit: float) -> tuple[str, ...]:
    """Return the keys of the longest schedule that ends within the limit, chosen by its length; () if none does."""
    ended = cells[cells["total_s"] <= limit].sort_values("epochs")
    return () if ended.empty else tuple(ended["keys"].iloc[-1])


def _entry(counts: Counter[str]) -> Entry:
    decided = [counts[word] for word in (BETTER, SAME, WORSE)]
    return Entry(" / ".join(map(str, decided)) if any(decided) else DASH)
