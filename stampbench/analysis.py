"""The records of a pool as a data frame, for people who analyse them: `stampbench.load_records`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import pandas as pd

from stampbench.errors import UserError
from stampbench.job import Job, Protocol
from stampbench.record import Record
from stampbench.report.frames import MEASURES, ORIGIN, SLOWDOWN, Pool, outcome
from stampbench.store import Store

_JOB: Final = ["target", "network", "width", "method", "method_version", "options", "start", "granularity"]
_BUDGET: Final = ["resource", "keep"]
_PROTOCOL: Final = [name for name in Protocol.model_fields if name != "reference"]
_COUNTS: Final = ["param_count", "dense_param_count", "mac_count", "dense_mac_count"]
COLUMNS: Final = [
    *("key", "status", "reason"),
    *_JOB,
    *_BUDGET,
    *("seed", "protocol_version"),
    *_PROTOCOL,
    "reference_dataset",
    *MEASURES,
    *_COUNTS,
    *("clock_train_s", "peak_memory_mib", SLOWDOWN),
    *ORIGIN,
]
# All other columns hold numbers.
TEXTS: Final = {
    *("key", "status", "reason", "target", "network", "method", "method_version", "options", "start", "granularity"),
    *("resource", "precision", "mode", "reference_dataset", "display_name", "device", "fingerprint", "speed_device"),
}


def load_records(path: str | Path = "results") -> pd.DataFrame:
    """Return a data frame with one row for each record under `path`, in the order of their keys.

    `path` is a results folder, which holds `records/`. The columns are `COLUMNS`; a number that a record does not hold
    is NaN, as all measures of jobs without a result are. They say:

    - what was run: `key`, target, network, width, method, method_version, options (those that differ from the defaults,
      as JSON), start, granularity, resource, keep (the share of the resource), seed, and the protocol field by field.
      `learning_rate` is that of the job's start; `reference_dataset` is missing where the job starts elsewhere.
    - what became of it: `status` ("done", "failed", "skipped", "timeout") and `reason`.
    - what was measured: `top1` and `top5` on test images, in [0, 1]; `params` and `macs`, and for budgets of time
      `predicted_share` and `measured_share`, as shares of the dense network's; seconds (`…_s`), of which those of
      training, and so the total, are the job's steps at a step time that was measured in turn with the dense network's,
      and `clock_train_s` is what a clock showed meanwhile; `train_speed_up` and `inference_speed_up`, ratios to the
      dense network; `param_count`, `mac_count` (of one image) and those of the dense network; `peak_memory_mib`.
    - what to distrust: `slowdown` says how many times as long as usual a fixed step took around the job, where other
      work kept the machine busy. Seconds of different `device` do not compare, and a device "on Ray" was shared.
    - which images: `display_name`, and the counts `train`, `validation` and `test`.

    Raises `UserError` if `path` is no folder, and for a file that is no valid record.
    """
    root = Path(path)
    if not root.is_dir():
        raise UserError(f"there is no folder {root}; name the folder that holds records/, such as results")
    store = Store(root)
    pool = Pool.of(store)
    rows = [_of_job(record.job) | outcome(record, pool) | _counts(record) for record in store.records()]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    # Where no record has a value, pandas could not tell numbers from texts.
    for name in COLUMNS:
        frame[name] = frame[name].astype(object) if name in TEXTS else pd.to_numeric(frame[name])
    return frame


def _of_job(job: Job) -> dict[str, Any]:
    protocol = job.protocol.model_dump(mode="json", exclude={"reference"})
    return (
        job.model_dump(mode="json", include={*_JOB, "seed", "protocol_version"})
        | job.budget.model_dump(include=set(_BUDGET))
        | protocol
        | {
            "key": job.key,
            "options": json.dumps(job.options, sort_keys=True),
            "learning_rate": job.protocol.learning_rate.of(job.start),
            "reference_dataset": job.protocol.reference.dataset if job.protocol.reference else None,
        }
    )


def _counts(record: Record) -> dict[str, Any]:
    counts: dict[str, Any] = {"peak_memory_mib": record.peak_memory_mib}
    if seconds := record.seconds:
        counts["clock_train_s"] = seconds.train
    if cost := record.cost:
        counts |= dict(zip(_COUNTS, (cost.params, cost.dense_params, cost.macs, cost.dense_macs), strict=True))
    return counts
