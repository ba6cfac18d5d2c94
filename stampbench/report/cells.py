"""Jobs and their records as tidy frames: one row a job, then one row a cell (a variant at a budget)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

import pandas as pd

from stampbench import registry
from stampbench.job import Granularity, Job
from stampbench.record import PRETRAINED, Provenance, Record, Timing
from stampbench.statistics import summarise
from stampbench.store import Store

TABLE = ["target", "network", "width"]
VARIANT = ["method", "variant", "start", "granularity", "kind", "keep", "epochs"]
SECONDS = ["pretrain_s", "prune_s", "train_s", "total_s", "reference_s", "own_reference_s"]
SPEED_UPS = ["train_speed_up", "inference_speed_up"]
MEASURES = ["top1", "top5", "params", "macs", *SECONDS, *SPEED_UPS]
PLACE = ["display_name", "train", "validation", "test", "device", "fingerprint", "speed_device"]
# A name that would list more options than these says how many there are.
MOST_OPTIONS = 3
# What a row of a table is named after: method, granularity, options.
Kind = tuple[str, Granularity, str]
OUTCOMES = {"failed": "failed", "skipped": "skipped", "timeout": "timed out", "missing": "not run"}


def job_frame(jobs: Sequence[Job], store: Store) -> pd.DataFrame:
    """One row a job, in the jobs' order, whether or not it has a record.

    Columns: `TABLE`, `VARIANT`, seed, key, status (the record's, or "missing"), reason, `MEASURES` (accuracy
    in [0, 1], shares of dense parameters and MACs, seconds, ratios; NaN where unknown) and `PLACE`.
    """
    records = store.of(jobs)
    variants = _variants(jobs)
    identities = (_identity(job, variants[_kind(job)]) for job in jobs)
    rows = [identity | _outcome(records.get(identity["key"]), store) for identity in identities]
    return pd.DataFrame(rows, columns=[*TABLE, *VARIANT, "seed", "key", "status", "reason", *MEASURES, *PLACE])


def cell_frame(jobs: pd.DataFrame) -> pd.DataFrame:
    """One row a cell, in order of first appearance, over the finished jobs of a `job_frame`.

    Columns: `TABLE`, `VARIANT`, planned and done (seeds), outcome (what became of the other seeds, or ""), keys (of the
    finished records), and for each measure m its mean m, its sample deviation m_sd and its number of values m_n.
    """
    keys = [*TABLE, *VARIANT]
    rows = [
        dict(zip(keys, key, strict=True)) | _summary(group)
        for key, group in jobs.groupby(keys, sort=False, dropna=False)
    ]
    return pd.DataFrame(rows)


def speed_up(timing: Timing) -> float | None:
    """Median over the interleaved pairs of dense over compact seconds; None without samples."""
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
        "kind": job.budget.resource,
        "keep": job.budget.keep,
        "epochs": job.protocol.epochs,
        "seed": job.seed,
        "key": job.key,
    }


def _outcome(record: Record | None, store: Store) -> dict[str, Any]:
    if record is None:
        return {"status": "missing"}
    place: dict[str, Any] = {
        "device": place_of(record.provenance),
        "fingerprint": record.provenance.fingerprint,
    }
    if data := record.data.get(record.job.target):
        place |= data.model_dump(include={"display_name", "train", "validation", "test"})
    head = {"status": record.status, "reason": record.reason, **place}
    return head | _measures(record, store) if record.status == "done" else head


def _measures(record: Record, store: Store) -> dict[str, Any]:
    values: dict[str, Any] = {}
    if accuracy := record.accuracy:
        values |= {"top1": accuracy.top1, "top5": accuracy.top5}
    if seconds := record.seconds:
        values |= {f"{name}_s": getattr(seconds, name) for name in ("pretrain", "prune", "train", "total", "reference")}
    own = [use.seconds for use in record.artefacts if use.scope == "reference" and use.kind != PRETRAINED]
    values["own_reference_s"] = sum(own)
    if cost := record.cost:
        values |= {"params": cost.params / cost.dense_params, "macs": cost.macs / cost.dense_macs}
        if cost.params == cost.dense_params:
            values |= dict.fromkeys(SPEED_UPS, 1.0)
    speed = store.speed(record.speed) if record.speed else None
    if speed is not None:
        values |= {
            "train_speed_up": speed_up(speed.train_step),
            "inference_speed_up": speed_up(speed.inference),
            "speed_device": place_of(speed.provenance),
        }
    return values


def place_of(made: Provenance) -> str:
    """Return the device and, where other jobs may have run beside on its machine, the executor that shared it out."""
    return made.device if made.exclusive else f"{made.device} on {made.executor.capitalize()}"


def _summary(group: pd.DataFrame) -> dict[str, Any]:
    done = group[group["status"] == "done"]
    counts = {"planned": len(group), "done": len(done), "outcome": _shortfall(group)}
    row: dict[str, Any] = counts | {"keys": tuple(done["key"])}
    for measure in MEASURES:
        summary = summarise(float(value) for value in done[measure].dropna())
        row |= {measure: summary.mean, f"{measure}_sd": summary.sd, f"{measure}_n": summary.n}
    return row


def _shortfall(group: pd.DataFrame) -> str:
    """Why seeds are missing: "2 of 8 seeds failed: diverged loss; 3 of 8 seeds not run"."""
    counts: dict[str, int] = {}
    for status, reason in zip(group["status"], group["reason"], strict=True):
        if status != "done":
            what = OUTCOMES[status] + (f": {reason}" if isinstance(reason, str) and reason else "")
            counts[what] = counts.get(what, 0) + 1
    of = f"of {len(group)} {'seed' if len(group) == 1 else 'seeds'}"
    return "; ".join(f"{count} {of} {what}" for what, count in counts.items())


def _variants(jobs: Sequence[Job]) -> dict[Kind, str]:
    """Names like "magnitude, global"; in full where two kinds would share one."""
    first = {_kind(job): job for job in jobs}
    short = {kind: _variant(job, full=False) for kind, job in first.items()}
    shared = Counter(short.values())
    return {kind: _variant(first[kind], full=True) if shared[name] > 1 else name for kind, name in short.items()}


def options_in_words(jobs: Sequence[Job]) -> list[str]:
    """What stands behind names that only count their options: "magnitude, 4 options set: rounds 5, …"."""
    first = {_kind(job): job for job in jobs}
    counted = {kind: name for kind, name in _variants(jobs).items() if name.endswith("options set")}
    return [f"{name}: {_variant(first[kind], full=True).partition(', ')[2]}." for kind, name in counted.items()]


def _kind(job: Job) -> Kind:
    return job.method, job.granularity, repr(job.options)


def _variant(job: Job, *, full: bool) -> str:
    weights = ["single weights"] if job.granularity is Granularity.WEIGHT else []
    chosen = registry.METHODS.load(job.method).Options.model_validate(job.options).chosen()
    if len(chosen) > MOST_OPTIONS and not full:
        return ", ".join([job.method, *weights, f"{len(chosen)} options set"])
    return ", ".join([job.method, *weights, *(_option(name, value, full) for name, value in chosen.items())])


def _option(name: str, value: Any, full: bool) -> str:
    words = name.replace("_", " ")
    if isinstance(value, dict):
        return ", ".join(_option(inner, chosen, full=True) for inner, chosen in value.items())
    if isinstance(value, bool):
        return words if value else f"no {words}"
    return value if isinstance(value, str) and not full else f"{words} {value}"
