"""Checkpoints: the saved state of a long preparation, from which a killed run continues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from stampbench.files import set_aside, write_atomically
from stampbench.seeding import digest_of_tensors

if TYPE_CHECKING:
    from torch import Tensor

_DIGEST = "stampbench.digest"


@dataclass(frozen=True)
class Checkpoint:
    """A safetensors file, whole or absent, whose metadata holds the digest of its tensors."""

    path: Path

    def load(self) -> dict[str, Tensor] | None:
        """Return the tensors last saved, or None. A damaged file is set aside."""
        if not self.path.exists():
            return None
        try:
            with safe_open(self.path, "pt") as file:
                saved: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                digest = (file.metadata() or {}).get(_DIGEST)
        except (SafetensorError, OSError) as error:
            set_aside(self.path, f"{self.path} is damaged ({error})")
            return None
        if digest != digest_of_tensors(saved):
            set_aside(self.path, f"{self.path} is damaged (the tensors are not those saved)")
            return None
        return saved

    def save(self, tensors: Mapping[str, Tensor]) -> None:
        """Save tensors in place of those saved before."""
        from safetensors.torch import save

        saved = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
        write_atomically(self.path, save(saved, {_DIGEST: digest_of_tensors(saved)}))

    def remove(self) -> None:
        """Delete the file, once the preparation has finished."""
        self.path.unlink(missing_ok=True)
