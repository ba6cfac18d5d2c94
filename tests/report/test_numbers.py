"""The CSV files of a report, read back by pandas: numbers for a computer, one row per cell and one per job."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import fmean, stdev

import pandas as pd
import pytest

from stampbench.report.frames import HEAD, MEASURES, PLACE
from stampbench.report.write import write_report
from stampbench.store import Store
from stampbench.suite import Suite
from tests.fixtures import factories

ACCURACIES = {0: 0.5, 1: 0.75}


@pytest.fixture
def suite(make_suite: Callable[..., Suite], store: Store) -> Suite:
    """Two of three seeds of every method but random; random failed with one that holds a comma and quotes."""
    suite = make_suite()
    for job in suite.jobs("quick", "fp32"):
        if job.method == "random":
            store.put(factories.failed(job, 'no "room", sorry'))
        elif job.seed in ACCURACIES:
            store.put(factories.record(job, top1=ACCURACIES[job.seed]))
    return suite


def written(suite: Suite, store: Store, out: Path) -> dict[str, pd.DataFrame]:
    paths = write_report([suite], store, ["csv"], out)
    return {path.relative_to(out).as_posix(): pd.read_csv(path) for path in paths}


def test_a_cell_has_means_deviations_and_counts_as_numbers(suite: Suite, store: Store, tmp_path: Path) -> None:
    cells = written(suite, store, tmp_path)["csv/toys-cells.csv"]
    assert list(cells.columns[:3]) == ["suite", "preset", "precision"]
    assert {*PLACE, *HEAD, "planned", "done"} <= set(cells.columns)
    for name in ("width", "keep", *(measure + end for measure in MEASURES for end in ("", "_sd", "_n"))):
        assert pd.api.types.is_numeric_dtype(cells[name]), name
    (cell,) = cells[cells["start"] == "target"].to_dict("records")
    assert (cell["planned"], cell["done"], cell["keep"], cell["macs"]) == (3, 2, 0.25, 0.25)
    assert cell["top1"] == pytest.approx(fmean(ACCURACIES.values()), rel=1e-11)
    assert cell["top1_sd"] == pytest.approx(stdev(ACCURACIES.values()), rel=1e-11)
    assert (cell["top1_n"], cell["top5_n"]) == (2, 0)
    keys = [job.key for job in suite.jobs("quick", "fp32") if job.start == "target" and job.seed in ACCURACIES]
    assert cell["keys"].split() == keys


def test_a_job_has_its_seed_and_what_became_of_it(suite: Suite, store: Store, tmp_path: Path) -> None:
    jobs = written(suite, store, tmp_path)["csv/toys-jobs.csv"]
    listed = suite.jobs("quick", "fp32")
    assert list(jobs["key"]) == [job.key for job in listed]
    assert list(jobs["seed"]) == [job.seed for job in listed]
    for job, row in zip(listed, jobs.to_dict("records"), strict=True):
        if job.method == "random":
            assert (row["status"], row["reason"]) == ("failed", 'no "room", sorry')
        elif job.seed in ACCURACIES:
            assert (row["status"], row["top1"], row["train_s"]) == ("done", ACCURACIES[job.seed], 30.0)
        else:
            assert row["status"] == "missing" and pd.isna(row["top1"])


def test_all_presets_and_precisions_are_in_the_same_two_files(
    make_suite: Callable[..., Suite], store: Store, tmp_path: Path
) -> None:
    suite = make_suite(precision="auto")
    for precision in ("fp32", "bf16"):
        for job in suite.jobs("quick", precision):  # type: ignore[arg-type]
            store.put(factories.record(job))
    files = written(suite, store, tmp_path)
    assert set(files) == {"csv/toys-cells.csv", "csv/toys-jobs.csv"}
    assert files["csv/toys-cells.csv"]["precision"].value_counts().to_dict() == {"fp32": 4, "bf16": 4}


def test_without_a_record_there_is_no_file(make_suite: Callable[..., Suite], store: Store, tmp_path: Path) -> None:
    assert written(make_suite(), store, tmp_path) == {}
