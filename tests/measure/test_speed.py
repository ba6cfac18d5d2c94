"""Speed is measured once per widths, with every sample kept."""

import random
import statistics
from pathlib import Path

import pytest
import torch

from stampbench.measure import speed
from stampbench.measure.comparable import share_of_time
from stampbench.networks.initial import build
from stampbench.pruning.groups import channel_groups
from stampbench.record import Speed

CPU = torch.device("cpu")


def widths(share: int) -> dict[str, int]:
    groups = channel_groups(build("resnet18", 10, 0.125), 16)
    return {group.name: group.width // share for group in groups}


def test_all_samples_of_both_networks_are_kept(monkeypatch):
    monkeypatch.setattr(speed, "ROUNDS", {"train_step": 2, "latency": 3, "inference": 1})
    found = speed.measure("resnet18", 10, 16, widths(2), widths(1), "fp32", CPU, "test", exclusive=True)
    for timing, rounds, batch in ((found.train_step, 2, 128), (found.latency, 3, 1), (found.inference, 1, 256)):
        assert len(timing.dense) == len(timing.compact) == rounds
        assert timing.batch_size == batch
        assert min(timing.dense + timing.compact) > 0
    assert found.widths == widths(2)
    assert found.dense_widths == widths(1)


def steps_of(monkeypatch, ratio):
    """Two steps whose seconds are 1, and what `ratio` returns next."""
    monkeypatch.setattr(speed, "_seconds", lambda step, _device: step())
    return [lambda: 1.0, ratio]


def test_a_share_that_varies_is_measured_longer_until_its_error_is_small(monkeypatch):
    stream = random.Random(0)
    for spread in (0.0, 0.02, 0.06, 0.5):
        ratios = []
        steps = steps_of(monkeypatch, lambda spread=spread: 0.5 * (1 + stream.gauss(0, spread)))
        for _ in range(100):
            dense, small = speed.settled(steps, 0, 10, CPU)
            known = speed.share_error(dense, small) <= speed.PRECISE
            assert known or len(small) == 10 * speed.REPEATS
            ratios.append((len(small), share_of_time(dense, small)))
        if spread < 0.1:
            assert statistics.stdev(share for _, share in ratios) / 0.5 < 1.5 * speed.PRECISE
        lengths = {length for length, _ in ratios}
        assert lengths == {0.0: {10}, 0.5: {60}}.get(spread, lengths)


def test_the_standard_error_is_that_of_many_medians(monkeypatch):
    stream = random.Random(1)
    steps = steps_of(monkeypatch, lambda: 0.25 * (1 + stream.gauss(0, 0.08)))
    taken = [speed.alternated(steps, 0, 41, CPU) for _ in range(400)]
    spread = statistics.stdev(share_of_time(*pair) for pair in taken) / 0.25
    assert statistics.mean(speed.share_error(*pair) for pair in taken) == pytest.approx(spread, rel=0.1)


def test_only_the_timing_of_a_budget_is_measured_longer(monkeypatch):
    monkeypatch.setattr(speed, "ROUNDS", {"train_step": 2, "latency": 3, "inference": 1})
    monkeypatch.setattr(speed, "PRECISE", 0.0)
    for budgeted in ("train_step", "latency"):
        shape = ("resnet18", 10, 16, widths(2), widths(1), "fp32")
        found = speed.measure(*shape, CPU, "test", exclusive=True, budgeted=budgeted)
        for kind, rounds in speed.ROUNDS.items():
            longer = speed.REPEATS if kind == budgeted else 1
            assert len(getattr(found, kind).dense) == longer * rounds


def test_the_key_depends_on_widths_and_conditions_alone():
    keys = {
        speed.speed_key("resnet18", 10, 16, widths(1), "fp32", exclusive=True),
        speed.speed_key("resnet18", 10, 16, widths(2), "fp32", exclusive=True),
        speed.speed_key("resnet18", 100, 16, widths(1), "fp32", exclusive=True),
        speed.speed_key("resnet18", 10, 32, widths(1), "fp32", exclusive=True),
        speed.speed_key("resnet18", 10, 16, widths(1), "bf16", exclusive=True),
        speed.speed_key("resnet18", 10, 16, widths(1), "fp32", exclusive=False),
        speed.speed_key("resnet18", 10, 16, widths(1), "fp32", exclusive=True, budgeted="train_step"),
        speed.speed_key("resnet18", 10, 16, widths(1), "fp32", exclusive=True, budgeted="latency"),
    }
    assert len(keys) == 8
    assert speed.speed_key("resnet18", 10, 16, widths(1), "fp32", exclusive=True) in keys


COMMITTED = Path(__file__).parents[2] / "results" / "speed"
# What a key names of the machine that measured the first speeds of the pool.
DEVICE, BUILD = "AMD EPYC", "2.15.0+cu132"


def test_committed_speeds_keep_their_keys(monkeypatch):
    found = [Speed.model_validate_json(path.read_bytes()) for path in COMMITTED.glob("*.json")]
    found = [s for s in found if s.provenance.device == DEVICE and s.provenance.versions["torch"] in BUILD]
    assert len(found) >= 493
    monkeypatch.setattr(speed, "device_name", lambda device: DEVICE)
    monkeypatch.setattr(torch, "__version__", BUILD)
    for held in found:
        made = held.provenance
        monkeypatch.setattr(torch, "get_num_threads", lambda made=made: made.threads)
        monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda made=made: made.deterministic)
        monkeypatch.setattr(speed, "freed_is_kept", lambda made=made: made.keeps_memory)
        conditions = (held.network, held.classes, held.input_size, held.widths, held.precision)
        assert speed.speed_key(*conditions, exclusive=made.exclusive) == held.key
