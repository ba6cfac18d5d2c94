"""The third party's example package, importable as if pip had installed it; and records of the tiny suite."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples at every run; HYPOTHESIS_PROFILE=random draws others.
settings.register_profile("derandomised", derandomize=True)
settings.register_profile("random", derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "derandomised"))

THIRD_PARTY = str(Path(__file__).parent / "third_party")
sys.path.append(THIRD_PARTY)
# Subprocesses of tests find it too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), THIRD_PARTY]))


@pytest.fixture(scope="session")
def pool(tmp_path_factory):
    """Every job of the tiny suite, run once."""
    from stampbench.measure import speed
    from stampbench.running.executors.local import Local
    from stampbench.running.progress import SilentProgress
    from stampbench.store import Store
    from tests.tiny import JOBS, TINY

    folder = tmp_path_factory.mktemp("pool")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STAMPBENCH_CACHE", str(folder / "cache"))
        patch.delenv("STAMPBENCH_DATA", raising=False)
        patch.setattr(speed, "ROUNDS", {"train_step": 1, "latency": 1, "inference": 1})
        store = Store(folder / "results")
        records = Local().run(JOBS, TINY, store, SilentProgress())
        yield store, {record.key: record for record in records}
