"""Seconds and peak memory of one scoring pass: `nox -s benchmarks`."""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import pytest
import torch

from stampbench import registry
from stampbench.measure.hardware import cpu_model
from tests.benchmarks import scoring

WARMUPS = 1


@pytest.mark.benchmark
@pytest.mark.parametrize("network", registry.NETWORKS.targets())
@pytest.mark.parametrize(("name", "granularity"), scoring.subjects())
def test_scoring_pass(name: str, granularity: str, network: str, width: float, rounds: int, benchmark: Any) -> None:
    if benchmark.disabled:
        pytest.skip("benchmarks are disabled: nox -s benchmarks")
    step, steps = scoring.training_step(network, width), list[float]()

    def reference() -> None:
        start = time.perf_counter()
        step()
        steps.append(time.perf_counter() - start)

    # Run before each round, so that the reference is interleaved with what is measured.
    score = scoring.scoring_pass(name, granularity, network, width)
    benchmark.pedantic(score, setup=reference, rounds=rounds, warmup_rounds=WARMUPS)
    samples = list(benchmark.stats.stats.data)
    steps = steps[-len(samples) :]
    alone = scoring.memory_alone(name, granularity, network, width)
    resident, peak = alone["resident_mib"], alone["peak_mib"]
    benchmark.extra_info.update(
        {
            "method": name,
            "granularity": granularity,
            "network": network,
            "width": width,
            "device": cpu_model(),
            "threads": torch.get_num_threads(),
            "precision": "float64" if name == "synflow" else "fp32",
            "batch": scoring.BATCH,
            "seconds": samples,
            "training_step_s": steps,
            "training_steps": median(a / b for a, b in zip(samples, steps, strict=True)),
            **alone,
            "extra_mib": None if resident is None or peak is None else peak - resident,
        }
    )
