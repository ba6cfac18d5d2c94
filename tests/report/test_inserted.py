"""The tables in README and docs/results.md are those of the committed records."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

from stampbench import suite as suites
from stampbench.errors import UserError
from stampbench.report.model import Column, Entry, Table
from stampbench.report.render import latex
from stampbench.report.render.inserted import insert
from stampbench.report.sections import suite_sections
from stampbench.store import Store

ROOT = Path(__file__).parents[2]
TABLE = Table("cifar-quick", "A caption", (Column("x"),), ((Entry("1"),),))
RENEWED = "a\n<!-- table: cifar-quick -->\n**A caption**\n\n|   x |\n|----:|\n|   1 |\n\n<!-- /table -->\nb\n"


def test_what_is_marked_is_renewed_and_the_rest_left_alone() -> None:
    empty = "a\n<!-- table: cifar-quick -->\n<!-- /table -->\nb\n"
    assert insert(empty, [TABLE]) == RENEWED
    assert insert(RENEWED.replace("|   1 |", "|   2 |"), [TABLE]) == RENEWED


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'cifar-quick'"):
        insert("<!-- table: cifar-quik -->\n<!-- /table -->", [TABLE])


@cache
def tables_of_all_suites() -> list[Table]:
    store = Store(ROOT / "results")
    loaded = [suites.load(path) for path in sorted((ROOT / "suites").glob("*.toml"))]
    return [table for suite in loaded for section in suite_sections(suite, store) for table in section.tables]


@pytest.fixture
def committed(real_methods: None, real_published: None) -> list[Table]:
    return tables_of_all_suites()


@pytest.mark.parametrize(("name", "least"), [("README.md", 1), ("docs/results.md", 15)])
def test_documents_show_the_committed_records(name: str, least: int, committed: list[Table]) -> None:
    document = (ROOT / name).read_text(encoding="utf-8")
    assert insert(document, committed) == document, f"run: python -m stampbench report --into {name}"
    assert document.count("<!-- table: ") >= least


def test_readmes_suite_of_own_images_is_valid(real_methods: None, tmp_path: Path) -> None:
    (example,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "pets.toml").write_text(example, encoding="utf-8")
    suite = suites.load(tmp_path / "pets.toml")
    assert {job.method for job in suite.jobs("quick", "fp32")} == {"dense", "random", "magnitude", "stamp"}


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_bytes()) <= 12_000


@pytest.mark.parametrize(
    "path", [ROOT / "README.md", ROOT / "FINDINGS.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]
)
def test_documents_link_to_files_that_exist(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_no_sign_of_the_committed_tables_is_foreign_to_latex(committed: list[Table]) -> None:
    assert [table.name for table in committed if not latex.table(table).isascii()] == []
