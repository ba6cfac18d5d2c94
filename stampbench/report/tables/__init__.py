"""All tables of a report in the order of printing; each table is one file in this folder and one line below."""

from __future__ import annotations

from collections.abc import Callable

from stampbench.report.data import Data
from stampbench.report.model import Table
from stampbench.report.tables.beside import beside_tables
from stampbench.report.tables.break_even import break_even_tables
from stampbench.report.tables.claims import claim_tables
from stampbench.report.tables.equal_accuracy import equal_accuracy_tables
from stampbench.report.tables.equal_time import equal_time_tables
from stampbench.report.tables.masks import mask_tables
from stampbench.report.tables.published import published_tables
from stampbench.report.tables.summary import summary_tables
from stampbench.report.tables.targets import target_tables
from stampbench.report.tables.time_to_accuracy import time_to_accuracy_tables
from stampbench.report.tables.wins import wins_tables

TABLES: tuple[Callable[[Data], list[Table]], ...] = (
    wins_tables,
    summary_tables,
    target_tables,
    claim_tables,
    beside_tables,
    equal_accuracy_tables,
    time_to_accuracy_tables,
    equal_time_tables,
    mask_tables,
    break_even_tables,
    published_tables,
)
