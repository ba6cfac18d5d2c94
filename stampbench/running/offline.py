"""Packing of the images and artefacts that jobs need, as a cache for a machine without network."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from stampbench.contract import ArtefactSpec
from stampbench.data import catalogue, packed
from stampbench.data.catalogue import CustomDataset
from stampbench.data.split import drawn_rows
from stampbench.errors import UserError
from stampbench.files import temporary_folder
from stampbench.job import Job
from stampbench.reading import state_of
from stampbench.running.artefacts import Artefacts
from stampbench.running.preparing import method_of, needed_artefacts
from stampbench.seeding import artefact_seed

CACHE, SUMS, PART = "cache", "SHA256SUMS", "part-"


@dataclass
class Needs:
    """The needs of jobs: `rows`, the training images of each dataset, bool (N,); `folders`, those of artefacts at hand;
    and `unmade`, the specs of artefacts that must still be made.
    """

    rows: dict[str, Tensor] = field(default_factory=dict)
    folders: set[Path] = field(default_factory=set)
    unmade: dict[str, ArtefactSpec] = field(default_factory=dict)

    def add_images(self, name: str, images: int | None, seed: int, custom: Mapping[str, CustomDataset]) -> None:
        """Add the training images that a task of this size and seed draws."""
        whole = packed.load(name, custom)
        rows = self.rows.setdefault(name, torch.zeros(len(whole.train), dtype=torch.bool))
        rows[drawn_rows(whole, catalogue.resolve(name, custom), images, seed)] = True


def needs_of(jobs: Sequence[Job], custom: Mapping[str, CustomDataset], artefacts: Artefacts) -> Needs:
    """Return what these jobs read. If an artefact is not at hand, the images that it is made from are needed."""
    needs = Needs()
    for job in jobs:
        needs.add_images(job.target, job.protocol.train_images, artefact_seed(job.seed), custom)
        for spec in needed_artefacts(job, method_of(job), custom, artefacts):
            if folder := artefacts.folder(spec):
                artefacts.load(spec)
                needs.folders.add(folder)
            elif spec.dataset and spec.digest not in needs.unmade:
                needs.unmade[spec.digest] = spec
                needs.add_images(spec.dataset, spec.recipe["images"], spec.seed, custom)
    return needs


def pack(
    needs: Needs, suite_file: Path, custom: Mapping[str, CustomDataset], out: Path, most_mib: int | None = None
) -> list[Path]:
    """Write the suite file and a cache with what is needed to the new folder `out`, all or nothing; return the files.

    With `most_mib`, they form one tar stream that is cut into parts of at most that many MiB. The SHA-256 sums of the
    files or parts lie beside them; `unpacking` reads either form. Raises `UserError` if `out` exists.
    """
    if os.path.lexists(out):
        raise UserError(f"{out} exists already; name a new folder, or remove it")
    try:
        with temporary_folder(out.parent, ".packing-") as folder:
            tree, parts = folder / "tree", folder / "parts"
            tree.mkdir()
            shutil.copy(suite_file, tree)
            for dataset, rows in needs.rows.items():
                packed.write_part(dataset, rows.nonzero().flatten(), tree / CACHE, custom)
            for artefact in needs.folders:
                shutil.copytree(artefact, tree / CACHE / "artefacts" / artefact.name)
            if most_mib is not None:
                _split(tree, parts, most_mib * 2**20)
            whole = tree if most_mib is None else parts
            _write_sums(whole)
            whole.replace(out)
    except OSError as error:
        remedy = "free some space, allow writing there or name another folder"
        raise UserError(f"{out} cannot be written: {error.strerror or error}; {remedy}") from error
    return sorted(path for path in out.rglob("*") if path.is_file())


class _Parts:
    """A writable file that consists of pieces of at most `most` bytes each: part-000, part-001, …"""

    def __init__(self, folder: Path, most: int) -> None:
        folder.mkdir()
        self._folder, self._most = folder, most
        self._number, self._room = -1, 0

    def write(self, data: bytes) -> int:
        left = memoryview(data)
        while left:
            if not self._room:
                self._number, self._room = self._number + 1, self._most
            piece, left = left[: self._room], left[self._room :]
            with (self._folder / f"{PART}{self._number:03}").open("ab") as file:
                self._room -= file.write(piece)
        return len(data)


def _split(tree: Path, parts: Path, most: int) -> None:
    with tarfile.open(fileobj=_Parts(parts, most), mode="w|") as tar:  # type: ignore[call-overload]
        for path in sorted(tree.rglob("*")):
            tar.add(path, path.relative_to(tree).as_posix(), recursive=False, filter=_plain)


def _write_sums(folder: Path) -> None:
    """Write the sums of all files in a folder, in the format that `sha256sum -c` reads."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    lines = [f"{sum_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def sum_of(path: Path) -> str:
    """Return a plain file's SHA-256 sum, in hexadecimal digits. Raises `UserError` for all that is no plain file."""
    state_of(path, "remove it, and pack or unpack again", most=None)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Return the entry without owner and time, so that packing twice gives the same bytes."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = 0
    return entry
