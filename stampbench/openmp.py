"""The way in which torch's threads on the CPU wait for each other: they spin for a while, then they sleep.

GNU OpenMP, which torch uses, spins 300,000 times by default. Beside other busy processes that keeps a core from those
who have work for it. The setting must be in the environment before torch is loaded.
"""

from __future__ import annotations

import os
import sys

SPINS = "10000"
_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def spin_briefly() -> None:
    """Let torch's threads spin for `SPINS` rounds, unless the user chose otherwise or torch is loaded already."""
    if "torch" not in sys.modules and not chosen():
        os.environ["GOMP_SPINCOUNT"] = SPINS


def chosen() -> dict[str, str]:
    """Return the environment variables that say how threads wait, as this process has them."""
    return {name: os.environ[name] for name in _VARIABLES if name in os.environ}
