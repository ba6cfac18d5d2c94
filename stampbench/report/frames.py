"""Jobs and their records as tidy frames: one row per job, then one row per cell (a variant at a budget)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import pandas as pd

from stampbench import registry
from stampbench.job import Job
from stampbench.measure.busy import Machine, idle_yardsticks, slowdown
from stampbench.measure.comparable import Place, dense_steps, training_seconds
from stampbench.record import PRETRAINED, Provenance, Record, Speed, Timing
from stampbench.report.variants import Variants
from stampbench.statistics import summarise
from stampbench.store import Store

# The columns that say where a cell belongs; there is one table per place.
PLACE = ["target", "network", "width"]
# The columns that say which variant of a method is run from which start, whatever share it keeps.
ROW = ["method", "variant", "start", "granularity"]
# The columns that say how much is kept, and of which resource.
BUDGET = ["resource", "keep"]
# The columns that distinguish the cells of one place; the first columns of a table show them.
HEAD = [*ROW, *BUDGET, "epochs"]
SECONDS = ["pretrain_s", "prune_s", "train_s", "total_s", "reference_s", "own_reference_s"]
SPEED_UPS = ["train_speed_up", "inference_speed_up"]
# Where the budget is one of time: the share of the dense network's time, as the plan predicted it and as measured.
TIME_SHARES = ["predicted_share", "measured_share"]
MEASURES = ["top1", "top5", "params", "macs", *TIME_SHARES, *SECONDS, *SPEED_UPS]
# The largest measured share of a cell's networks.
SLOWEST = "slowest_share"
# A plan is over its budget of time if the measured share is more than 5 % above the budget.
MOST_OVER = 1.05
# The columns that say which images, devices and numerics a record comes from.
ORIGIN = ["display_name", "train", "validation", "test", "device", "fingerprint", "speed_device"]
# How many times as long as on the idle machine the yardstick took around a job; NaN where the machine was not busy.
SLOWDOWN = "slowdown"
OUTCOMES = {"failed": "failed", "skipped": "skipped", "timeout": "timed out", "missing": "not run"}


@dataclass(frozen=True)
class Pool:
    """The parts of a pool that tell a record's seconds: speeds, dense steps, and yardsticks of idle machines."""

    speeds: Mapping[str, Speed]
    dense: Mapping[Place, float]
    idle: Mapping[Machine, float]

    @classmethod
    def of(cls, store: Store) -> Pool:
        """Return what a store's whole pool says."""
        speeds = {speed.key: speed for speed in store.speeds()}
        return cls(speeds, dense_steps(speeds.values()), idle_yardsticks(store.records()))


def job_frame(jobs: Sequence[Job], store: Store) -> pd.DataFrame:
    """Return one row per job, in the order of the jobs, whether or not a job has a record.

    The columns are `PLACE`, `HEAD`, seed, key, status (that of the record, or "missing"), reason, `MEASURES` (accuracy
    in [0, 1], shares of the dense network's parameters and MACs, seconds, ratios; NaN where unknown), `SLOWDOWN` and
    `ORIGIN`.
    """
    records, variants, pool = store.of(jobs), Variants(jobs), Pool.of(store)
    identities = (_identity(job, variants.name(job)) for job in jobs)
    rows = [identity | outcome(records.get(identity["key"]), pool) for identity in identities]
    return pd.DataFrame(rows, columns=[*PLACE, *HEAD, "seed", "key", "status", "reason", *MEASURES, SLOWDOWN, *ORIGIN])


def cell_frame(jobs: pd.DataFrame) -> pd.DataFrame:
    """Return one row per cell, in order of first appearance, computed over the finished jobs of a `job_frame`.

    The columns are `PLACE`, `HEAD`, planned and done (numbers of seeds), outcome (what became of the other seeds, or
    ""), keys (of the finished records), busy (during how many of them the machine was busy, in words, or ""), over (how
    many of them take more than `MOST_OVER` times their budget of time), for each measure m its mean m, its sample
    standard deviation m_sd and its number of values m_n, and `SLOWEST`.
    """
    keys = [*PLACE, *HEAD]
    rows = [
        dict(zip(keys, key, strict=True)) | _summary(group)
        for key, group in jobs.groupby(keys, sort=False, dropna=False)
    ]
    return pd.DataFrame(rows)


def groups(frame: pd.DataFrame, columns: Sequence[str]) -> Iterator[tuple[tuple[Any, ...], pd.DataFrame]]:
    """Yield the different values of these columns, in order of first appearance, each with its rows."""
    for values, group in frame.groupby(list(columns), sort=False):
        assert isinstance(values, tuple)
        yield values, group


def accuracies_by_seed(jobs: pd.DataFrame) -> dict[int, float]:
    """Return the top-1 accuracies in % of the finished jobs of a `job_frame`, by seed."""
    done = jobs[jobs["status"] == "done"]
    return {int(seed): 100 * float(top1) for seed, top1 in zip(done["seed"], done["top1"], strict=True)}


def speed_up(timing: Timing) -> float | None:
    """Return the median ratio of dense to compact seconds over the interleaved pairs, or None without samples."""
    ratios = [dense / compact for dense, compact in zip(timing.dense, timing.compact, strict=False)]
    return median(ratios) if ratios else None


def _identity(job: Job, variant: str) -> dict[str, Any]:
    return {
        "target": job.target,
        "network": job.network,
        "width": job.width,
        "method": job.method,
        "variant": variant,
        "start": job.start.value,
        "granularity": job.granularity.value,
        "resource": job.budget.resource,
        "keep": job.budget.keep,
        "epochs": job.protocol.epochs,
        "seed": job.seed,
        "key": job.key,
    }


def outcome(record: Record | None, pool: Pool) -> dict[str, Any]:
    """Return a job's status, reason, `MEASURES`, `SLOWDOWN` and `ORIGIN`, as far as they are known.

    `record` is the job's, or None if it has none. Its seconds of training are those of `comparable`, where its speed is
    known, and else those of its own clock.
    """
    if record is None:
        return {"status": "missing"}
    origin: dict[str, Any] = {
        "device": device_of(record.provenance),
        "fingerprint": record.provenance.fingerprint,
    }
    if data := record.data.get(record.job.target):
        origin |= data.model_dump(include={"display_name", "train", "validation", "test"})
    head = {"status": record.status, "reason": record.reason, **origin}
    if record.status != "done":
        return head
    return head | _measures(record, pool) | {SLOWDOWN: slowdown(record, pool.idle)}


def _measures(record: Record, pool: Pool) -> dict[str, Any]:
    values: dict[str, Any] = {}
    speed = pool.speeds.get(record.speed) if record.speed else None
    if accuracy := record.accuracy:
        values |= {"top1": accuracy.top1, "top5": accuracy.top5}
    if seconds := record.seconds:
        train = (speed and training_seconds(record, speed, pool.dense)) or seconds.train
        values |= {f"{name}_s": getattr(seconds, name) for name in ("pretrain", "prune", "reference")}
        values |= {"train_s": train, "total_s": seconds.pretrain + seconds.prune + train}
    own = [use.seconds for use in record.artefacts if use.scope == "reference" and use.kind != PRETRAINED]
    values["own_reference_s"] = sum(own)
    if cost := record.cost:
        values |= {"params": cost.params / cost.dense_params, "macs": cost.macs / cost.dense_macs}
        if cost.params == cost.dense_params:
            values |= dict.fromkeys(SPEED_UPS, 1.0)
        values["predicted_share"] = cost.predicted_share
    if speed is not None:
        values |= {
            "train_speed_up": speed_up(speed.train_step),
            "inference_speed_up": speed_up(speed.inference),
            "speed_device": device_of(speed.provenance),
            "measured_share": measured_share(record.job, speed),
        }
    return values


def measured_share(job: Job, speed: Speed) -> float | None:
    """Return the measured share of the dense network's time, or None where the budget is none of time."""
    if job.budget.table is None:
        return None
    ratio = speed_up(getattr(speed, registry.RESOURCES.load(job.budget.resource).timing))
    return 1 / ratio if ratio else None


def device_of(made: Provenance) -> str:
    """Return the device, followed by the executor if other jobs may have run on the machine at the same time."""
    return made.device if made.exclusive else f"{made.device} on {made.executor.capitalize()}"


def over_budget(jobs: pd.DataFrame) -> pd.Series:
    """Return for each row of a `job_frame` whether its network took too much more than its budget of time."""
    return jobs["measured_share"].astype(float) > MOST_OVER * jobs["keep"]


def _summary(group: pd.DataFrame) -> dict[str, Any]:
    done = group[group["status"] == "done"]
    counts = {"planned": len(group), "done": len(done), "outcome": _shortfall(group)}
    over = int(over_budget(done).sum())
    row: dict[str, Any] = counts | {"keys": tuple(done["key"]), "busy": _busy(done), "over": over}
    for measure in MEASURES:
        summary = summarise(float(value) for value in done[measure].dropna())
        row |= {measure: summary.mean, f"{measure}_sd": summary.sd, f"{measure}_n": summary.n}
    return row | {SLOWEST: done["measured_share"].astype(float).max(), f"{SLOWEST}_n": row["measured_share_n"]}


def _busy(done: pd.DataFrame) -> str:
    """Return during how many jobs the machine was busy, and the longest yardstick among them, or ""."""
    factors = done[SLOWDOWN].dropna().astype(float)
    if factors.empty:
        return ""
    jobs = f"{len(factors)} of {len(done)} {'job' if len(done) == 1 else 'jobs'}"
    return (
        f"other work kept the machine busy during {jobs}: a fixed step took up to {factors.max():.1f} times as long as "
        "usual, so these seconds may be too large"
    )


def _shortfall(group: pd.DataFrame) -> str:
    """Return why seeds are missing: "2 of 8 seeds failed: diverged loss; 3 of 8 seeds not run"."""
    counts: dict[str, int] = {}
    for status, reason in zip(group["status"], group["reason"], strict=True):
        if status != "done":
            what = OUTCOMES[status] + (f": {reason}" if isinstance(reason, str) and reason else "")
            counts[what] = counts.get(what, 0) + 1
    of = f"of {len(group)} {'seed' if len(group) == 1 else 'seeds'}"
    return "; ".join(f"{count} {of} {what}" for what, count in counts.items())
