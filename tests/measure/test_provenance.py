"""A commit is named only where it is the project's own; the digest of the sources knows nothing of where they lie."""

import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from stampbench.measure import provenance
from stampbench.measure.provenance import code_under, digest_under

SOURCES = {
    "stampbench/__init__.py": "__version__ = '0'\n",
    "stampbench/measure/clock.py": "SECOND = 1\n",
    "methods/__init__.py": "",
    "methods/stamp/__init__.py": "NAME = 'stamp'\n",
    "suites/__init__.py": "",
    "suites/demo.toml": "title = 'Demo'\n",
}
PROJECT = "[project]\nname = 'stampbench'\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(root), *who, *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def commit_all(root: Path) -> str:
    git(root, "init", "--quiet")
    git(root, "add", "--all")
    git(root, "commit", "--quiet", "--message", "All")
    return git(root, "rev-parse", "HEAD")


@pytest.fixture(autouse=True)
def no_repository_above(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    for variable in provenance._GIT_VARIABLES:
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture
def tree(tmp_path):
    return write(tmp_path / "tree", SOURCES | {"pyproject.toml": PROJECT, "constraints.txt": "torch==2\n"})


@pytest.fixture
def installed(tmp_path):
    """The same sources as the wheel lays them out, in another project's repository: `foreign/packages`."""
    foreign = write(tmp_path / "foreign", {"pyproject.toml": "[project]\nname = 'foreign'\n", "mine.py": ""})
    inside = {name if name.startswith("stampbench") else f"stampbench/{name}": SOURCES[name] for name in SOURCES}
    return write(foreign / "packages", inside | {"methods/__init__.py": "raise SystemExit\n"})


def test_a_clone_names_its_commit_and_tells_changed_sources(tree):
    commit = commit_all(tree)
    code = code_under(tree)
    assert (code.commit, code.dirty) == (commit, False)
    (tree / "results").mkdir()
    (tree / "results" / "record.json").write_text("{}")
    assert code_under(tree).dirty is False
    (tree / "suites" / "demo.toml").write_text("title = 'Other'\n")
    assert (code_under(tree).commit, code_under(tree).dirty) == (commit, True)


@pytest.mark.parametrize("change", ["methods/stamp/__init__.py", "stampbench/measure/clock.py", "methods/new.py"])
def test_a_changed_or_new_source_makes_the_clone_dirty_and_the_digest_another(tree, change):
    commit_all(tree)
    before = code_under(tree)
    (tree / change).write_text("CHANGED = True\n")
    after = code_under(tree)
    assert (before.dirty, after.dirty) == (False, True)
    assert before.source_digest != after.source_digest


def test_a_renamed_source_is_another_digest(tree):
    before = digest_under(tree)
    (tree / "stampbench" / "measure" / "clock.py").rename(tree / "stampbench" / "measure" / "watch.py")
    assert digest_under(tree) != before


def test_inside_another_repository_no_commit_is_named(installed):
    commit_all(installed.parent)
    code = code_under(installed)
    assert (code.commit, code.dirty) == (None, None)


def test_a_copy_at_the_top_of_another_project_names_no_commit(tree):
    (tree / "pyproject.toml").write_text("[project]\nname = 'foreign'\n")
    commit_all(tree)
    assert (code_under(tree).commit, code_under(tree).dirty) == (None, None)


def test_a_source_tree_within_another_repository_names_no_commit(tree):
    write(tree.parent, {"mine.py": ""})
    commit_all(tree.parent)
    assert (code_under(tree).commit, code_under(tree).dirty) == (None, None)


def test_sources_that_the_repository_does_not_track_name_no_commit(tree):
    (tree / ".gitignore").write_text("stampbench/\n")
    commit_all(tree)
    assert (code_under(tree).commit, code_under(tree).dirty) == (None, None)


def test_without_a_repository_no_commit_is_named(tree):
    assert (code_under(tree).commit, code_under(tree).dirty) == (None, None)


def test_the_variables_of_another_repositorys_hook_are_not_followed(tree, installed, monkeypatch):
    commit_all(installed.parent)
    own = commit_all(tree)
    monkeypatch.setenv("GIT_DIR", str(installed.parent / ".git"))
    assert code_under(tree).commit == own


def test_the_digest_is_the_same_installed_and_in_the_tree(tree, installed):
    assert digest_under(installed) == digest_under(tree)
    (installed / "methods" / "__init__.py").write_text("FOREIGN = True\n")
    assert digest_under(installed) == digest_under(tree)
    (installed / "stampbench" / "methods" / "stamp" / "__init__.py").write_text("CHANGED = True\n")
    assert digest_under(installed) != digest_under(tree)


def test_constraints_are_those_of_a_source_tree(tree, installed):
    write(installed, {"constraints.txt": "torch==1\n"})
    assert code_under(installed).constraints_digest is None
    first = code_under(tree).constraints_digest
    (tree / "constraints.txt").write_text("torch==3\n")
    assert first is not None and code_under(tree).constraints_digest not in (None, first)


def test_the_running_sources_are_those_that_a_copy_would_have(tmp_path):
    for name in provenance.SOURCES:
        shutil.copytree(provenance.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    assert provenance.source_digest() == digest_under(tmp_path)


def test_the_fingerprint_depends_on_what_decides_bits_and_on_nothing_else():
    cpu, before = torch.device("cpu"), torch.get_num_threads()
    first = provenance.provenance(cpu, "fp32", "in-process", True)
    assert first.fingerprint == provenance.provenance(cpu, "fp32", "ray", False).fingerprint
    assert first.fingerprint != provenance.provenance(cpu, "bf16", "in-process", True).fingerprint
    torch.set_num_threads(before + 1)
    try:
        other = provenance.provenance(cpu, "fp32", "in-process", True)
    finally:
        torch.set_num_threads(before)
    assert (first.threads, other.threads) == (before, before + 1)
    assert first.fingerprint != other.fingerprint


def test_versions_are_those_installed_and_nobody_is_named():
    found = provenance.provenance(torch.device("cpu"), "fp32", "in-process", True)
    assert found.versions["torch"] == version("torch") and found.versions["scipy"] == version("scipy")
    assert found.versions["python"] == platform.python_version()
    written = found.model_dump_json()
    assert str(Path.home()) not in written and str(provenance.ROOT) not in written


def test_how_threads_wait_is_told_where_the_user_chose(monkeypatch):
    def told() -> dict[str, str]:
        return provenance.provenance(torch.device("cpu"), "fp32", "in-process", exclusive=True).openmp

    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(name, raising=False)
    assert told() == {}
    monkeypatch.setenv("GOMP_SPINCOUNT", "77")
    assert told() == {"GOMP_SPINCOUNT": "77"}
