"""Where a long preparation leaves its state, so that a killed one goes on instead of beginning again."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Checkpoint:
    """One safetensors file, whole or absent."""

    path: Path

    def load(self) -> dict[str, Tensor] | None:
        """The tensors last saved, or None. A damaged file is put aside under the suffix ".damaged"."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            saved: dict[str, Tensor] = load_file(self.path)
        except FileNotFoundError:
            return None
        except (SafetensorError, OSError):
            self.path.replace(self.path.with_suffix(".damaged"))
            return None
        return saved

    def save(self, tensors: Mapping[str, Tensor]) -> None:
        """Replaces what was saved before."""
        from safetensors.torch import save_file

        self.path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=".saving-")
        os.close(handle)
        try:
            save_file({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()}, name)
            Path(name).replace(self.path)
        finally:
            Path(name).unlink(missing_ok=True)

    def remove(self) -> None:
        """Forgets it, once what it led to exists."""
        self.path.unlink(missing_ok=True)
