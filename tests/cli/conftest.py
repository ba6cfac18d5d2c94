import pytest

from stampbench import cli, registry
from stampbench.measure import hardware
from stampbench.registry import Registry
from tests.cli.toy import SUITE, FakeExecutor, Runs
from tests.fixtures import factories


@pytest.fixture
def runs(monkeypatch):
    FakeExecutor.runs = Runs()
    fake = "tests.cli.toy:FakeExecutor"
    monkeypatch.setattr(registry, "EXECUTORS", Registry("executor", {"in-process": fake, "queued": fake}))
    return FakeExecutor.runs


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """A folder with one suite, toy methods, no CUDA device, and no data."""
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "toy.toml").write_text(SUITE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path / "cache"))
    for variable in ("STAMPBENCH_DATA", "STAMPBENCH_RESULTS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(registry, "METHODS", Registry("method", factories.TOY_METHODS))
    monkeypatch.setattr(hardware, "cuda_device_count", lambda: 0)
    # No image is read, so none is needed.
    monkeypatch.setattr("stampbench.running.fetching.fetch_missing", lambda *_: None)
    return tmp_path


@pytest.fixture
def stampbench(capsys):
    """Runs a command line; returns its exit code, standard output and standard error."""

    def call(*arguments: str):
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        captured = capsys.readouterr()
        return stopped.value.code or 0, captured.out, captured.err

    return call
