"""Named random streams, and digests of what was drawn from them.

A stream is keyed by (purpose, dataset, seed) and never by method, so two methods of one seed see the same draws
and drawing more in one changes nothing in another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch
    from torch import Tensor

ARTEFACT_SEEDS = 3


def stream_seed(purpose: str, dataset: str, seed: int) -> int:
    """Return the 63-bit seed of a named stream, taken from the SHA-256 of its key."""
    key = json.dumps([purpose, dataset, seed]).encode()
    return int.from_bytes(hashlib.sha256(key).digest()[:8], "big") >> 1


def generator(purpose: str, dataset: str, seed: int) -> torch.Generator:
    """Return a fresh CPU generator at the start of the named stream; CUDA generators would draw other numbers."""
    import torch

    return torch.Generator().manual_seed(stream_seed(purpose, dataset, seed))


def artefact_seed(seed: int) -> int:
    """Return the artefact seed of a job's seed: one of three in turn, so that intervals cover pretraining too."""
    return seed % ARTEFACT_SEEDS


class Digest:
    """A SHA-256 over a sequence of tensors: the dtype, shape and bytes of each."""

    def __init__(self) -> None:
        """Begin with an empty sequence."""
        self._hash = hashlib.sha256()

    def add(self, *tensors: Tensor) -> Digest:
        """Add tensors, moved to the CPU and made contiguous, and return this digest."""
        for tensor in tensors:
            values = tensor.detach().cpu().contiguous()
            self._hash.update(f"{values.dtype}{tuple(values.shape)}".encode())
            self._hash.update(values.flatten().view(_byte_dtype()).numpy().tobytes())
        return self

    def hex(self) -> str:
        """Return the first 16 hexadecimal digits."""
        return self._hash.hexdigest()[:16]


def _byte_dtype() -> torch.dtype:
    import torch

    return torch.uint8


def digest_of(*tensors: Tensor) -> str:
    """Return the digest of these tensors in this order, 16 hexadecimal digits."""
    return Digest().add(*tensors).hex()


def digest_of_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return one digest of named tensors, which does not depend on their order."""
    return digest_of(*(tensors[name] for name in sorted(tensors)))


def digest_of_json(value: object) -> str:
    """Return the digest of a JSON value in canonical form (sorted keys, no spaces), 16 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
