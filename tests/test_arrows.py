"""Imports run one way (docs/design.md, section 1): found by reading every file's syntax, not by importing it."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# What may import what, the lowest first: a module may import those of its own room and of the rooms above it here.
ROOMS = (
    ("errors", "seeding", "files", "reading", "toml", "measure.phases", "moments"),
    ("registry", "job", "statistics", "fields", "mistakes"),
    ("data",),
    ("pruning.groups", "pruning.resources", "pruning.masks", "pruning.cost", "pruning.compact", "pruning.cropped"),
    ("contract", "networks", "record"),
    ("pruning", "grid", "suite", "store", "training"),
    ("measure",),
    ("report.variants",),
    ("running", "regress"),
    ("report", "analysis"),
    ("export",),
    ("listing", "details", "terminal", "output", "stopping"),
    ("cli", "cli_data", "cli_offline", "cli_options", "__main__"),
)
# Methods know the contract and the harness's tools, and nothing that runs them or reads what came out.
LENT_TO_METHODS = (
    "contract",
    "job",
    "registry",
    "errors",
    "data",
    "networks",
    "pruning",
    "training",
    "moments",
    "methods",
)


@cache
def imports(path: Path, typing_only: bool) -> set[str]:
    """Return the modules of stampbench that a file imports, without the package's name; inside functions too."""
    found: set[str] = set()

    def visit(node: ast.AST) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not typing_only:
            return
        if isinstance(node, ast.ImportFrom) and not node.level and (node.module or "").split(".")[0] == "stampbench":
            parts = (node.module or "").split(".")[1:]
            names = [".".join([*parts, alias.name]) for alias in node.names]
            found.update(names if not parts else [".".join(parts), *names])
        elif isinstance(node, ast.Import):
            found.update(a.name.removeprefix("stampbench.") for a in node.names if a.name.startswith("stampbench."))
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(ast.parse(path.read_text(encoding="utf-8")))
    return {name for name in found if module_file(name)}


@cache
def module_file(name: str) -> Path | None:
    """Return the file of a module of the harness, or None for what is no module."""
    path = ROOT / "stampbench" / name.replace(".", "/")
    return next((file for file in (path.with_suffix(".py"), path / "__init__.py") if file.is_file()), None)


def room_of(name: str) -> int:
    """Return the index of the room with the longest prefix of the name."""
    fits = [
        (len(prefix), index)
        for index, room in enumerate(ROOMS)
        for prefix in room
        if name == prefix or name.startswith(f"{prefix}.")
    ]
    assert fits, f"{name} belongs to no room; add it to ROOMS"
    return max(fits)[1]


HARNESS = sorted((ROOT / "stampbench").rglob("*.py"))
METHODS = sorted((ROOT / "methods").rglob("*.py"))


@pytest.mark.parametrize("path", HARNESS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_module_imports_what_rests_on_it(path):
    name = ".".join(path.relative_to(ROOT / "stampbench").with_suffix("").parts).removesuffix(".__init__")
    if name == "__init__":
        return
    wrong = {other for other in imports(path, typing_only=False) if room_of(other) > room_of(name)}
    assert not wrong


@pytest.mark.parametrize("path", METHODS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_methods_import_what_they_are_lent(path):
    assert {name.split(".")[0] for name in imports(path, typing_only=True)} <= set(LENT_TO_METHODS)


@pytest.mark.parametrize("path", HARNESS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_the_harness_imports_no_method(path):
    assert not any(name.split(".")[0] == "methods" for name in imports(path, typing_only=True))


@pytest.mark.parametrize(
    "module", ["stampbench", "stampbench.cli", "stampbench.contract", "stampbench.suite", "stampbench.report.write"]
)
def test_what_must_be_instant_needs_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
