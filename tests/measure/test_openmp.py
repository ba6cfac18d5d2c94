"""GNU OpenMP itself says how long its threads spin; what the user set stays."""

import os
import re
import subprocess
import sys

import pytest

from stampbench import openmp


def as_shown(code: str, **variables: str) -> dict[str, str]:
    """Run Python code, and return the settings that OpenMP shows when torch loads it."""
    environment = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    environment |= {"OMP_DISPLAY_ENV": "verbose"} | variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    return dict(re.findall(r"(\w+) = '(.*)'", done.stderr))


def test_threads_spin_briefly_by_default():
    assert as_shown("import stampbench, torch")["GOMP_SPINCOUNT"] == openmp.SPINS


@pytest.mark.parametrize(("variable", "value"), [("OMP_WAIT_POLICY", "PASSIVE"), ("GOMP_SPINCOUNT", "77")])
def test_what_the_user_set_stays(variable, value):
    shown = as_shown("import stampbench, torch", **{variable: value})
    assert shown[variable] == value
    assert shown["GOMP_SPINCOUNT"] == ("0" if variable == "OMP_WAIT_POLICY" else value)


def test_nothing_is_claimed_where_torch_was_first():
    code = "import torch, stampbench.openmp as openmp; assert openmp.chosen() == {}, openmp.chosen()"
    assert as_shown(code)["GOMP_SPINCOUNT"] != openmp.SPINS


def test_provenance_names_the_setting(monkeypatch):
    import torch

    from stampbench.measure.provenance import provenance

    monkeypatch.setenv("GOMP_SPINCOUNT", "77")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    assert provenance(torch.device("cpu"), "fp32", "in-process", True).openmp == {"GOMP_SPINCOUNT": "77"}
