from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stampbench.contract import Start
from stampbench.errors import UserError
from stampbench.job import Job
from stampbench.report.model import Column, Entry, Table
from stampbench.report.render import latex, markdown, page
from stampbench.report.render.marks import mark
from stampbench.report.sections import suite_sections
from stampbench.report.write import write_report
from stampbench.store import Store
from stampbench.suite import Suite
from tests.fixtures import factories
from tests.fixtures.reports import suite_tables
from tests.report.conftest import METHODS

GOLDEN = Path(__file__).parent / "golden"
ROOT = Path(__file__).parents[2]
MakeSuite = Callable[..., Suite]


def fill(suite: Suite, store: Store) -> list[Job]:
    """Frozen records: all of dense, holes and failures in the rest, top-5 on cifar100, speeds for some."""
    jobs = suite.jobs("quick", "fp32")
    store.put_speed(factories.speed())
    for index, job in enumerate(jobs):
        if job.method == "dense" or job.seed == 0:
            top5 = 0.9 if job.target == "cifar100" else None
            speed = factories.speed().key if job.start == "target" else None
            store.put(factories.record(job, top1=0.5 + index / 100, top5=top5, speed=speed))
        elif job.method == "random":
            store.put(factories.failed(job, "diverged loss: 100% of a_b"))
    return jobs


@pytest.fixture
def filled(make_suite: MakeSuite, store: Store) -> Suite:
    suite = make_suite(title="Toys & games_", targets=["cifar10", "cifar100"])
    fill(suite, store)
    return suite


@pytest.mark.parametrize(("form", "suffix"), [("md", ".md"), ("latex", ".tex")])
def test_report_is_the_golden_one(form: str, suffix: str, filled: Suite, store: Store, tmp_path: Path) -> None:
    (path,) = write_report([filled], store, [form], tmp_path / "out")
    assert path == tmp_path / "out" / f"toys{suffix}"
    assert_golden(path.name, path.read_text(encoding="utf-8"))


def assert_golden(name: str, text: str) -> None:
    golden = GOLDEN / name
    if os.environ.get("STAMPBENCH_WRITE_GOLDEN"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


def test_every_csv_file_is_the_golden_one(filled: Suite, store: Store, tmp_path: Path) -> None:
    paths = write_report([filled], store, ["csv"], tmp_path)
    texts = (f"{path.relative_to(tmp_path).as_posix()}\n{path.read_text(encoding='utf-8')}" for path in paths)
    assert_golden("toys.csv", "\n".join(texts))


def test_the_page_is_the_golden_one(filled: Suite, store: Store) -> None:
    """Without figures, whose bytes are matplotlib's."""
    sections = suite_sections(filled, store)
    assert_golden("toys.html", page.document(sections, [[] for _ in sections]))


def test_rows_follow_the_suite_and_show_what_is_missing(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite()
    fill(suite, store)
    (table,) = suite_tables(suite, "quick", store)
    head = [[entry.text for entry in row[:4]] for row in table.rows]
    assert head == [
        ["dense", "reference", "1", "3"],
        ["random", "reference", "1/4 MACs", "1 of 3"],
        ["magnitude, global", "reference", "1/4 MACs", "1 of 3"],
        ["magnitude", "target", "1/4 MACs", "1 of 3"],
    ]
    count = table.rows[1][3]
    assert count.note is not None
    assert table.notes[count.note] == "2 of 3 seeds failed: diverged loss: 100% of a_b"
    # Seeds 0, 1, 2 of dense are jobs 0, 4, 8 of the suite: 50, 54 and 58 %, deviation 4.
    assert table.rows[0][4].text == "54.00 ± 4.00"
    assert table.rows[1][4].text == "51.00"


def test_top5_only_where_it_was_recorded(filled: Suite, store: Store) -> None:
    summary, ten, hundred = suite_tables(filled, "quick", store)
    assert [column.heading for column in summary.columns[3:]] == [
        "cifar10-1000, vgg19 × 0.25",
        "cifar100-1000, vgg19 × 0.25",
    ]
    assert Column("top-5 %") not in ten.columns
    assert Column("top-5 %") in hundred.columns


def test_failed_only_gives_dashes_with_the_reason(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(methods=["magnitude"])
    for job in suite.jobs("quick", "fp32"):
        store.put(factories.failed(job))
    (table,) = suite_tables(suite, "quick", store)
    assert table.notes == ("3 of 3 seeds failed: diverged loss",)
    assert table.rows[0][3] == Entry("0 of 3", 0)
    assert set(table.rows[0][4:]) == {Entry("–", 0)}
    assert "image counts unknown" in table.caption


def test_one_record_has_no_deviation(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(methods=["magnitude"], seeds=1)
    store.put(factories.record(suite.jobs("quick", "fp32")[0], top1=0.625))
    (table,) = suite_tables(suite, "quick", store)
    assert [entry.text for entry in table.rows[0][3:5]] == ["1", "62.50"]


def test_zero_records_say_what_to_run(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite()
    assert suite_tables(suite, "quick", store) == []
    (section,) = suite_sections(suite, store)
    assert section.remarks == (
        "Nothing of this suite has been run yet. Run: python -m stampbench run toys --preset quick",
    )


def test_cells_without_a_place_in_the_suite_are_said_to_be_so(make_suite: MakeSuite, store: Store) -> None:
    small = {"networks": ["resnet18"], "methods": ["dense"], "seeds": 1}
    suite = make_suite(methods=["magnitude"], seeds=1)
    grid = suite.presets["quick"].grid[0]
    preset = suite.presets["quick"].model_copy(
        update={"grid": [grid, grid.model_copy(update=small | {"targets": ["svhn"]})]}
    )
    suite = suite.model_copy(update={"presets": {"quick": preset}})
    for job in suite.jobs("quick", "fp32"):
        store.put(factories.record(job))
    summary = suite_tables(suite, "quick", store)[0]
    assert summary.notes == ("not in the suite",)
    assert [[entry.text for entry in row[3:]] for row in summary.rows] == [["70.00", "–"], ["–", "70.00"]]


def test_stale_records_are_listed_and_not_shown(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(methods=["magnitude"], epochs=[1, 2], seeds=2)
    # A seed of two schedules is named once.
    for job in suite.jobs("quick", "fp32"):
        old = Job.model_validate(job.model_dump() | {"method_version": "1"})
        store.put(factories.record(old, top1=0.99))
    (nothing, section) = suite_sections(suite, store)
    assert nothing.remarks[0].startswith("Nothing of this suite")
    assert section.tables == ()
    assert section.remarks == (
        "Stale records are not shown: magnitude (reference) on cifar10, vgg19 × 0.25, 1/4 of the MACs, "
        "method version 1 (now 2), protocol version 1 (now 1): seeds 0, 1.",
    )


def test_an_automatic_precision_gives_a_table_for_each_that_was_run(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(precision="auto", methods=["magnitude"])
    for job in suite.jobs("quick", "fp32"):
        store.put(factories.record(job))
    assert [table.name for table in suite_tables(suite, "quick", store)] == ["toys-quick-cifar10-vgg19-0.25-fp32"]
    store.put(factories.record(suite.jobs("quick", "bf16")[0]))
    assert [section.title for section in suite_sections(suite, store)] == [
        "Toys: quick preset, fp32",
        "Toys: quick preset, bf16",
    ]


def test_mixed_devices_and_numerics_are_named(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(methods=["magnitude"], seeds=2)
    first, second = suite.jobs("quick", "fp32")
    store.put(factories.record(first, provenance=factories.provenance(device="A")))
    store.put(factories.record(second, provenance=factories.provenance(device="B", fingerprint="e" * 16)))
    (table,) = suite_tables(suite, "quick", store)
    assert "mixed devices: A / B (2 numeric fingerprints: bits may differ)" in table.caption


def test_reference_seconds_count_each_artefact_once_and_stay_apart(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(methods=["dense", "magnitude"])
    for job in suite.jobs("quick", "fp32"):
        use = factories.reference_use(job.seed, seconds=100.0 + 100 * job.seed, reused=job.method != "dense")
        store.put(factories.record(job, artefacts=[use]))
    (section,) = suite_sections(suite, store)
    assert section.remarks == (
        "Work on the reference side, which no total above includes: pretrained on tinyimagenet, vgg19 × 0.25: 200 s "
        "(mean of 3 artefact seeds).",
    )
    totals = [row[-3].text for row in section.tables[0].rows]
    assert totals == ["30.5", "30.5"]


def test_unknown_formats_are_refused_before_anything_is_written(filled: Suite, store: Store, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'latex'"):
        write_report([filled], store, ["md", "latexx"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_escaping_leaves_no_active_character() -> None:
    nasty = r"a_b*c|d<e>f[g]`h\i ~ 50 % & # $ ^ {x} -- ± × † ‡ § ¶"
    assert markdown.escape(nasty) == (r"a\_b\*c\|d\<e\>f\[g\]\`h\\i \~ 50 % & # $ ^ {x} -- ± × † ‡ § ¶")
    assert latex.escape("a_b 50 % & # $ {x}") == r"a\_b 50 \% \& \# \$ \{x\}"
    assert latex.escape("1 ± 2×, --all") == r"1 $\pm$ 2$\times$, -{}-all"
    assert latex.escape("a\\b\nc") == r"a\textbackslash{}b c"


def test_footnote_marks_never_repeat() -> None:
    marks = [mark(index) for index in range(12)]
    assert marks[:6] == ["†", "‡", "§", "¶", "††", "‡‡"]
    assert len(set(marks)) == 12


def test_latex_compiles(filled: Suite, store: Store, tmp_path: Path) -> None:
    engine = next(filter(shutil.which, ["tectonic", "pdflatex", "lualatex", "xelatex"]), None)
    if engine is None:
        pytest.skip("no TeX engine (tectonic, pdflatex, lualatex, xelatex) on PATH")
    nasty = Entry(r"a_b*c|d<e>f[g]`h\i ~ 50 % & # $ ^ {x} -- ± × ≤ ≥ − † ‡ § ¶ – " + '"')
    extra = latex.table(Table("nasty", nasty.text, (Column("x"),), ((nasty,),), (nasty.text,)))
    (path,) = write_report([filled], store, ["latex"], tmp_path)
    document = tmp_path / "document.tex"
    document.write_text(
        "\\documentclass{article}\\usepackage[T1]{fontenc}\\usepackage{booktabs,graphicx}\\begin{document}\n"
        f"{path.read_text(encoding='utf-8')}\n{extra}\\end{{document}}\n",
        encoding="utf-8",
    )
    options = [] if engine == "tectonic" else ["-interaction=nonstopmode", "-halt-on-error"]
    done = subprocess.run([engine, *options, document.name], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "document.pdf").exists()


def test_no_report_module_imports_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from importlib import import_module; from pkgutil import walk_packages\n"
        "from stampbench import report\n"
        "for module in walk_packages(report.__path__, 'stampbench.report.'):\n"
        "    print(import_module(module.name).__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "stampbench.report.tables.summary" in done.stdout.splitlines()


def test_no_report_module_knows_a_method_by_name() -> None:
    methods = set(METHODS.targets()) - set(Start)
    for path in (ROOT / "stampbench" / "report").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.Constant) and node.value in methods), (path.name, node.lineno)


def test_reports_need_no_torch(filled: Suite, store: Store, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "sys.modules['torch'] = None\n"
        "from stampbench import registry\n"
        "from stampbench.report import published; published.load = lambda: ()\n"
        "from stampbench.report.write import write_report\n"
        "from stampbench.store import Store; from stampbench.suite import Suite\n"
        "from tests.fixtures.factories import TOY_METHODS\n"
        "registry.METHODS = registry.Registry('method', TOY_METHODS)\n"
        "suite = Suite.model_validate_json(Path(sys.argv[1]).read_text())\n"
        "write_report([suite], Store(Path(sys.argv[2])), ['md', 'latex'], Path(sys.argv[3]))\n"
    )
    written = tmp_path / "suite.json"
    written.write_text(filled.model_dump_json(), encoding="utf-8")
    arguments = [str(written), str(store.root), str(tmp_path / "apart")]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    for name in ("toys.md", "toys.tex"):
        assert (tmp_path / "apart" / name).read_bytes() == (GOLDEN / name).read_bytes()
