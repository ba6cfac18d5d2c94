from pathlib import Path

import numpy as np
import pytest

from stampbench.data import packed


@pytest.fixture(autouse=True)
def places(tmp_path, monkeypatch):
    """An empty data root and an empty cache for every test."""
    for name, variable in (("root", "STAMPBENCH_DATA"), ("cache", "STAMPBENCH_CACHE")):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(variable, str(tmp_path / name))
    packed._read.cache_clear()


@pytest.fixture
def root(tmp_path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def pixels():
    """Makes random images, uint8 (n, size, size, 3)."""
    stream = np.random.default_rng(0)
    return lambda count, size=32: stream.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
