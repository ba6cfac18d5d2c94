"""Every table that a report prints, in the order in which it is printed: a file each, and a line here."""

from __future__ import annotations

from collections.abc import Callable

from stampbench.report.data import Data
from stampbench.report.model import Table
from stampbench.report.tables.break_even import break_even
from stampbench.report.tables.claims import claims
from stampbench.report.tables.equal_accuracy import equal_accuracy
from stampbench.report.tables.equal_time import equal_time
from stampbench.report.tables.masks import masks
from stampbench.report.tables.published import published
from stampbench.report.tables.summary import summary
from stampbench.report.tables.targets import targets
from stampbench.report.tables.time_to_accuracy import time_to_accuracy

TABLES: tuple[Callable[[Data], list[Table]], ...] = (
    summary,
    targets,
    claims,
    equal_accuracy,
    time_to_accuracy,
    equal_time,
    masks,
    break_even,
    published,
)
