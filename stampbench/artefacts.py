"""Artefacts: what must exist before a job. One folder each, `<digest>/`, of safetensors and JSON."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from stampbench.contract import Artefact, ArtefactSpec
from stampbench.errors import UserError
from stampbench.record import Provenance
from stampbench.seeding import digest_of, digest_of_json

# What is small and serves every target travels with the pool of records; the rest stays in the cache.
POOL_LIMIT_BYTES = 8 * 2**20
_TENSORS, _DESCRIPTION = "tensors.safetensors", "artefact.json"


class Description(BaseModel):
    """What lies beside the tensors: the spec they answer, the seconds they took, their digest."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    spec: ArtefactSpec
    seconds: float
    tensors: str
    notes: dict[str, Any]
    provenance: Provenance


@dataclass(frozen=True)
class Artefacts:
    """Artefacts by the digest of their spec: those in the pool first, then those in the cache."""

    pool: Path
    cache: Path

    def ensure(self, spec: ArtefactSpec, make: Callable[[], Artefact], provenance: Provenance) -> bool:
        """Makes the artefact if it is not there; true if it was."""
        if self.folder(spec) is not None:
            return True
        self._write(spec, make(), provenance)
        return False

    def of_any_data(self, spec: ArtefactSpec) -> ArtefactSpec | None:
        """The spec of an artefact that is there and differs from this one in its data alone, or None."""
        for root in (self.pool, self.cache):
            for path in sorted(root.glob(f"*/{_DESCRIPTION}")):
                held = Description.model_validate_json(path.read_bytes()).spec
                if held.model_copy(update={"recipe": held.recipe | {"data": None}}) == spec.model_copy(
                    update={"recipe": spec.recipe | {"data": None}}
                ):
                    return held
        return None

    def load(self, spec: ArtefactSpec) -> Artefact:
        """The artefact, on the CPU. Raises `UserError` if it is missing or damaged."""
        folder = self.folder(spec)
        if folder is None:
            raise UserError(f"artefact {digest_of_spec(spec)} ({spec.kind} on {spec.dataset}) has not been made")
        try:
            held = Description.model_validate_json((folder / _DESCRIPTION).read_bytes())
            tensors = load_file(folder / _TENSORS)
        except (OSError, ValidationError, SafetensorError) as error:
            raise UserError(f"{folder} is damaged ({error}); remove it and run again to have it made anew") from error
        if digest_of_tensors(tensors) != held.tensors:
            raise UserError(f"{folder}: the tensors are not those described; remove it and run again")
        return Artefact(tensors, held.seconds, held.notes)

    def folder(self, spec: ArtefactSpec) -> Path | None:
        """Where it lies, or None."""
        name = digest_of_spec(spec)
        folders = (root / name for root in (self.pool, self.cache))
        return next((folder for folder in folders if (folder / _DESCRIPTION).is_file()), None)

    def _write(self, spec: ArtefactSpec, artefact: Artefact, provenance: Provenance) -> None:
        """All or nothing: a folder of that name is complete."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in artefact.tensors.items()}
        size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
        root = self.pool if spec.scope == "reference" and size <= POOL_LIMIT_BYTES else self.cache
        root.mkdir(parents=True, exist_ok=True)
        working = Path(tempfile.mkdtemp(dir=root, prefix=".making-"))
        description = Description(
            spec=spec,
            seconds=artefact.seconds,
            tensors=digest_of_tensors(tensors),
            notes=dict(artefact.notes),
            provenance=provenance,
        )
        try:
            save_file(tensors, working / _TENSORS)
            (working / _DESCRIPTION).write_text(description.model_dump_json(indent=1) + "\n", encoding="utf-8")
            working.chmod(0o755)
            working.replace(root / digest_of_spec(spec))
        finally:
            shutil.rmtree(working, ignore_errors=True)


def digest_of_spec(spec: ArtefactSpec) -> str:
    """The artefact's name: 16 hexadecimal digits of its spec's canonical JSON."""
    return digest_of_json(spec.model_dump(mode="json"))


def digest_of_tensors(tensors: Mapping[str, Any]) -> str:
    """One digest for named tensors, whatever their order."""
    return digest_of(*(tensors[name] for name in sorted(tensors)))
