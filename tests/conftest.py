"""Makes the third party's example package importable, as if pip had installed it."""

import os
import sys
from pathlib import Path

THIRD_PARTY = str(Path(__file__).parent / "third_party")
sys.path.append(THIRD_PARTY)
# Subprocesses of tests find it too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), THIRD_PARTY]))
