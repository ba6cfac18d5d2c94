"""README's tables are those of the committed records."""

from __future__ import annotations

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


def test_readme_shows_the_committed_records(committed: list[Table]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert insert(readme, committed) == readme, "run: python -m stampbench report --into README.md"
    assert readme.count("<!-- table: ") >= 5


def test_no_sign_of_the_committed_tables_is_foreign_to_latex(committed: list[Table]) -> None:
    assert [table.name for table in committed if not latex.table(table).isascii()] == []
