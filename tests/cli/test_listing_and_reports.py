"""`list`, `report` and `data`."""

from pathlib import Path

import pytest

from stampbench import cli, registry
from stampbench.registry import Registry
from stampbench.running import campaign
from tests.cli.toy import SUITE
from tests.fixtures.toy_suite import fill


def test_report_prints_markdown_and_writes_files(stampbench, runs, project):
    stampbench("run", "toy")
    code, out, _ = stampbench("report", "toy", "--format", "md", "--format", "latex", "--out", "tables")
    assert code == 0 and "magnitude" in out and "| " in out
    assert "wrote 2 files to tables" in out
    assert {path.name for path in Path("tables").iterdir()} == {"toy.md", "toy.tex"}


def test_report_of_all_suites(stampbench):
    code, out, _ = stampbench("report", "--out", "tables")
    assert code == 0 and "files to tables" in out
    assert {path.name for path in Path("tables").iterdir()} == {"toy.md", "toy.tex", "toy.html"}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("methods", ["magnitude", "2", "channel", "reference", "Keeps the largest."]),
        ("datasets", ["cifar100", "32×32", "glyphs"]),
        ("networks", ["vgg19", "resnet18"]),
        ("executors", ["in-process", "ray"]),
        ("suites", ["toy", "quick, paper", "A toy"]),
    ],
)
def test_list(stampbench, kind, words):
    code, out, _ = stampbench("list", kind)
    assert code == 0 and all(word in out for word in words)


def test_a_suite_of_many_presets_is_listed_on_a_line(stampbench, project):
    preset = SUITE.partition("[presets.quick.protocol]")[2].partition("[presets.paper.protocol]")[0]
    names = ["one", "two", "three"]
    more = "".join(f"[presets.{name}.protocol]{preset.replace('presets.quick', f'presets.{name}')}" for name in names)
    (project / "suites" / "toy.toml").write_text(SUITE + more)
    assert "quick, paper, one and 2 more" in stampbench("list", "suites")[1]
    assert "three" in stampbench("list", "suites", "toy")[1]


def own_suites() -> set[str]:
    return {path.stem for path in (Path(cli.__file__).parents[1] / "suites").glob("*.toml")}


@pytest.mark.parametrize("folder", ["no folder", "an empty folder"])
def test_where_the_folder_has_no_suites_those_of_the_package_are_taken(stampbench, project, folder):
    (project / "suites" / "toy.toml").unlink()
    if folder == "no folder":
        (project / "suites").rmdir()
    code, out, _ = stampbench("list", "suites")
    assert code == 0 and {line.split()[0] for line in out.splitlines()[1:]} == own_suites()
    assert {path.stem for path in campaign.suite_files()} == own_suites()
    assert campaign.suite_path("demo").is_file()


@pytest.mark.parametrize("arguments", [["list", "suites"], ["report"], ["plan", "demo"]], ids=" ".join)
def test_no_suites_at_all_are_an_error(stampbench, project, monkeypatch, arguments):
    (project / "suites" / "toy.toml").unlink()
    monkeypatch.setattr(campaign.resources, "files", lambda package: project / "installed without suites")
    code, out, err = stampbench(*arguments)
    assert (code, out) == (2, "") and "no suite file lies in suites/" in err and "reinstall" in err


@pytest.mark.parametrize("format_", ["md", "csv", "html"])
def test_a_report_without_records_says_so(stampbench, project, format_):
    code, _, err = stampbench("report", "toy", "--format", format_, "--out", "tables")
    assert code == 0 and "results holds no record to report" in err
    fill(project / "suites" / "toy.toml", project / "results")
    assert stampbench("report", "toy", "--format", format_, "--out", "tables")[::2] == (0, "")


def test_a_method_that_cannot_be_loaded_is_listed_with_the_reason(stampbench, monkeypatch):
    monkeypatch.setattr(registry, "METHODS", Registry("method", {"gone": "no.such:Method"}))
    code, out, _ = stampbench("list", "methods")
    assert code == 0 and "gone" in out and "cannot be loaded" in out


def test_data_status_says_what_to_run(stampbench):
    code, out, _ = stampbench("data", "status", "cifar10")
    assert code == 0 and "python -m stampbench data fetch cifar10" in out and "svhn" not in out


def test_data_verify_of_nothing_packed(stampbench):
    assert stampbench("data", "verify")[0] == 0
