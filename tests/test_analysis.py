"""Records as a data frame, and the names that `stampbench` imports when they are used."""

import subprocess
import sys

import pandas as pd
import pytest

import stampbench
from stampbench.analysis import COLUMNS, TEXTS
from stampbench.errors import UserError
from stampbench.job import Start
from stampbench.store import Store
from tests.fixtures import factories


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def rows(store):
    return {row["key"]: row for row in stampbench.load_records(store.root).to_dict("records")}


def test_a_row_holds_what_the_record_holds(store):
    job = factories.job(seed=3, options={"scope": "global"}, start=Start.TARGET)
    speed = factories.speed(train_step=factories.timing([3.0], [2.0]), inference=factories.timing([4.0], [1.0]))
    record = factories.record(job, top1=0.6, top5=0.9, speed=speed.key)
    store.put(record)
    store.put_speed(speed)
    row = rows(store)[job.key]
    assert (row["method"], row["start"], row["seed"], row["keep"]) == ("magnitude", "target", 3, 0.25)
    assert (row["resource"], row["options"]) == ("macs", '{"scope": "global"}')
    # The rate is that of the start.
    assert (row["learning_rate"], row["epochs"], row["batch_size"]) == (0.05, 2, 128)
    assert (row["status"], row["top1"], row["top5"]) == ("done", 0.6, 0.9)
    assert (row["prune_s"], row["clock_train_s"], row["peak_memory_mib"]) == (0.5, 30.0, 256.0)
    assert (row["train_s"], row["total_s"]) == pytest.approx((28.0, 28.5))
    assert (row["param_count"], row["dense_param_count"]) == (100_000, 200_000)
    assert (row["params"], row["macs"], row["mac_count"]) == (0.5, 0.25, 1_000_000)
    assert (row["train_speed_up"], row["inference_speed_up"]) == (1.5, 4.0)
    assert (row["train"], row["validation"], row["test"], row["device"]) == (900, 100, 5000, "cpu")


def test_numbers_are_numbers_even_where_no_record_has_one(store):
    for seed in range(3):
        store.put(factories.failed(factories.job(seed=seed), "diverged loss"))
    frame = stampbench.load_records(str(store.root))
    assert list(frame.columns) == COLUMNS and len(frame) == 3
    assert [name for name in COLUMNS if not pd.api.types.is_numeric_dtype(frame[name])] == [
        name for name in COLUMNS if name in TEXTS
    ]
    assert set(frame["reason"]) == {"diverged loss"} and frame["top1"].isna().all()


def test_every_record_is_a_row_whether_or_not_its_method_is_installed(store):
    jobs = [factories.job(), factories.job(method="of-another-package"), factories.job(target="svhn")]
    for job in jobs:
        store.put(factories.record(job))
    assert list(rows(store)) == sorted(job.key for job in jobs)


def test_a_pool_without_records_has_no_rows_but_all_columns(store):
    store.root.mkdir()
    assert list(stampbench.load_records(store.root).columns) == COLUMNS


def test_a_folder_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"there is no folder .*resluts; name the folder"):
        stampbench.load_records(tmp_path / "resluts")


def test_the_docstring_names_every_measured_column():
    said = stampbench.load_records.__doc__
    measured = COLUMNS[COLUMNS.index("top1") :]
    assert [name for name in measured if not name.endswith("_s") and name.removeprefix("dense_") not in said] == [
        "fingerprint",
        "speed_device",
    ]


def test_importing_the_package_imports_nothing_heavy():
    heavy = ("torch", "pandas", "numpy", "pydantic", "stampbench.analysis")
    code = f"import sys, stampbench; print(sorted(set({heavy}) & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_lazy_names_are_listed_and_others_are_refused():
    assert "load_records" in dir(stampbench)
    with pytest.raises(AttributeError, match="no attribute 'load_record'"):
        stampbench.load_record  # noqa: B018
