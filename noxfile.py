"""The sessions that people and CI run: `nox`, `nox -s tests`, `nox -s suite_demo`, `nox -s report`.

All sessions share one environment. It is made once, and again only when its requirements change.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import nox

ENVIRONMENT = Path(".nox/stampbench")
PYTHON = ENVIRONMENT / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = ENVIRONMENT / "installed.sha256"
# Each file of tests stays in one process, where its tests share what they make.
IN_PARALLEL = ("-n", str(os.cpu_count() or 1), "--dist", "loadfile")
# They need no pretrained network.
FIRST_JOBS = "run demo --method snip --method grasp --method synflow --seed 0"

nox.options.sessions = ["lint", "tests"]


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run the tests, one process per core; with arguments after `--`, such as `-- -m slow`, one process runs those."""
    if not session.posargs:
        # The other cores have processes of their own; jobs set their threads themselves.
        session.env.setdefault("OMP_NUM_THREADS", "1")
    python(session, "-m", "pytest", *(session.posargs or IN_PARALLEL))


@nox.session(venv_backend="none")
def lint(session: nox.Session) -> None:
    """Check style, formatting and types."""
    python(session, "-m", "ruff", "check", ".")
    python(session, "-m", "ruff", "format", "--check", ".")
    python(session, "-m", "mypy")


@nox.session(venv_backend="none")
def benchmarks(session: nox.Session) -> None:
    """Run tests/benchmarks on an idle machine: all, or those named after `--`, such as scoring, training, compact."""
    folder = Path("results/benchmarks")
    folder.mkdir(parents=True, exist_ok=True)
    known = sorted(path.stem.removeprefix("test_") for path in Path("tests/benchmarks").glob("test_*.py"))
    if unknown := set(session.posargs) - set(known):
        session.error(f"there are no benchmarks {', '.join(sorted(unknown))}; known are: {', '.join(known)}")
    for name in session.posargs or known:
        written = folder / f"{name}.json"
        options = ["-m", "benchmark", "--benchmark-enable", f"--benchmark-json={written}"]
        python(session, "-m", "pytest", f"tests/benchmarks/test_{name}.py", *options)
        python(session, "-m", "tests.benchmarks.table", str(written))


@nox.session(venv_backend="none")
def properties(session: nox.Session) -> None:
    """Run the property tests on ten times as many examples, others at every run; what repeats a failure is printed."""
    session.env["HYPOTHESIS_PROFILE"] = "random"
    python(session, "-m", "pytest", "-m", "hypothesis", "--durations", "10", *session.posargs)


@nox.session(venv_backend="none")
def soak(session: nox.Session) -> None:
    """Try a hundred times as many bad inputs, then kill runs of the demo suite at random for half an hour.

    Arguments after `--` go to the kills: `--kills 50 --seed 0 --gap 20`.
    """
    session.env["HYPOTHESIS_PROFILE"] = "soak"
    python(session, "-m", "pytest", "tests/gauntlet")
    python(session, "-m", "tests.soak", *session.posargs)


@nox.session(venv_backend="none")
def check(session: nox.Session) -> None:
    """Run the gate: `nox -s check -- demo` compares the suite's records with the baseline of this device."""
    python(session, "-m", "stampbench", "check", *session.posargs)


@nox.session(venv_backend="none")
def report(session: nox.Session) -> None:
    """Write the reports of every suite from the records; arguments after `--` go to `stampbench report`."""
    python(session, "-m", "stampbench", "report", *session.posargs)


@nox.session(venv_backend="none")
def wheel(session: nox.Session) -> None:
    """Run the demo's first jobs from the wheel in a fresh environment; `-- clean` also installs its dependencies."""
    session.env["PYTHONPATH"] = ""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name).resolve()
        try_wheel(session, install_wheel(session, folder, clean="clean" in session.posargs), folder)


def install_wheel(session: nox.Session, folder: Path, clean: bool) -> Path:
    """Install the wheel in a fresh environment, and return the environment's folder of programs.

    Unless `clean` is set, other packages come from the shared environment, which saves 5 GB.
    """
    shutil.rmtree("build", ignore_errors=True)  # files deleted since an older build would go into the wheel
    if not clean:
        prepare(session)
    session.run(sys.executable if clean else str(PYTHON), "-m", "venv", str(folder / "venv"), external=True)
    fresh = folder / "venv" / PYTHON.relative_to(ENVIRONMENT)
    build = ["-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), "."]
    session.run(*([str(fresh), *build] if clean else [str(PYTHON), *build, "--no-build-isolation"]), external=True)
    install = ["-m", "pip", "install", "--quiet", *map(str, folder.glob("*.whl"))]
    session.run(str(fresh), *install, *(["-c", "constraints.txt"] if clean else ["--no-deps"]), external=True)
    if not clean:
        (packages_of(fresh) / "shared.pth").write_text(str(packages_of(PYTHON)))
    return fresh.parent


def packages_of(python: Path) -> Path:
    """Return the folder in which an environment keeps its packages."""
    show = "import sysconfig; print(sysconfig.get_path('purelib'))"
    return Path(subprocess.check_output([python, "-c", show], text=True).strip())


def try_wheel(session: nox.Session, programs: Path, folder: Path) -> None:
    """Run the installed command in a folder that holds a foreign package `methods`."""
    foreign = folder / "elsewhere" / "methods" / "__init__.py"
    foreign.parent.mkdir(parents=True)
    foreign.write_text("raise ImportError('not the methods of stampbench')\n")
    session.env["STAMPBENCH_CACHE"] = str(folder / "cache")
    with session.chdir(folder / "elsewhere"):
        show = "import stampbench.methods as m, stampbench.suites as s; print(m.__file__, s.__file__, sep='\\n')"
        files = session.run(str(programs / "python"), "-c", show, external=True, silent=True)
        if not all(Path(file).is_relative_to(programs.parent) for file in str(files).split()):
            session.error(f"methods and suites come from {files}, not from the wheel")
        methods = session.run(str(programs / "stampbench"), "list", "methods", external=True, silent=True)
        if "cannot be loaded" in str(methods):
            session.error(f"the wheel lacks something that its methods need:\n{methods}")
        for arguments in ("--version", "list suites", FIRST_JOBS, "report demo --format md"):
            session.run(str(programs / "stampbench"), *arguments.split(), external=True)
        session.run(str(programs / "python"), "-m", "stampbench", "--version", external=True)
        records = len(list(Path("results/records").glob("*.json")))
        if records != 3:
            session.error(f"the demo's first jobs left {records} records, not 3")


def suite_session(path: Path) -> None:
    """Add a session that runs the missing jobs of a suite and then writes its report."""

    def run_suite(session: nox.Session) -> None:
        prepare(session)
        command = [str(PYTHON), "-m", "stampbench", "run", str(path), *session.posargs]
        session.log(" ".join(command))
        code = subprocess.call(command)
        if code not in (0, 1):
            session.error(f"the run ended with code {code}; the same command resumes where it stopped")
        out = str(Path("reports") / path.stem)
        python(session, "-m", "stampbench", "report", str(path), "--out", out, *results(session.posargs))
        if code:
            session.error("some jobs failed; the tables say which")

    run_suite.__doc__ = f"Run {path}, then write its report; arguments after `--` go to `stampbench run`."
    nox.session(run_suite, name=f"suite_{path.stem}", venv_backend="none")


def python(session: nox.Session, *arguments: str) -> None:
    """Run the Python of the shared environment."""
    prepare(session)
    session.run(str(PYTHON), *arguments, external=True)


def prepare(session: nox.Session) -> None:
    """Make the shared environment, unless its stamp says that it is up to date."""
    files = [Path("pyproject.toml"), Path("setup.py"), Path("constraints.txt")]
    digest = hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()
    if STAMP.exists() and STAMP.read_text() == digest:
        return
    if not PYTHON.exists():
        session.run(sys.executable, "-m", "venv", str(ENVIRONMENT), external=True)
    # Python compiles what it imports; to compile all of torch beforehand would take longer than the first jobs.
    install = ["-m", "pip", "install", "--quiet", "--no-compile", "-c", "constraints.txt", "-e", ".[dev]"]
    session.run(str(PYTHON), *install, external=True)
    STAMP.write_text(digest)


def results(arguments: Sequence[str]) -> list[str]:
    """Return the `--results DIR` among the arguments of a run, as its report must read the same folder."""
    at = next((i for i, argument in enumerate(arguments) if argument.startswith("--results")), None)
    return [] if at is None else list(arguments[at : at + (1 if "=" in arguments[at] else 2)])


for suite in sorted(Path("suites").glob("*.toml")):
    suite_session(suite)
