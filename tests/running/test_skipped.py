"""A method that cannot serve a network says so: the job is skipped, and the reason is told wherever results are."""

import pytest

from stampbench import cli, registry
from stampbench.errors import UserError
from stampbench.registry import Registry
from stampbench.running.executors.local import Local
from stampbench.running.preparing import method_of, needed_artefacts, unserved
from stampbench.running.progress import SilentProgress
from stampbench.store import Store
from stampbench.suite import Suite
from tests.fixtures import small_networks as small
from tests.fixtures.quickly import quicken
from tests.fixtures.reports import suite_tables
from tests.fixtures.tiny import TINY
from tests.fixtures.toy_methods import Prepared

REASON = "it knows no depthwise convolutions such as 'deep1'"


class Choosy(Prepared):
    name = "choosy"
    card = "Serves no network with depthwise convolutions, and would first make something."

    def serves(self, network, groups):
        found = [name for group in groups for name in group.depthwise]
        return f"it knows no depthwise convolutions such as {found[0]!r}" if found else None

    def prepare(self, spec, task, artefacts, context):
        raise AssertionError("nothing is made for a job that is skipped")


SUITE = TINY.model_dump(mode="json")
(GRID,) = SUITE["presets"]["tiny"]["grid"]
GRID |= {"networks": ["small"], "methods": ["dense", "choosy"], "budgets": [0.5], "seeds": 1}


@pytest.fixture
def suite(tmp_path, monkeypatch):
    monkeypatch.setenv("STAMPBENCH_CACHE", str(tmp_path / "cache"))
    quicken(monkeypatch.setattr)
    methods = registry.METHODS.targets() | {"choosy": "tests.running.test_skipped:Choosy"}
    monkeypatch.setattr(registry, "METHODS", Registry("method", methods))
    networks = {"small": "tests.fixtures.small_networks:Separable", "resnet18": registry.NETWORKS.targets()["resnet18"]}
    monkeypatch.setattr(registry, "NETWORKS", Registry("network", networks))
    return Suite.model_validate(SUITE)


def test_a_job_that_its_method_cannot_serve_is_skipped_with_the_reason(suite, tmp_path):
    jobs, store = suite.jobs("tiny", "fp32"), Store(tmp_path / "results")
    outcomes = {record.job.method: record for record in Local().run(jobs, suite, store, SilentProgress())}
    assert outcomes["dense"].status == "done", outcomes["dense"].reason
    assert (outcomes["choosy"].status, outcomes["choosy"].reason) == ("skipped", REASON)
    assert Local().run(jobs, suite, store, SilentProgress()) == []


def test_a_skipped_job_rests_on_no_artefact(suite):
    (job,) = (job for job in suite.jobs("tiny", "fp32") if job.method == "choosy")
    assert needed_artefacts(job, method_of(job), {}, None) == []
    served = job.model_copy(update={"network": "resnet18"})
    assert method_of(served).artefacts(served)


def test_a_transplant_serves_what_its_masks_method_serves(suite):
    job = next(job for job in suite.jobs("tiny", "fp32") if job.method == "choosy")
    transplant = job.model_copy(update={"method": "transplant", "options": {"mask": "choosy", "options": {}}})
    assert unserved(transplant, method_of(transplant), {}) == REASON
    plain = transplant.model_copy(update={"options": {"mask": "snip", "options": {}}})
    assert unserved(plain, method_of(plain), {}) is None


def test_a_skip_is_told_by_run_and_table_and_is_no_failure(suite, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("stampbench.suite.load", lambda _path: suite)
    monkeypatch.setattr("stampbench.running.campaign.suite_path", lambda name: tmp_path / name)

    def call(*arguments):
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments)
        return stopped.value.code or 0, capsys.readouterr()

    code, printed = call("run", "tiny", "--preset", "tiny", "--method", "choosy")
    assert code == 0
    assert "skipped: " in printed.err and REASON in printed.err
    assert "have no result" not in printed.err
    tables = suite_tables(suite, "tiny", Store(tmp_path / "results"))
    assert [note for table in tables for note in table.notes if "skipped" in note] == [f"1 of 1 seed skipped: {REASON}"]


def test_a_network_that_breaks_the_contract_stops_the_run_before_anything_is_trained(suite, tmp_path, monkeypatch):
    jobs = [job.model_copy(update={"network": "faulty"}) for job in suite.jobs("tiny", "fp32")]
    monkeypatch.setattr(small, "faulty", small.FAULTS["layer norm and linear"][0], raising=False)
    networks = {"faulty": "tests.fixtures.small_networks:faulty"}
    monkeypatch.setattr(registry, "NETWORKS", Registry("network", networks))
    store = Store(tmp_path / "results")
    with pytest.raises(UserError, match=r"'faulty'.*LayerNorm 'blocks\.1'"):
        Local().run(jobs, suite, store, SilentProgress())
    assert list(store.records()) == []
