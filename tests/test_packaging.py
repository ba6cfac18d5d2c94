"""The wheel holds the package, its methods and its suites, and declares what they import."""

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.parser import BytesParser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

import stampbench

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FOLDERS = {"stampbench": "stampbench", "methods": "stampbench/methods", "suites": "stampbench/suites"}
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"


def sources() -> list[Path]:
    return [path for folder in ("stampbench", "methods") for path in sorted((ROOT / folder).rglob("*.py"))]


def built(kind: str, tree: Path, out: Path) -> Path:
    out.mkdir(exist_ok=True)
    command = [sys.executable, "-c", BUILD, kind, str(out)]
    done = subprocess.run(command, cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel of an unpacked source distribution, made without network, as pip makes it."""
    folder = tmp_path_factory.mktemp("packaging")
    tree = folder / "tree"
    tree.mkdir()
    files = ["pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE", "constraints.txt", *FOLDERS, "tests"]
    for name in files:
        (tree / name).symlink_to(ROOT / name)
    with tarfile.open(built("build_sdist", tree, folder / "sdist")) as archive:
        archive.extractall(folder, filter="data")
    return zipfile.ZipFile(built("build_wheel", folder / f"stampbench-{stampbench.__version__}", folder / "wheel"))


def shipped(folder: str) -> set[str]:
    """The files of a folder that the wheel must hold, by their names there."""
    found = (path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {f"{FOLDERS[folder]}/{path.relative_to(ROOT / folder).as_posix()}" for path in found}


def test_the_wheel_holds_every_module_method_suite_and_template_and_nothing_else(wheel):
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert held == {name for folder in FOLDERS for name in shipped(folder)}
    assert {"stampbench/methods/stamp/__init__.py", "stampbench/suites/demo.toml"} < held
    assert "stampbench/report/render/templates/page.html.j2" in held


def test_the_wheel_gives_the_command_and_the_one_version(wheel):
    info = f"stampbench-{stampbench.__version__}.dist-info"
    assert "stampbench = stampbench.cli:main" in wheel.read(f"{info}/entry_points.txt").decode()
    metadata = BytesParser().parsebytes(wheel.read(f"{info}/METADATA"))
    assert metadata["Version"] == stampbench.__version__
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.search(r"^version: (.+)$", citation, re.MULTILINE)[1] == stampbench.__version__


def test_every_folder_of_modules_is_a_package():
    assert [path.parent for path in sources() if not (path.parent / "__init__.py").is_file()] == []


def imported(path: Path) -> set[str]:
    """The top-level names of all absolute imports of a file, those within functions too."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.partition(".")[0] for name in names}


def normalised(requirement: str) -> str:
    return re.sub(r"[-_.]+", "-", re.match(r"[\w.-]+", requirement)[0]).lower()


def third_party() -> set[str]:
    """The distributions that the package and the methods import."""
    names = {name for path in sources() for name in imported(path)} - sys.stdlib_module_names - {"stampbench"}
    distributions = packages_distributions() | {"pynvml": ["nvidia-ml-py"]}
    return {normalised(distributions.get(name, [f"{name}: not installed"])[0]) for name in names}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported():
    required = {normalised(line) for line in PROJECT["dependencies"]}
    extras = {normalised(line) for name in ("gpu", "onnx", "ray") for line in PROJECT["optional-dependencies"][name]}
    assert third_party() - extras == required
    assert extras <= third_party()


def test_the_harness_imports_no_method():
    lines = [(path, line) for path in (ROOT / "stampbench").rglob("*.py") for line in path.read_text().splitlines()]
    found = [(path, line) for path, line in lines if re.match(r"\s*(from|import) (stampbench\.)?methods\b", line)]
    assert found == []
