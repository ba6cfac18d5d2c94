"""docs/suite.md explains every key of a suite file, with the type and the default that the code has."""

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from stampbench import suite as suites
from stampbench.data.catalogue import CustomDataset
from stampbench.fields import fields_in_words
from stampbench.job import LearningRates, Reference

PAGE = (Path(__file__).parents[1] / "docs" / "suite.md").read_text(encoding="utf-8")
SECTIONS: dict[str, type[BaseModel]] = {
    "The file": suites.Suite,
    "Presets": suites.Preset,
    "Protocol": suites.SuiteProtocol,
    "Learning rates": LearningRates,
    "Reference": Reference,
    "Grid": suites.Grid,
    "Methods": suites.MethodChoice,
    "Claims": suites.Claim,
    "Comparison": suites.ComparisonPoint,
    "Datasets": CustomDataset,
}


def section(title: str) -> str:
    return re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:][titles().index(title)]


def titles() -> list[str]:
    return re.findall(r"^## (.+)$", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize("title", SECTIONS)
def test_every_key_is_explained_with_its_type_and_default(title):
    rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in section(title).splitlines()]
    told = [tuple(row) for row in rows if len(row) == 4 and row[0] != "key"]
    # A suite without a name is called after its file, which the model does not know.
    named = {"name": "the file's name"} if title == "The file" else {}
    known = [(f"`{name}`", kind, named.get(name, default)) for name, kind, default in fields_in_words(SECTIONS[title])]
    assert [(key.strip("| "), kind, default) for key, kind, default, _ in told] == known
    assert all(re.fullmatch(r"[A-Z].*\.", meaning.strip("| ")) for *_, meaning in told)


def test_the_page_is_about_every_table_of_a_suite_file():
    """Found from the root, through whatever the fields hold."""

    def within(kind: object) -> set[type[BaseModel]]:
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return {kind}.union(*(within(field.annotation) for field in kind.model_fields.values()))
        return set().union(*(within(part) for part in getattr(kind, "__args__", ())))

    assert within(suites.Suite) == set(SECTIONS.values())
    assert titles() == ["A complete example", *SECTIONS]


def test_links_lead_to_sections():
    anchors = {title.lower().replace(" ", "-") for title in titles()}
    links = set(re.findall(r"\(#([^)]+)\)", PAGE))
    assert links and links <= anchors


def test_the_example_runs_as_many_jobs_as_the_page_says(tmp_path):
    path = tmp_path / "example.toml"
    path.write_text(re.search(r"```toml\n(.+?)```", section("A complete example"), flags=re.DOTALL)[1])
    suite = suites.load(path)
    assert suite.name == "example"
    count = int(re.search(r"It holds (\d+) jobs", PAGE)[1])
    assert len(suite.jobs("quick", "fp32")) == count == 3 * (1 + 3 * 2)


def test_the_path_of_a_dataset_is_relative_to_the_suite_file(tmp_path, monkeypatch):
    (tmp_path / "suites").mkdir()
    example = re.search(r"```toml\n(.+?)```", section("A complete example"), flags=re.DOTALL)[1]
    pets = re.search(r"```toml\n(.+?)```", section("Datasets"), flags=re.DOTALL)[1]
    (tmp_path / "suites" / "own.toml").write_text(example + pets)
    monkeypatch.chdir(tmp_path / "suites")
    assert suites.load(Path("own.toml")).datasets["pets"].path == tmp_path / "pets"
    monkeypatch.chdir(tmp_path)
    assert suites.load(Path("suites/own.toml")).datasets["pets"].path == tmp_path / "pets"
    absolute = pets.replace("../pets", "/elsewhere/pets")
    (tmp_path / "suites" / "own.toml").write_text(example + absolute)
    assert suites.load(Path("suites/own.toml")).datasets["pets"].path == Path("/elsewhere/pets")
