"""The third party's example package, as if installed; a cache of the tests' own; and records of the tiny suite."""

import os
import sys
from pathlib import Path

import pytest

from tests.fixtures import examples

examples.load_profile()

THIRD_PARTY = str(Path(__file__).parent / "third_party")
sys.path.append(THIRD_PARTY)
# Subprocesses of tests find it too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), THIRD_PARTY]))


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """A cache that starts empty, no data root and no download: tests neither read nor write what is the user's."""
    folder = tmp_path_factory.mktemp("shared") / "cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STAMPBENCH_CACHE", str(folder))
        patch.setenv("STAMPBENCH_OFFLINE", "1")
        patch.delenv("STAMPBENCH_DATA", raising=False)
        yield folder


@pytest.fixture(scope="session")
def packed_images(own_cache):
    """The folder of the packed images of digits and glyphs, which take seconds to draw."""
    from stampbench.data import packed

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STAMPBENCH_CACHE", str(own_cache))
        for name in ("digits", "glyphs"):
            packed.load(name)
    return own_cache / "data"


@pytest.fixture(scope="session")
def pool(own_cache, packed_images):
    """Every job of the tiny suite, run once."""
    from stampbench.running.executors.local import Local
    from stampbench.running.progress import SilentProgress
    from stampbench.store import Store
    from tests.fixtures.quickly import quicken
    from tests.fixtures.tiny import JOBS, TINY

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STAMPBENCH_CACHE", str(own_cache))
        quicken(patch.setattr)
        store = Store(own_cache.parent / "results")
        records = Local().run(JOBS, TINY, store, SilentProgress())
    return store, {record.key: record for record in records}
