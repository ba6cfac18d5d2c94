"""A good suite and its records, to be spoiled."""

from __future__ import annotations

from pathlib import Path

from stampbench import suite
from stampbench.measure import hardware
from stampbench.store import Store
from tests.fixtures import factories
from tests.fixtures.toy_suite import toy_suite

SUITE = toy_suite()


def with_suite(folder: Path, text: str | bytes = SUITE) -> Path:
    """Write the suite into `suites/` of a folder, where commands find it by its name, toy."""
    path = folder / "suites" / "toy.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
    return path


def with_record(folder: Path) -> Path:
    """Write the suite and a record of its first job, and return the path of the record."""
    job = suite.load(with_suite(folder)).jobs("quick", hardware.preferred_precision(cuda=False))[0]
    Store(folder / "results").put(factories.record(job))
    return folder / "results" / "records" / f"{job.key}.json"
