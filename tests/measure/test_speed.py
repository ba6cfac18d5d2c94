"""Speed is measured once per widths, with every sample kept."""

from pathlib import Path

import torch

from stampbench.measure import speed
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


def test_the_key_depends_on_widths_and_conditions_alone():
    keys = {
        speed.speed_key("resnet18", 10, 16, widths(1), "fp32", exclusive=True),
        speed.speed_key("resnet18", 10, 16, widths(2), "fp32", exclusive=True),
        speed.speed_key("resnet18", 100, 16, widths(1), "fp32", exclusive=True),
        speed.speed_key("resnet18", 10, 32, widths(1), "fp32", exclusive=True),
        speed.speed_key("resnet18", 10, 16, widths(1), "bf16", exclusive=True),
        speed.speed_key("resnet18", 10, 16, widths(1), "fp32", exclusive=False),
    }
    assert len(keys) == 6
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
        conditions = (held.network, held.classes, held.input_size, held.widths, held.precision)
        assert speed.speed_key(*conditions, exclusive=made.exclusive) == held.key
