"""Reports of records that hold extremes, on busy machines, and to places that fail half-way: whole or not at all."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from stampbench.errors import UserError
from stampbench.record import Record
from stampbench.report.render.figures import figures_of
from stampbench.report.write import renew, write_report
from stampbench.store import Store
from stampbench.suite import Suite
from tests.fixtures import factories
from tests.fixtures.reports import suite_data, suite_tables

MakeSuite = Callable[..., Suite]


def fill(suite: Suite, store: Store, **changes: Any) -> None:
    for job in suite.jobs("quick", "fp32"):
        store.put(factories.record(job, **changes))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_seconds_of_a_busy_machine_are_marked_and_no_digit_changes(
    make_suite: MakeSuite, store: Store, tmp_path: Path
) -> None:
    suite = make_suite()
    fill(suite, store, yardstick=[1.0] * 10)

    def rows(out: str) -> list[dict[str, str]]:
        write_report([suite], store, ["csv"], tmp_path / out)
        return list(csv.DictReader((tmp_path / out / "csv" / "toys-cells.csv").open()))

    idle = rows("idle")
    assert {row["busy"] for row in idle} == {""}
    (job,) = [job for job in suite.jobs("quick", "fp32") if (job.method, job.seed) == ("random", 1)]
    store.put(factories.record(job, yardstick=[4.0] * 10))
    busy = rows("busy")
    (row,) = [row for row in busy if row["busy"]]
    assert row["method"] == "random" and "during 1 of 3 jobs" in row["busy"] and "4.0 times" in row["busy"]
    assert [{**row, "busy": ""} for row in busy] == idle
    (table,) = [table for table in suite_tables(suite, "quick", store) if table.name.endswith("vgg19-0.25-fp32")]
    headings = [column.heading for column in table.columns]
    for entries in table.rows:
        noted = {heading for heading, entry in zip(headings, entries, strict=True) if entry.note is not None}
        timed = {"prune s", "train s", "total s"}
        assert (noted & {*timed, "top-1 %"}) == (timed if entries[0].text == "random" else set())


@pytest.mark.parametrize("name", [r"$\frac{1$", "$", "$$", r"\$x$", "a_b^c & <i>"])
def test_names_mean_no_formula_in_figures(make_suite: MakeSuite, store: Store, name: str) -> None:
    suite = make_suite()
    fill(suite, store, data={"cifar10": factories.data_use(display_name=name)})
    assert figures_of(suite_data(suite, store))


@pytest.mark.parametrize("total", [0.0, 5e-324, 1e-9, 3.2e9])
def test_extreme_seconds_are_reported(make_suite: MakeSuite, store: Store, tmp_path: Path, total: float) -> None:
    suite = make_suite(epochs=[1, 2])
    fill(suite, store, seconds=factories.seconds(prune=0.0, train=total, total=total))
    assert write_report([suite], store, ["md", "csv", "latex", "html"], tmp_path)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        *((part, {name: value}) for value in (math.nan, math.inf, -1.0) for part, name in (
            ("accuracy", "top1"), ("seconds", "train"), ("seconds", "total"))),
        ("accuracy", {"top1": 5.0}),
        ("accuracy", {"validation_top1": [1.1]}),
        ("cost", {"dense_macs": 0}),
        ("cost", {"macs": 10**400}),
        ("cost", {"widths": {"a": 0}}),
    ],
)  # fmt: skip
def test_values_that_no_job_has_are_no_record(part: str, change: dict[str, Any]) -> None:
    sound = factories.record().model_dump()
    Record.model_validate(sound)
    with pytest.raises(ValidationError, match=next(iter(change))):
        Record.model_validate(sound | {part: sound[part] | change})


@pytest.mark.parametrize("fails_at", range(1, 4))
def test_a_report_that_fails_leaves_the_old_files_as_they_were(
    make_suite: MakeSuite, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int
) -> None:
    suite, out = make_suite(), tmp_path / "out"
    fill(suite, store, top1=0.5)
    write_report([suite], store, ["md", "csv", "latex"], out)
    before = contents(out)
    fill(suite, store, top1=0.6)
    calls, flush = [], os.fsync

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == fails_at:
            raise OSError(28, "No space left on device")
        flush(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(UserError, match="No space left on device; free some space"):
            write_report([suite], store, ["md", "csv", "latex"], out)
    assert contents(out) == before
    write_report([suite], store, ["md", "csv", "latex"], out)
    assert contents(out).keys() == before.keys() and contents(out) != before


def test_what_is_in_the_way_is_found_before_any_file_is_replaced(
    make_suite: MakeSuite, store: Store, tmp_path: Path
) -> None:
    suite = make_suite()
    fill(suite, store)
    (tmp_path / "toys.md").write_text("old")
    (tmp_path / "toys.tex").mkdir()
    with pytest.raises(UserError, match=r"toys\.tex cannot be written: something is in the way"):
        write_report([suite], store, ["md", "latex"], tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir() if path != store.root) == ["toys.md", "toys.tex"]
    assert (tmp_path / "toys.md").read_text() == "old"


def test_a_report_that_fails_leaves_no_empty_folder(make_suite: MakeSuite, store: Store, tmp_path: Path) -> None:
    suite = make_suite()
    fill(suite, store)
    (next((store.root / "records").iterdir())).write_text("{")
    with pytest.raises(UserError, match="no valid record"):
        write_report([suite], store, ["md"], tmp_path / "new" / "out")
    assert not (tmp_path / "new").exists()


def test_a_file_that_is_no_text_is_not_renewed(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(UserError, match="UTF-8"):
        renew(path, [], store)
    assert path.read_bytes() == b"\xff\xfe"


def test_seconds_that_are_compared_are_marked_too(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(epochs=[1, 2])
    work = [factories.reference_use().model_copy(update={"kind": "supernet"})]
    for job in suite.jobs("quick", "fp32"):
        busy = (job.method, job.seed) == ("random", 1)
        own = work if job.method == "random" else []
        store.put(factories.record(job, artefacts=own, yardstick=[9.0 if busy else 1.0] * 10))
    tables = {table.name.removeprefix("toys-quick-"): table for table in suite_tables(suite, "quick", store)}
    for name, heading in (("break-even-fp32", "seconds saved per target"), ("time-to-accuracy-fp32", "seconds")):
        table = tables[name]
        column = [each.heading for each in table.columns].index(heading)
        noted = [row[column].note is not None for row in table.rows]
        assert any(noted), name
        for row, has_note in zip(table.rows, noted, strict=True):
            assert not has_note or "random" in {entry.text for entry in row}
            assert all(entry.note is None for index, entry in enumerate(row) if index != column)
        assert all(
            "random (random): other work" in note or "random (reference): other work" in note for note in table.notes
        )
