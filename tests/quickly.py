"""The command line with clocks that take one sample of little work: `python tests/quickly.py run …`.

Records have the same numbers, but for seconds.
"""

import sys

from stampbench import cli
from stampbench.measure import speed, yardstick


def quicken(patch=setattr) -> None:
    """Let speeds be measured once, and the yardstick be a small one; `patch` is `monkeypatch.setattr` in a test."""
    patch(speed, "ROUNDS", dict.fromkeys(speed.ROUNDS, 1))
    patch(yardstick, "BATCH", 1)


if __name__ == "__main__":
    quicken()
    cli.main(sys.argv[1:])
