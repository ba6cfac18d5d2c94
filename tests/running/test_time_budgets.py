"""Budgets of time from the suite to the table: jobs name the table of their device, and records keep both shares."""

from dataclasses import replace

import pytest
import torch

from stampbench.errors import UserError
from stampbench.measure import hardware
from stampbench.measure import layer_times as measured
from stampbench.networks.check import checked
from stampbench.pruning.cost import CostModel
from stampbench.report.frames import job_frame
from stampbench.report.render.figures import figures_of
from stampbench.report.sections import preset_sections
from stampbench.running import layer_times
from stampbench.running.artefacts import Artefacts
from stampbench.running.executors.base import keep
from stampbench.running.layer_times import KIND, spec_of, with_tables
from stampbench.running.progress import SilentProgress
from stampbench.running.runner import run
from stampbench.running.workplace import Workplace
from stampbench.seeding import digest_of_tensors
from stampbench.store import Store
from tests.fixtures.quickly import quicken
from tests.fixtures.tables import made_up_table
from tests.fixtures.tiny import tiny

METHODS = '["dense", "random", "magnitude"]'


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Take a made-up table for the measured one: what plans are found must not depend on how busy the machine is."""
    quicken(monkeypatch.setattr)

    def made_up(name, network, groups, input_size, round_to, *_):
        return made_up_table(CostModel.of(network, groups, input_size), round_to), {"median_error": 0.02}

    monkeypatch.setattr(measured, "measure_layers", made_up)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A cache in which the one table lies once the first test has made it."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="module")
def suite():
    made = tiny(METHODS, seeds=1)
    (grid,) = made.presets["tiny"].grid
    timed = grid.model_copy(update={"resource": "training-time", "budgets": [0.6]})
    preset = made.presets["tiny"].model_copy(update={"grid": [timed]})
    return made.model_copy(update={"presets": {"tiny": preset}})


@pytest.fixture
def jobs(suite):
    return with_tables(suite.jobs("tiny", "fp32"), {})


@pytest.fixture
def workplace(tmp_path, packed_images, made):
    artefacts = Artefacts(tmp_path / "pool", made)
    return Workplace(Store(tmp_path), artefacts, {}, torch.device("cpu"), SilentProgress(), "in-process")


def test_only_budgets_of_time_name_a_table_and_all_of_a_device_the_same(suite, jobs):
    before = suite.jobs("tiny", "fp32")
    named = [job.budget.table for job in jobs]
    assert named[0] is None and jobs[0].key == before[0].key
    assert named[1] is not None and named[1] == named[2] and jobs[1].key != before[1].key
    assert jobs[1].canonical["budget"]["table"] == named[1]


def test_another_device_has_another_table_and_a_job_that_names_it_is_refused(jobs, monkeypatch):
    monkeypatch.setattr(hardware, "cpu_model", lambda: "another processor")
    monkeypatch.setattr(hardware, "cuda_device_count", lambda: 0)
    assert with_tables(jobs, {})[1].budget.table != jobs[1].budget.table
    with pytest.raises(UserError, match="was measured elsewhere"):
        spec_of(jobs[1], {})


def test_records_keep_the_predicted_share_and_the_table_and_reports_both_shares(suite, jobs, workplace, tmp_path):
    records = [run(job, workplace) for job in jobs]
    assert [record.status for record in records] == ["done"] * 3, [record.reason for record in records]
    table = next(use for use in records[1].artefacts if use.kind == KIND)
    assert table.scope == "device" and table.digest == jobs[1].budget.table and table.seconds > 0
    # The record tells what the table held, and the pool keeps it.
    held = Artefacts(workplace.artefacts.pool, tmp_path / "no cache").load(spec_of(jobs[1], {}))
    assert table.tensors == digest_of_tensors(held.tensors)
    assert not any(use.kind == KIND for use in records[0].artefacts)
    assert records[0].cost.predicted_share is None
    # No time of the table is charged to a target or to the reference side.
    assert records[1].seconds.pretrain == 0
    store = workplace.speeds
    for record in records:
        keep(record, [], store)
    frame = job_frame(jobs, store)
    shares = frame["predicted_share"].astype(float).tolist()
    assert all(0.3 < share <= 0.6 for share in shares[1:])
    assert (frame["measured_share"].astype(float)[1:] > 0).all() and frame["measured_share"].isna()[0]
    # On any machine, a report finds the records by the table that they name.
    (section,) = preset_sections(suite, "tiny", Store(tmp_path))
    (target,) = [table for table in section.tables if "digits" in table.name and "resnet18" in table.name][:1]
    headings = [column.heading for column in target.columns]
    assert "predicted time %" in headings and "measured time %" in headings
    assert "3/5 training time" in {row[2].text for row in target.rows}
    (figure,) = [figure for figure in figures_of(section.data) if "accuracy-step" in figure.name]
    assert "the measured training time" in figure.caption and "3/5" in figure.caption


def test_the_same_table_gives_the_same_plan(jobs, workplace):
    first, second = (run(jobs[2], workplace) for _ in range(2))
    assert first.cost == second.cost and first.accuracy == second.accuracy


def test_machines_that_are_shared_measure_no_table(jobs, workplace, tmp_path):
    shared = replace(workplace, exclusive=False, artefacts=Artefacts(tmp_path / "pool", tmp_path / "cache"))
    with pytest.raises(UserError, match="--executor in-process"):
        run(jobs[1], shared)


def test_a_budget_that_no_widths_can_meet_names_the_least_share(jobs, workplace):
    budget = jobs[1].budget.model_copy(update={"keep": 0.01})
    record = run(jobs[1].model_copy(update={"budget": budget}), workplace)
    assert record.status == "failed" and "% of the dense network's" in record.reason


def test_a_job_without_a_table_says_so(suite, workplace):
    record = run(suite.jobs("tiny", "fp32")[1], workplace)
    assert record.status == "failed" and "needs a table of layers" in record.reason


def test_the_table_is_no_part_of_what_an_offline_machine_gets(suite, jobs):
    assert all(layer_times.spec_of(job, {}) is None for job in suite.jobs("tiny", "fp32"))


@pytest.mark.parametrize(
    ("error", "round_to", "advice"), [(0.16, 8, "round_to = 16"), (0.16, 16, "round_to = 32"), (0.05, 8, None)]
)
def test_a_table_that_misses_its_own_networks_is_told_with_what_to_do(
    jobs, error, round_to, advice, monkeypatch, caplog
):
    table = made_up_table(CostModel.of(*checked(jobs[1].network, jobs[1].width, 32), 32), round_to)
    monkeypatch.setattr(measured, "measure_layers", lambda *_: (table, {"median_error": error}))
    spec = spec_of(jobs[1], {})
    layer_times.make(
        spec.model_copy(update={"recipe": spec.recipe | {"round_to": round_to}}), torch.device("cpu"), print
    )
    assert (advice is None) == ("16 %" not in caplog.text)
    assert advice is None or advice in caplog.text
