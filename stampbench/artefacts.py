"""Artefacts: what must exist before a job. One folder each, `<digest>/`, of safetensors and JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from stampbench.contract import Artefact
from stampbench.errors import DamagedError, UserError
from stampbench.files import lock, set_aside, whole_folder
from stampbench.job import ArtefactSpec
from stampbench.record import Provenance
from stampbench.seeding import digest_of_tensors

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
    """Artefacts by the digest of their spec: those that came with the pool of records, and those in the cache.

    New ones go to the cache; the pool's are only read.
    """

    pool: Path
    cache: Path

    def ensure(self, spec: ArtefactSpec, make: Callable[[], Artefact], provenance: Provenance) -> tuple[Artefact, bool]:
        """The artefact, and whether it was there. It is made if it is missing, by one process at a time.

        A damaged one is set aside and made anew.
        """
        with lock(self.cache / ".locks" / spec.digest):
            while folder := self.folder(spec):
                try:
                    return self.load(spec), True
                except DamagedError as error:
                    set_aside(folder, error.what)
            self._write(spec, make(), provenance)
            return self.load(spec), False

    def of_any_data(self, spec: ArtefactSpec) -> ArtefactSpec | None:
        """The spec of an artefact that is there and differs from this one in its data alone, or None."""
        for root in (self.pool, self.cache):
            for path in sorted(root.glob(f"{'[0-9a-f]' * 16}/{_DESCRIPTION}")):
                held = _description(path.parent).spec
                if held.model_copy(update={"recipe": held.recipe | {"data": None}}) == spec.model_copy(
                    update={"recipe": spec.recipe | {"data": None}}
                ):
                    return held
        return None

    def load(self, spec: ArtefactSpec) -> Artefact:
        """The artefact, on the CPU. Raises `UserError` if it is missing, `DamagedError` if it is damaged."""
        folder = self.folder(spec)
        if folder is None:
            raise UserError(f"artefact {spec.digest} ({spec.kind} on {spec.dataset}) has not been made")
        held = _description(folder)
        try:
            tensors = load_file(folder / _TENSORS)
        except (OSError, SafetensorError) as error:
            raise _damaged(folder, str(error)) from error
        if digest_of_tensors(tensors) != held.tensors:
            raise _damaged(folder, "the tensors are not those described")
        return Artefact(tensors, held.seconds, held.notes)

    def folder(self, spec: ArtefactSpec) -> Path | None:
        """Where it lies, or None."""
        return self.held(spec.digest)

    def held(self, digest: str) -> Path | None:
        """Where the artefact of that digest lies, or None."""
        folders = (root / digest for root in (self.pool, self.cache))
        return next((folder for folder in folders if (folder / _DESCRIPTION).is_file()), None)

    def receive(self, digest: str, files: Mapping[str, bytes]) -> None:
        """Keeps an artefact's files as another machine sent them; `load` looks at them. What is here already stays."""
        with whole_folder(self.cache / digest) as folder:
            for name in (_TENSORS, _DESCRIPTION):
                (folder / name).write_bytes(files[name])

    def _write(self, spec: ArtefactSpec, artefact: Artefact, provenance: Provenance) -> None:
        """All or nothing: a folder of that name is complete."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in artefact.tensors.items()}
        description = Description(
            spec=spec,
            seconds=artefact.seconds,
            tensors=digest_of_tensors(tensors),
            notes=dict(artefact.notes),
            provenance=provenance,
        )
        with whole_folder(self.cache / spec.digest) as folder:
            save_file(tensors, folder / _TENSORS)
            (folder / _DESCRIPTION).write_text(description.model_dump_json(indent=1) + "\n", encoding="utf-8")


def _description(folder: Path) -> Description:
    try:
        held = Description.model_validate_json((folder / _DESCRIPTION).read_bytes())
    except (OSError, ValidationError) as error:
        raise _damaged(folder, str(error)) from error
    if held.spec.digest != folder.name:
        raise _damaged(folder, "it is another artefact")
    return held


def _damaged(folder: Path, why: str) -> DamagedError:
    return DamagedError(f"{folder} is damaged ({why})", "remove it and run again to have it made anew")
