"""Two pieces of work timed in turn in one process, every sample kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest
import torch

from stampbench.measure.hardware import cpu_model

WARMUPS = 1


def compare(
    benchmark: Any, work: Callable[[], object], reference: Callable[[], object], rounds: int, /, **info: Any
) -> None:
    """Times `work` right after `reference`, `rounds` times; `info` goes into the JSON with both sides' seconds.

    Its `ratio` is the median over rounds of seconds of work to seconds of reference.
    """
    if benchmark.disabled:
        pytest.skip("benchmarks are disabled: nox -s benchmarks")
    others = list[float]()

    def timed_reference() -> None:
        start = time.perf_counter()
        reference()
        others.append(time.perf_counter() - start)

    benchmark.pedantic(work, setup=timed_reference, rounds=rounds, warmup_rounds=WARMUPS)
    samples = list(benchmark.stats.stats.data)
    others = others[-len(samples) :]
    conditions = {"device": cpu_model(), "threads": torch.get_num_threads()}
    ratio = median(a / b for a, b in zip(samples, others, strict=True))
    benchmark.extra_info.update(conditions | info | {"seconds": samples, "reference_s": others, "ratio": ratio})
