"""Speed is measured once per widths, with every sample kept."""

import torch

from stampbench.measure import speed
from stampbench.networks.initial import build
from stampbench.pruning.groups import channel_groups

CPU = torch.device("cpu")


def widths(share: int) -> dict[str, int]:
    groups = channel_groups(build("resnet18", 10, 0.125), 16)
    return {group.name: group.width // share for group in groups}


def test_all_samples_of_both_networks_are_kept(monkeypatch):
    monkeypatch.setattr(speed, "ROUNDS", {"train_step": 2, "latency": 3, "inference": 1})
    found = speed.measure("resnet18", 10, 16, widths(2), widths(1), "fp32", CPU, "test")
    for timing, rounds, batch in ((found.train_step, 2, 128), (found.latency, 3, 1), (found.inference, 1, 256)):
        assert len(timing.dense) == len(timing.compact) == rounds
        assert timing.batch_size == batch
        assert min(timing.dense + timing.compact) > 0
    assert found.widths == widths(2)
    assert found.dense_widths == widths(1)


def test_the_key_depends_on_widths_and_conditions_alone():
    keys = {
        speed.speed_key("resnet18", 10, 16, widths(1), "fp32", "in-process"),
        speed.speed_key("resnet18", 10, 16, widths(2), "fp32", "in-process"),
        speed.speed_key("resnet18", 100, 16, widths(1), "fp32", "in-process"),
        speed.speed_key("resnet18", 10, 32, widths(1), "fp32", "in-process"),
        speed.speed_key("resnet18", 10, 16, widths(1), "bf16", "in-process"),
        speed.speed_key("resnet18", 10, 16, widths(1), "fp32", "ray"),
    }
    assert len(keys) == 6
    assert speed.speed_key("resnet18", 10, 16, widths(1), "fp32", "in-process") in keys
