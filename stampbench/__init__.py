"""stampbench: which pruning method is most accurate, smallest, truly fastest, and quickest to get?"""

from pathlib import Path

__version__ = "0.1.0"

_PACKAGE = Path(__file__).resolve().parent
if not (_PACKAGE / "methods").is_dir():
    # In a source tree, `stampbench.methods` and `stampbench.suites` lie beside this folder; in the wheel, inside it.
    __path__.append(str(_PACKAGE.parent))
