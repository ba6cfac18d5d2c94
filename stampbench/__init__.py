"""stampbench: which pruning method is most accurate, smallest, truly fastest, and quickest to get?"""

import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"

# What users call from here, and the module that has it; imported at the first use, as it needs torch.
_LAZY = {"load_network": "stampbench.export.folder"}

_PACKAGE = Path(__file__).resolve().parent
if not (_PACKAGE / "methods").is_dir():
    # In a source tree, `stampbench.methods` and `stampbench.suites` lie beside this folder; in the wheel, inside it.
    __path__.append(str(_PACKAGE.parent))


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
