"""Options of the benchmarks, and what their JSON must not tell."""

from __future__ import annotations

from typing import Any

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("scoring")
    group.addoption("--scoring-width", type=float, default=1.0, help="width multiplier of the networks")
    group.addoption("--scoring-rounds", type=int, default=3, help="timed scoring passes of each method")


@pytest.fixture
def width(request: pytest.FixtureRequest) -> float:
    return float(request.config.getoption("--scoring-width", default=1.0))


@pytest.fixture
def rounds(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--scoring-rounds", default=3))


@pytest.hookimpl(optionalhook=True)
def pytest_benchmark_update_machine_info(config: pytest.Config, machine_info: dict[str, Any]) -> None:
    """The processor and the versions stay; no host."""
    processor = machine_info.get("cpu", {})
    cpu = {key: processor[key] for key in ("brand_raw", "arch", "count") if key in processor}
    keep = ("machine", "python_implementation", "python_version", "system")
    kept = {key: machine_info[key] for key in keep if key in machine_info}
    machine_info.clear()
    machine_info.update(kept | {"cpu": cpu})
