"""A suite as numbers, for people who analyse: one CSV file with a row per cell, and one with a row per job."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from stampbench.report.data import Data
from stampbench.report.scope import distinct

SUFFIX = ".csv"
# Digits beyond these depend on the machine that takes the mean.
_NUMBER = "%.12g"


def cells(sections: Iterable[Data]) -> str:
    """Return one row per cell: the columns of `frames.cell_frame`, after suite, preset and precision, with the devices.

    Every measure m has its mean m, its sample standard deviation m_sd and its number of values m_n. The last columns
    name the keys of the records, and say in words why seeds are missing (outcome) and that the machine was busy (busy),
    and how many networks take more than 5 % above their budget of time (over).
    """
    remarks = ["outcome", "busy", "over", "keys"]
    frames = [
        _named(data, data.cells.assign(device=_devices(data), keys=data.cells["keys"].map(" ".join)))
        for data in sections
    ]
    whole = pd.concat(frames)
    return _text(whole[[*whole.columns.drop(remarks), *remarks]])


def jobs(sections: Iterable[Data]) -> str:
    """Return one row per job, with a record or without: the columns of `frames.job_frame` after those of `cells`."""
    return _text(pd.concat([_named(data, data.frame) for data in sections]))


def _named(data: Data, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame behind columns that say which section its rows are from."""
    section = {"suite": data.scope.suite, "preset": data.scope.preset, "precision": data.scope.job.protocol.precision}
    return pd.DataFrame(section, index=frame.index).join(frame)


def _devices(data: Data) -> str:
    """Return the devices of the section, as budgets of time give each device a section of its own."""
    return distinct(data.frame["device"].dropna())


def _text(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, lineterminator="\n", float_format=_NUMBER)
