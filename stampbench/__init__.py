"""stampbench: which pruning method is most accurate, smallest, truly fastest, and quickest to get?"""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stampbench.analysis import load_records as load_records
    from stampbench.export.folder import load_network as load_network
    from stampbench.running.in_hand import prune as prune

__version__ = "0.1.0"

_PACKAGE = Path(__file__).resolve().parent
if not (_PACKAGE / "methods").is_dir():
    # In a source tree, `stampbench.methods` and `stampbench.suites` lie beside this folder; in the wheel, inside it.
    __path__.append(str(_PACKAGE.parent))

# What users call in Python, and the modules that it comes from. These are heavy, and imported at the first use.
_LAZY = {
    "load_network": "stampbench.export.folder",
    "load_records": "stampbench.analysis",
    "prune": "stampbench.running.in_hand",
}


def __getattr__(name: str) -> Any:
    """Return what users call in Python, from the module that defines it."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    """Return the names of this module, those of `_LAZY` included."""
    return sorted({*globals(), *_LAZY})
