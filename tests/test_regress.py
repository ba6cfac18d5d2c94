"""The gate is silent on noise and hears what moved."""

from __future__ import annotations

import math
import os
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import fmean, variance
from xml.etree import ElementTree

import pytest

from stampbench import regress
from stampbench.errors import UserError
from stampbench.job import Job
from stampbench.record import Record
from stampbench.regress import Finding, check
from stampbench.report import gate
from stampbench.store import Store
from tests.fixtures import factories

BASELINES = Path(__file__).parents[1] / "results" / "baselines"
# Ten cells, a few more than in the demo suite, of two seeds.
METHODS = [f"method-{index}" for index in range(10)]
NOISE = 0.10


def deviation_of_the_demo() -> float:
    """Of its own seeds' accuracies in the committed baseline, pooled over its cells, in points."""
    cells = defaultdict[str, list[float]](list)
    for folder in BASELINES.glob("demo-*"):
        for record in Store(folder).records():
            assert record.accuracy is not None
            cells[folder.name + record.job.label.rpartition(", seed")[0]].append(100 * record.accuracy.top1)
    return math.sqrt(fmean(variance(cell) for cell in cells.values()))


DEVIATION = deviation_of_the_demo()


def jobs() -> list[Job]:
    return [factories.job(method, seed=seed) for method in METHODS for seed in range(2)]


class MemoryStore:
    """Records in memory, so that a thousand comparisons take seconds."""

    def __init__(self, records: Iterable[Record]) -> None:
        self._records = {record.key: record for record in records}

    def of(self, jobs: Iterable[Job]) -> dict[str, Record]:
        return {job.key: self._records[job.key] for job in jobs if job.key in self._records}


def run_of(stream: random.Random, jobs: Iterable[Job], loss: float = 0.0, slower: float = 1.0) -> MemoryStore:
    """A run on some machine of another fingerprint: accuracies of the cells' levels with seed noise, noisy clocks."""
    fingerprint = f"{stream.getrandbits(64):016x}"
    records = []
    for index, job in enumerate(jobs):
        top1 = 0.5 + 0.02 * (index // 2) + stream.gauss(0, DEVIATION / 100) - loss / 100
        top1 = min(max(top1, 0.0), 1.0)
        seconds = factories.seconds(train=30 * slower * (1 + stream.gauss(0, NOISE)))
        yardstick = [0.01 * (1 + stream.gauss(0, NOISE)) for _ in range(10)]
        provenance = factories.provenance(fingerprint=fingerprint)
        records.append(factories.record(job, top1=top1, seconds=seconds, yardstick=yardstick, provenance=provenance))
    return MemoryStore(records)


def failures(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.verdict == "fail"]


def share_failing(comparisons: int, what: str, **change: float) -> float:
    stream, wanted = random.Random(0), jobs()
    count = 0
    for _ in range(comparisons):
        found = check(wanted, run_of(stream, wanted, **change), run_of(stream, wanted))
        count += any(what in finding.what for finding in failures(found))
    return count / comparisons


def test_a_thousand_comparisons_of_noise_give_few_false_alarms() -> None:
    assert share_failing(1000, "") <= 0.01


def test_a_cell_noisier_than_the_rest_gives_few_false_alarms() -> None:
    """Four times the noise of the others, as random channels have in the demo, whose plans differ from seed to seed."""
    stream, alarms = random.Random(0), 0
    wanted = [factories.job(method, seed=seed) for method in METHODS for seed in range(3)]
    noise = {job.key: 0.08 if job.method == METHODS[0] else 0.02 for job in wanted}

    def on_some_machine() -> MemoryStore:
        made = factories.provenance(fingerprint=f"{stream.getrandbits(64):016x}")
        return MemoryStore(
            factories.record(job, top1=0.5 + stream.gauss(0, noise[job.key]), provenance=made) for job in wanted
        )

    for _ in range(400):
        found = failures(check(wanted, on_some_machine(), on_some_machine()))
        alarms += any("top-1" in finding.what for finding in found)
    assert alarms / 400 <= 0.03


def test_half_as_slow_again_is_caught() -> None:
    assert share_failing(300, "training s", slower=1.5) >= 0.99


def test_a_loss_of_three_deviations_is_caught() -> None:
    assert share_failing(300, "top-1", loss=3 * DEVIATION) >= 0.99


def test_a_gain_and_a_faster_run_pass() -> None:
    assert share_failing(50, "", loss=-5.0, slower=0.5) == 0


def changed(record: Record, **changes: object) -> Record:
    return record.model_copy(update=changes)


MOVED: dict[str, Callable[[Record], Record]] = {
    "batch_order": lambda r: changed(r, digests=r.digests | {"batch_order": "0" * 16}),
    "augmentation": lambda r: changed(r, digests=r.digests | {"augmentation": "0" * 16}),
    "macs": lambda r: changed(r, cost=r.cost.model_copy(update={"macs": r.cost.macs + 1})),
    "widths": lambda r: changed(r, cost=r.cost.model_copy(update={"widths": {}})),
    "dense_params": lambda r: changed(r, cost=r.cost.model_copy(update={"dense_params": 1})),
    "initial_weights": lambda r: changed(r, digests=r.digests | {"initial_weights": "0" * 16}),
    "top-1": lambda r: changed(r, accuracy=r.accuracy.model_copy(update={"top1": r.accuracy.top1 + 1e-6})),
}


@pytest.mark.parametrize("what", MOVED)
def test_what_must_be_exact_is_always_caught(what: str) -> None:
    wanted = jobs()
    before = [factories.record(job) for job in wanted]
    now = [MOVED[what](before[0]), *before[1:]]
    (finding,) = failures(check(wanted, MemoryStore(now), MemoryStore(before)))
    assert (finding.where, finding.what) == (wanted[0].label, what)


@pytest.mark.parametrize("other", [{"fingerprint": "0" * 16}, {"cpu_generation": "25-17-1"}, {"deterministic": False}])
@pytest.mark.parametrize("what", ["widths", "macs", "initial_weights", "top-1"])
def test_bits_may_differ_where_the_numerics_do(what: str, other: dict[str, object]) -> None:
    wanted = jobs()
    before = [factories.record(job) for job in wanted]
    elsewhere = factories.provenance(**other)
    now = [changed(MOVED[what](record), provenance=elsewhere) for record in before]
    assert failures(check(wanted, MemoryStore(now), MemoryStore(before))) == []


@pytest.mark.parametrize("what", ["batch_order", "augmentation", "dense_params"])
def test_draws_and_the_dense_network_are_the_same_everywhere(what: str) -> None:
    wanted = jobs()
    before = [factories.record(job) for job in wanted]
    elsewhere = factories.provenance(fingerprint="0" * 16)
    now = [changed(MOVED[what](record), provenance=elsewhere) for record in before]
    assert len(failures(check(wanted, MemoryStore(now), MemoryStore(before)))) == len(wanted)


def test_a_missing_and_a_failed_cell_are_caught() -> None:
    wanted = jobs()
    before = [factories.record(job) for job in wanted]
    now = [factories.failed(wanted[0]), *before[2:]]
    found = failures(check(wanted, MemoryStore(now), MemoryStore(before)))
    assert [(f.where, f.now) for f in found] == [
        (wanted[0].label, "failed: diverged loss"),
        (wanted[1].label, "missing"),
    ]


def test_an_interval_across_the_tolerance_is_inconclusive() -> None:
    assert regress.speed_verdict(1.31, 1.6, 0.3) == "fail"
    assert regress.speed_verdict(1.2, 1.5, 0.3) == "inconclusive"
    assert regress.speed_verdict(0.9, 1.29, 0.3) == "pass"


def test_without_a_baseline_nothing_is_found(tmp_path: Path) -> None:
    wanted = jobs()
    fresh = MemoryStore(factories.record(job) for job in wanted)
    assert check(wanted, fresh, Store(tmp_path / "nothing")) == []


def test_a_stored_baseline_is_what_was_stored(tmp_path: Path) -> None:
    wanted, fresh, baseline = jobs(), Store(tmp_path / "fresh"), regress.baseline_of(tmp_path, "demo", "demo", "CPU")
    for job in wanted[1:]:
        fresh.put(factories.record(job))
    fresh.put(factories.failed(wanted[0]))
    assert regress.store_baseline(wanted, fresh, baseline) == len(wanted) - 1
    assert baseline.of(wanted) == {key: r for key, r in fresh.of(wanted).items() if r.status == "done"}
    assert failures(check(wanted, fresh, baseline)) == []


def test_reports_name_what_moved() -> None:
    findings = [
        Finding("a|b", "macs", "1", "2", "fail"),
        Finding("all jobs together", "training s in yardsticks", "× 1", "× 1.2", "inconclusive"),
        Finding("c", "draws and costs", "", "the same", "pass"),
    ]
    assert gate.tally(findings) == "1 fail, 1 inconclusive, 1 pass"
    assert [finding.where for finding in gate.notable(findings)] == ["a|b", "all jobs together"]
    assert r"a\|b" in gate.summary("check <of> demo", findings)
    suite = ElementTree.fromstring(gate.junit("check <of> demo", findings))
    assert suite.attrib == {"name": "check <of> demo", "tests": "3", "failures": "1", "skipped": "1"}
    assert [len(case) for case in suite] == [1, 1, 0]


def test_without_a_finished_job_the_old_baseline_stays(tmp_path: Path) -> None:
    wanted, fresh, baseline = jobs(), Store(tmp_path / "fresh"), Store(tmp_path / "baselines" / "demo")
    fresh.put(factories.record(wanted[0]))
    regress.store_baseline(wanted, fresh, baseline)
    with pytest.raises(UserError, match="none of these jobs is done"):
        regress.store_baseline(wanted[1:], fresh, baseline)
    assert list(baseline.of(wanted)) == [wanted[0].key]


def test_a_baseline_that_cannot_be_stored_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, fresh, baseline = jobs(), Store(tmp_path / "fresh"), Store(tmp_path / "baselines" / "demo")
    for job in wanted:
        fresh.put(factories.record(job))
    regress.store_baseline(wanted[:1], fresh, baseline)

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match="No space left"):
        regress.store_baseline(wanted, fresh, baseline)
    monkeypatch.undo()
    assert list(baseline.of(wanted)) == [wanted[0].key]
    assert regress.store_baseline(wanted, fresh, baseline) == len(wanted)
    assert [path.name for path in (tmp_path / "baselines").iterdir()] == ["demo"]


def test_training_that_took_no_time_is_not_compared() -> None:
    wanted = jobs()

    def store(train: float) -> MemoryStore:
        seconds = factories.seconds(train=train)
        return MemoryStore(factories.record(job, yardstick=[1.0], seconds=seconds) for job in wanted)

    assert not [finding for finding in check(wanted, store(0.0), store(1.0)) if "yardsticks" in finding.what]


@pytest.mark.parametrize("other", [{"cpu_generation": "25-17-1"}, {"capability": "AVX512"}])
def test_seconds_of_another_generation_of_cpus_are_not_judged(other: dict[str, object]) -> None:
    wanted = jobs()
    before = [factories.record(job, yardstick=[1.0]) for job in wanted]
    slower = factories.seconds(train=300.0)
    now = [changed(record, provenance=factories.provenance(**other), seconds=slower) for record in before]
    here = [changed(record, seconds=slower) for record in before]

    def verdicts(records: list[Record]) -> list[str]:
        found = check(wanted, MemoryStore(records), MemoryStore(before))
        return [finding.verdict for finding in found if "yardsticks" in finding.what]

    assert verdicts(here) == ["fail"] and verdicts(now) == ["inconclusive"]
