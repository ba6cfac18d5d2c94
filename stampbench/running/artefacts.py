"""Artefacts, such as pretrained networks, that must exist before a job.

Each has a folder `<digest>/` with a safetensors file and a JSON file.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from stampbench.contract import Artefact
from stampbench.data import packed
from stampbench.errors import DamagedError, UserError
from stampbench.files import lock, set_aside, whole_folder
from stampbench.job import ArtefactSpec
from stampbench.reading import read, state_of
from stampbench.record import Duration, Provenance
from stampbench.seeding import digest_of_tensors

_LOG = logging.getLogger("stampbench")
_REMEDY = "remove its folder and run again to have it made anew"
_TENSORS, _DESCRIPTION = "tensors.safetensors", "artefact.json"
# The scope of what is measured on a device: another measurement gives other numbers under the same spec.
_MEASURED = "device"
# A source tree carries the artefacts of seed 0; a wheel carries none, and then nothing lies here.
CARRIED = Path(__file__).resolve().parents[2] / "results" / "artefacts"


class Description(BaseModel):
    """The JSON file beside the tensors: the spec that they were made for, the seconds they took, and their digest."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    spec: ArtefactSpec
    seconds: Duration
    tensors: str
    notes: dict[str, Any]
    provenance: Provenance


@dataclass(frozen=True)
class Artefacts:
    """The artefacts that came with the pool of records, and those in the cache, by the digest of their spec.

    New ones are written to the cache. Those that were measured are copied to the pool, as nobody can make the same ones
    again, and its records rest on them; the pool's go before those of the cache. Those that the project's own tree
    carries, where `carried` names their folder, are only read: they serve whichever pool is chosen.
    """

    pool: Path
    cache: Path
    carried: Path | None = None

    @classmethod
    def beside(cls, pool: Path) -> Artefacts:
        """Return the artefacts of a pool, of this machine's cache, and of the project's own tree."""
        return cls(pool, packed.cache_root() / "artefacts", CARRIED)

    @property
    def _roots(self) -> tuple[Path, ...]:
        return (self.pool, self.cache, *([self.carried] if self.carried else []))

    def ensure(self, spec: ArtefactSpec, make: Callable[[], Artefact], provenance: Provenance) -> tuple[Artefact, bool]:
        """Return the artefact, and whether it existed; if not, make it, in one process at a time.

        A damaged one is set aside and made anew; one that the project's tree carries stays where it is.
        """
        with lock(self.cache / ".locks" / spec.digest):
            held = self._whole(spec)
            if held is None:
                self._write(spec, make(), provenance)
            if spec.scope == _MEASURED:
                self._copy_to_pool(spec.digest)
            return held or self.load(spec), held is not None

    def _whole(self, spec: ArtefactSpec) -> Artefact | None:
        """Return the artefact, or None if it must be made; a damaged one is set aside, unless it is carried."""
        while folder := self._lying(spec.digest):
            try:
                return self.load(spec)
            except DamagedError as error:
                if folder.parent == self.carried:
                    _LOG.warning("%s; it is made anew, into the cache", error.what)
                    return None
                set_aside(folder, error.what)
        return None

    def of_any_data(self, spec: ArtefactSpec) -> ArtefactSpec | None:
        """Return the spec of an existing artefact that differs from this one only in its data, or None.

        Damaged ones are named and passed over: they may be of any spec.
        """
        for root in self._roots:
            for path in sorted(root.glob("[0-9a-f]" * 16)):
                try:
                    held = _description(path).spec
                except DamagedError as error:
                    _LOG.warning("%s", error)
                    continue
                if held.model_copy(update={"recipe": held.recipe | {"data": None}}) == spec.model_copy(
                    update={"recipe": spec.recipe | {"data": None}}
                ):
                    return held
        return None

    def load(self, spec: ArtefactSpec) -> Artefact:
        """Return the artefact, on the CPU. Raises `UserError` if it is missing, `DamagedError` if it is damaged."""
        folder = self._lying(spec.digest)
        if folder is None:
            raise UserError(
                f"artefact {spec.digest} ({spec.kind} on {spec.dataset}) has not been made; run a job that uses it"
            )
        held = _description(folder)
        if state_of(folder / _TENSORS, _REMEDY, most=None) is None:
            raise _damaged(folder, f"{_TENSORS} is missing")
        try:
            tensors = load_file(folder / _TENSORS)
            digest = digest_of_tensors(tensors)
        # Headers that name unknown types or sizes raise these.
        except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
            raise _damaged(folder, str(error)) from error
        if digest != held.tensors:
            raise _damaged(folder, "the tensors are not those described")
        return Artefact(tensors, held.seconds, held.notes, digest)

    def folder(self, spec: ArtefactSpec) -> Path | None:
        """Return the folder of the spec's artefact, or None."""
        return self.held(spec.digest)

    def held(self, digest: str) -> Path | None:
        """Return the folder of the artefact with that digest, or None; a folder that lacks a file is none."""
        found = self._lying(digest)
        return found if found and all((found / name).is_file() for name in (_TENSORS, _DESCRIPTION)) else None

    def _lying(self, digest: str) -> Path | None:
        """Return what lies under that digest, whole or not, or None."""
        folders = (root / digest for root in self._roots)
        return next((folder for folder in folders if os.path.lexists(folder)), None)

    def receive(self, digest: str, files: Mapping[str, bytes]) -> None:
        """Store an artefact's files as another machine sent them, unless it exists here; `load` will check them."""
        with lock(self.cache / ".locks" / digest):
            if (lying := self._lying(digest)) and not self.held(digest):
                set_aside(lying, f"{lying} lacks a file, as in a copy that was cut short")
        with whole_folder(self.cache / digest) as folder:
            for name in (_TENSORS, _DESCRIPTION):
                (folder / name).write_bytes(files[name])

    def _copy_to_pool(self, digest: str) -> None:
        """Copy an artefact's files to the pool, unless it lies there already."""
        held = self.held(digest)
        if held is None or held.parent == self.pool:
            return
        with whole_folder(self.pool / digest) as folder:
            for name in (_TENSORS, _DESCRIPTION):
                shutil.copyfile(held / name, folder / name)

    def _write(self, spec: ArtefactSpec, artefact: Artefact, provenance: Provenance) -> None:
        """Write an artefact's folder, which gets its name only when it is complete."""
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
    content = read(folder / _DESCRIPTION, _REMEDY)
    if content is None:
        raise _damaged(folder, f"{_DESCRIPTION} is missing, as in a copy that was cut short")
    try:
        held = Description.model_validate_json(content)
    except ValidationError as error:
        raise _damaged(folder, str(error)) from error
    if held.spec.digest != folder.name:
        raise _damaged(folder, "it holds another artefact")
    return held


def _damaged(folder: Path, why: str) -> DamagedError:
    return DamagedError(f"{folder} is damaged ({why})", _REMEDY)
