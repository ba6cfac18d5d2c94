"""Output that is closed, full, in a narrow encoding, or piped to a reader that has gone."""

import io
import os
import subprocess
import sys

import platformdirs
import pytest

from stampbench.data import packed
from stampbench.errors import DataError
from stampbench.output import NOT_WRITTEN, READER_GONE, Outlet

LIST = [sys.executable, "-m", "stampbench", "list", "methods"]


def listed(redirected: str) -> subprocess.CompletedProcess[str]:
    """Run `list methods` in a shell that redirects its output."""
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirected}', "-", *LIST], capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize(
    ("redirected", "code", "said"),
    [
        (">/dev/full", NOT_WRITTEN, "the standard output cannot be written (No space left on device)"),
        (">&-", 0, ""),
        (">&- 2>&-", 0, ""),
        ("2>/dev/full", 0, ""),
    ],
)
def test_a_list_that_cannot_be_printed_ends_without_a_traceback(redirected, code, said):
    done = listed(redirected)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert said in done.stderr and bool(said) == bool(done.stderr)


def test_a_reader_that_has_gone_is_told_by_the_exit_code():
    """The pipe has no reader from the start, so that nothing depends on who is faster."""
    read, write = os.pipe()
    os.close(read)
    try:
        done = subprocess.run(LIST, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    finally:
        os.close(write)
    assert (done.returncode, done.stderr) == (READER_GONE, "")


def test_a_narrow_encoding_gets_escapes():
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, "ascii")
    outlet = Outlet(stream, "output")
    assert outlet.write("vgg19 × 0.25\n") == 13
    outlet.flush()
    assert written.getvalue() == b"vgg19 \\xd7 0.25\n"


def test_commands_print_in_a_narrow_encoding():
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = subprocess.run(
        [*LIST[:-2], "plan", "demo"], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii() and "digits" in done.stdout


def test_without_a_home_folder_the_variable_is_named(monkeypatch):
    def homeless(name: str) -> str:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("STAMPBENCH_CACHE", raising=False)
    monkeypatch.setattr(platformdirs, "user_cache_dir", homeless)
    with pytest.raises(DataError, match="no home folder for a cache; set STAMPBENCH_CACHE"):
        packed.cache_root()
