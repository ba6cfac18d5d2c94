from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stampbench import registry
from stampbench.report import published
from stampbench.store import Store
from stampbench.suite import Suite
from tests.fixtures import factories

METHODS = registry.METHODS
LOAD = published.load


@pytest.fixture(autouse=True)
def toy_methods(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "METHODS", registry.Registry("method", factories.TOY_METHODS))


@pytest.fixture(autouse=True)
def nothing_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Toys are not compared with the project's published numbers."""
    monkeypatch.setattr(published, "load", lambda: ())


@pytest.fixture
def real_methods(toy_methods: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """This project's methods again."""
    monkeypatch.setattr(registry, "METHODS", METHODS)


@pytest.fixture
def real_published(nothing_published: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """This project's published numbers again."""
    monkeypatch.setattr(published, "load", LOAD)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "results")


@pytest.fixture
def make_suite() -> Callable[..., Suite]:
    """A suite with one preset of one grid; keyword arguments replace the grid's fields."""

    def make(precision: str = "fp32", title: str = "Toys", **grid: Any) -> Suite:
        rows = [
            "dense",
            "random",
            {"name": "magnitude", "options": {"scope": "global"}},
            {"name": "magnitude", "start": "target"},
        ]
        whole = {
            "targets": ["cifar10"],
            "networks": ["vgg19"],
            "width": 0.25,
            "methods": rows,
            "budgets": [0.25],
        }
        protocol = factories.protocol().model_dump() | {"precision": precision}
        preset = {"protocol": protocol, "grid": [whole | {"seeds": 3} | grid]}
        point = {"keep": 0.25, "accuracy_of": {"name": "magnitude", "start": "target"}}
        return Suite.model_validate({"name": "toys", "title": title, "comparison": point, "presets": {"quick": preset}})

    return make
