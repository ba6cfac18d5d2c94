"""The regression gate: fresh records are compared with a stored baseline.

Exact values must be equal; noisy ones must not be clearly worse.
"""

from __future__ import annotations

import math
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median
from typing import Literal

from stampbench.errors import UserError
from stampbench.job import Job
from stampbench.record import Record
from stampbench.seeding import digest_of_json
from stampbench.statistics import interval_of_mean, loss_beyond, pooled_variance
from stampbench.store import Store

Verdict = Literal["pass", "fail", "inconclusive"]
# A loss below this many points of top-1 accuracy is not worth an alarm.
MARGIN = 0.5
ALPHA = 0.005
# The share by which training may become slower, on a GPU and on a CPU that others may be using too.
GPU_TOLERANCE, CPU_TOLERANCE = 0.10, 0.30
# Drawn as integers, so the same on every machine; the other digests are of floats.
INDEX_DIGESTS = ("batch_order", "augmentation", "split")
Pair = tuple[Record, Record]


@dataclass(frozen=True)
class Finding:
    """One comparison: the job or cell `where` it was made, `what` was compared, its values and the verdict."""

    where: str
    what: str
    before: str
    now: str
    verdict: Verdict


def baseline_of(baselines: Path, suite: str, preset: str, device: str) -> Store:
    """Return the store with the baseline records of a suite's preset on a device."""
    return Store(baselines / f"{suite}-{preset}-{digest_of_json(device)[:8]}")


def store_baseline(jobs: Sequence[Job], fresh: Store, baseline: Store) -> int:
    """Replace the baseline by the finished records of these jobs, and return how many there are.

    The old baseline goes only when the new one is whole. Raises `UserError` where no job is done.
    """
    done = [record for record in fresh.of(jobs).values() if record.status == "done"]
    if not done:
        raise UserError("none of these jobs is done, so there is nothing to compare with later; run the suite first")
    root = baseline.root
    new = root.with_name(f".{root.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    for record in done:
        Store(new).put(record)
    shutil.rmtree(root, ignore_errors=True)
    new.replace(root)
    return len(done)


def check(jobs: Sequence[Job], fresh: Store, baseline: Store) -> list[Finding]:
    """Compare the fresh records of these jobs with the baseline's; the result is empty without a baseline."""
    before, now = baseline.of(jobs), fresh.of(jobs)
    pairs = [(old, now[key]) for key, old in before.items() if key in now and now[key].status == "done"]
    compared = {old.key for old, _ in pairs}
    return [
        *(_lost(old, now.get(key)) for key, old in before.items() if key not in compared),
        *(finding for pair in pairs for finding in _exact(*pair)),
        *_accuracy(pairs),
        *_speed(pairs),
    ]


def _lost(old: Record, new: Record | None) -> Finding:
    now = "missing" if new is None else f"{new.status}: {new.reason}"
    return Finding(old.job.label, "record", old.status, now, "fail")


def _exact(old: Record, new: Record) -> Iterator[Finding]:
    """Compare what must be equal: index draws and dense costs always, every digest and cost if the numerics match."""
    provenances = old.provenance, new.provenance
    numerics = {(provenance.fingerprint, provenance.cpu_generation) for provenance in provenances}
    same_bits = len(numerics) == 1 and all(provenance.deterministic for provenance in provenances)
    digests = old.digests.keys() if same_bits else set(INDEX_DIGESTS) & old.digests.keys()
    compared = {name: (old.digests[name], new.digests.get(name)) for name in sorted(digests)}
    if same_bits and old.accuracy and new.accuracy:
        compared["top-1"] = str(old.accuracy.top1), str(new.accuracy.top1)
    if old.cost and new.cost:
        costs = type(old.cost).model_fields.keys() if same_bits else {"dense_params", "dense_macs"}
        compared |= {name: (str(getattr(old.cost, name)), str(getattr(new.cost, name))) for name in sorted(costs)}
    moved = [(name, was, now) for name, (was, now) in compared.items() if was != now]
    for name, was, now in moved:
        yield Finding(old.job.label, name, was, str(now), "fail")
    if not moved:
        yield Finding(old.job.label, "draws and costs", "", "the same", "pass")


def _accuracy(pairs: Iterable[Pair]) -> Iterator[Finding]:
    """Test all cells together, then each alone with its share of the error rate; the variance is pooled over all.

    A cell that is noisier than the rest is tested by its own variance, as the pooled one would make an alarm of noise.
    """
    cells: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for old, new in pairs:
        if old.accuracy and new.accuracy:
            cells[old.job.label.rpartition(", seed")[0]].append((100 * old.accuracy.top1, 100 * new.accuracy.top1))
    if not cells:
        return
    before, now = ([[pair[side] for pair in cell] for cell in cells.values()] for side in (0, 1))
    variance, freedom = pooled_variance([*before, *now])
    alone = [([old], [new]) for old, new in zip(before, now, strict=True)]
    for index, (where, (old_cells, new_cells)) in enumerate(
        zip(("all cells together", *cells), [(before, now), *alone], strict=True)
    ):
        own, _ = pooled_variance([*old_cells, *new_cells])
        change, p = loss_beyond(MARGIN, old_cells, new_cells, max(variance, own), freedom)
        alpha = ALPHA if index == 0 else ALPHA / len(cells)
        was, is_now = (fmean(fmean(cell) for cell in side) for side in (old_cells, new_cells))
        words = f"{is_now:.2f} ({change:+.2f}, p {p:.2g})"
        yield Finding(where, "top-1 %", f"{was:.2f}", words, "fail" if p < alpha else "pass")


def _speed(pairs: Iterable[Pair]) -> Iterator[Finding]:
    """Compare the training seconds of all jobs, each in units of the yardstick timed beside it.

    Another generation of CPUs speeds up large convolutions more than small ones, so that no yardstick holds on both.
    """
    both = [(old, new) for old, new in pairs if _is_timed(old) and _is_timed(new)]
    timed = [(old, new) for old, new in both if _generation(old) == _generation(new)]
    if both and not timed:
        was, is_now = (" ".join(filter(None, _generation(side))) for side in both[0])
        yield Finding("all jobs together", "training s in yardsticks", was, is_now, "inconclusive")
    changes = [_relative_seconds(new) / _relative_seconds(old) for old, new in timed]
    if len(changes) < 3:
        return
    on_gpu = any(new.provenance.device != new.provenance.cpu for _, new in timed)
    tolerance = GPU_TOLERANCE if on_gpu else CPU_TOLERANCE
    mean, half = interval_of_mean([math.log(change) for change in changes], 1 - 2 * ALPHA)
    low, high = math.exp(mean - half), math.exp(mean + half)
    words = f"× {math.exp(mean):.2f} ({low:.2f} to {high:.2f}; {1 + tolerance:.2f} is tolerated)"
    verdict = speed_verdict(low, high, tolerance)
    yield Finding("all jobs together", "training s in yardsticks", "× 1", words, verdict)


def speed_verdict(low: float, high: float, tolerance: float) -> Verdict:
    """Return "fail" if all of the interval lies beyond the tolerance, "pass" if none does, else "inconclusive"."""
    if low > 1 + tolerance:
        return "fail"
    return "pass" if high <= 1 + tolerance else "inconclusive"


def _is_timed(record: Record) -> bool:
    return bool(record.yardstick and record.seconds and record.seconds.train > 0)


def _generation(record: Record) -> tuple[str, str | None]:
    return record.provenance.capability, record.provenance.cpu_generation


def _relative_seconds(record: Record) -> float:
    assert record.seconds is not None
    return record.seconds.train / median(record.yardstick)
