"""Whether the machine was busy with other work during a job: its yardstick is compared with an idle one."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from statistics import median

from stampbench.errors import UserError
from stampbench.record import Record

# An idle yardstick varies: of 619 committed records, 616 lie between 0.85 and 1.80 times the lower quartile, and three,
# which ran beside other work, at 4.5, 18 and 23 times. Beside 1.3 busy cores of two it took 2.3 times as long and more.
BUSY = 2.0
# The device, its generation and the threads: the yardstick takes equally long where these are the same.
Machine = tuple[str, str, int]
_LOG = logging.getLogger("stampbench")


def idle_yardsticks(records: Iterable[Record]) -> Mapping[Machine, float]:
    """Return the seconds of an idle yardstick of every machine: the lower quartile over its records.

    Among fewer than four records that is the least one.
    """
    found: dict[Machine, list[float]] = defaultdict(list)
    for record in records:
        if record.yardstick:
            found[_machine(record)].append(median(record.yardstick))
    return {machine: sorted(seconds)[len(seconds) // 4] for machine, seconds in found.items()}


def slowdown(record: Record, idle: Mapping[Machine, float]) -> float | None:
    """Return how many times as long as on the idle machine the record's yardstick took if it was busy, else None."""
    usual = idle.get(_machine(record))
    if not record.yardstick or usual is None:
        return None
    factor = median(record.yardstick) / usual
    return factor if factor > BUSY else None


def warn_if_busy(record: Record, others: Iterable[Record]) -> None:
    """Warn on stderr, by a log, if the machine was busy during the job.

    `others` are the records that were made before, on any machine.
    """
    try:
        factor = slowdown(record, idle_yardsticks([*others, record]))
    except UserError:
        # Whoever reads the pool next says which record is damaged; a job that is done does not fail for it.
        return
    if factor:
        _LOG.warning(
            "the machine was busy during %s: a fixed step took %.1f times as long as usual; its seconds are marked in "
            "tables, its accuracy is not affected",
            record.job.label,
            factor,
        )


def _machine(record: Record) -> Machine:
    made = record.provenance
    return made.device, made.cpu_generation, made.threads
