"""Everything that people and CI run: `nox`, `nox -s tests`, `nox -s suite_demo`, `nox -s report`.

All sessions share one environment, made once and again only when pyproject.toml or constraints.txt change.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import nox

ENVIRONMENT = Path(".nox/stampbench")
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = ENVIRONMENT / "installed.sha256"

nox.options.sessions = ["lint", "tests"]


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """The tests; arguments after `--` go to pytest, so that `-- -m slow` runs the slow ones."""
    python(session, "-m", "pytest", *session.posargs)


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Style, formatting and types."""
    python(session, "-m", "ruff", "check", ".")
    python(session, "-m", "ruff", "format", "--check", ".")
    python(session, "-m", "mypy")


@nox.session(venv_backend="none")
def benchmarks(session: nox.Session) -> None:
    """All of tests/benchmarks, on an idle machine, or those named after `--`: scoring, training, compact, harness."""
    folder = Path("results/benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    known = sorted(path.stem.removeprefix("test_") for path in Path("tests/benchmarks").glob("test_*.py"))
    if unknown := set(session.posargs) - set(known):
        session.error(f"no benchmarks {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    for name in session.posargs or known:
        written = folder / f"{name}.json"
        options = ["-m", "benchmark", "--benchmark-enable", f"--benchmark-json={written}"]
        python(session, "-m", "pytest", f"tests/benchmarks/test_{name}.py", *options)
        python(session, "-m", "tests.benchmarks.table", str(written))


@nox.session(venv_backend="none")
def soak(session: nox.Session) -> None:
    """Random kills over the demo suite, half an hour; arguments after `--`: `--kills 50 --seed 0 --gap 20`."""
    python(session, "-m", "tests.soak", *session.posargs)


@nox.session(venv_backend="none")
def check(session: nox.Session) -> None:
    """The gate: `nox -s check -- demo` compares its records with the stored ones of this device."""
    python(session, "-m", "stampbench", "check", *session.posargs)


@nox.session(venv_backend="none")
def report(session: nox.Session) -> None:
    """The tables of every suite from the records at hand; arguments after `--` go to `stampbench report`."""
    python(session, "-m", "stampbench", "report", *session.posargs)


def suite_session(path: Path) -> None:
    """Adds the session that runs what is missing of a suite, then writes its tables."""

    def run_suite(session: nox.Session) -> None:
        prepare(session)
        command = [str(PYTHON), "-m", "stampbench", "run", str(path), *session.posargs]
        session.log(" ".join(command))
        code = subprocess.call(command)
        if code not in (0, 1):
            session.error(f"the run ended with code {code}; the same command goes on from there")
        out = str(Path("reports") / path.stem)
        python(session, "-m", "stampbench", "report", str(path), "--out", out, *results(session.posargs))
        if code:
            session.error("some jobs failed; the table says which")

    run_suite.__doc__ = f"Runs {path}, then reports; arguments after `--` go to `stampbench run`."
    nox.session(run_suite, name=f"suite_{path.stem}", venv_backend="none")


def python(session: nox.Session, *arguments: str) -> None:
    """Runs the shared environment's Python."""
    prepare(session)
    session.run(str(PYTHON), *arguments, external=True)


def prepare(session: nox.Session) -> None:
    """Makes the shared environment, unless its stamp says that it is there already."""
    files = [Path("pyproject.toml"), Path("constraints.txt")]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
    if STAMP.exists() and STAMP.read_text() == digest:
        return
    if not PYTHON.exists():
        session.run(sys.executable, "-m", "venv", str(ENVIRONMENT), external=True)
    install = ["-m", "pip", "install", "--quiet", "-c", "constraints.txt", "-e", ".[dev]"]
    session.run(str(PYTHON), *install, external=True)
    STAMP.write_text(digest)


def results(arguments: Sequence[str]) -> list[str]:
    """The `--results DIR` among the arguments of a run, which its report must read too."""
    at = next((i for i, argument in enumerate(arguments) if argument.startswith("--results")), None)
    return [] if at is None else list(arguments[at : at + (1 if "=" in arguments[at] else 2)])


for suite in sorted(Path("suites").glob("*.toml")):
    suite_session(suite)
