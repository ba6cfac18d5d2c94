"""Unpacking of what `pack` wrote into this machine's cache: it is checked first, and nothing is overwritten."""

from __future__ import annotations

import os
import re
import shutil
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pydantic import ValidationError

from stampbench.data.packed import Manifest
from stampbench.errors import UserError
from stampbench.files import temporary_folder, whole_folder, write_atomically
from stampbench.reading import read
from stampbench.running.offline import CACHE, PART, SUMS, sum_of

_KINDS = ("data", "artefacts")


@dataclass(frozen=True)
class Unpacked:
    """The suite file, and the datasets and artefacts that were added to the cache and that it held already."""

    suite: Path
    added: Sequence[str]
    held: Sequence[str]


def unpack(source: Path, cache: Path, here: Path) -> Unpacked:
    """Put what `pack` wrote to `source` into a cache, and its suite file into the folder `here`.

    What the cache holds already stays. Raises `UserError`, before anything is written, if the source is damaged or
    holds files that `pack` does not write, and if other images of a dataset or another suite file are in the way.
    """
    _check_sums(source)
    with _tree(source, cache) as tree:
        suite, folders = _contents(tree, source)
        target = here / suite.name
        held = read(target, "move it away, or unpack in another folder")
        if held is not None and held != suite.read_bytes():
            raise UserError(f"{target} is another suite file; move it away, or unpack in another folder")
        missing = [name for name in folders if not _is_held(tree / CACHE / name, cache / name)]
        for name in missing:
            with whole_folder(cache / name) as working:
                shutil.copytree(tree / CACHE / name, working, dirs_exist_ok=True)
        write_atomically(target, suite.read_bytes())
    return Unpacked(target, missing, [name for name in folders if name not in missing])


def _check_sums(source: Path) -> None:
    """Raise `UserError` unless the folder holds exactly the files that SHA256SUMS lists, with the listed sums."""
    remedy = "name a folder that `pack` wrote"
    try:
        lines = (read(source / SUMS, remedy) or b"").decode("utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise UserError(f"{source / SUMS} cannot be read; {remedy} ({error})") from error
    if not lines:
        raise UserError(f"{source / SUMS} cannot be read: it is missing or empty; {remedy}")
    matches = [re.fullmatch(r"([0-9a-f]{64})  (.+)", line) for line in lines]
    listed = {match[2]: match[1] for match in matches if match}
    found: dict[str, str] = {}
    for path in sorted(source.rglob("*")):
        name = path.relative_to(source).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise _refused(source, f"{name} is not a plain file")
        if path.is_file() and name != SUMS:
            found[name] = sum_of(path)
    if len(listed) != len(lines) or listed != found:
        differing = sorted(name for name in listed.keys() | found.keys() if listed.get(name) != found.get(name))
        raise _refused(source, f"these files differ from what {SUMS} says: {', '.join(differing) or SUMS}")


@contextmanager
def _tree(source: Path, cache: Path) -> Iterator[Path]:
    """Yield the folder with the suite file and the cache: the source itself, or a folder with what its parts hold."""
    parts = sorted(source.glob(f"{PART}*"), key=lambda path: (len(path.name), path.name))
    if not parts:
        yield source
        return
    with temporary_folder(cache, ".unpacking-") as folder:
        try:
            with tarfile.open(fileobj=_Joined(parts), mode="r|") as tar:  # type: ignore[call-overload]
                tar.extractall(folder, filter=lambda entry, place: _plain(source, entry, place))
        except tarfile.TarError as error:
            raise _refused(source, str(error)) from error
        except OSError as error:
            remedy = "free some space or allow writing there"
            raise UserError(f"{source} cannot be unpacked in {cache}: {error}; {remedy}") from error
        yield folder


class _Joined:
    """A readable file that consists of parts."""

    def __init__(self, parts: Sequence[Path]) -> None:
        self._left, self._at = list(parts), 0

    def read(self, size: int) -> bytes:
        """Return that many bytes, fewer at the end of the last part."""
        taken = b""
        while self._left and len(taken) < size:
            with self._left[0].open("rb") as file:
                file.seek(self._at)
                piece = file.read(size - len(taken))
            taken, self._at = taken + piece, self._at + len(piece)
            if not piece:
                self._left, self._at = self._left[1:], 0
        return taken


def _plain(source: Path, entry: tarfile.TarInfo, folder: str) -> tarfile.TarInfo | None:
    """Return the entry of a plain file in a known place, and None for a folder, which comes with its files.

    Raises `UserError` for any other entry.
    """
    if entry.isdir():
        return None
    if not entry.isreg() or entry.issparse() or not _is_known(PurePosixPath(entry.name)):
        raise _refused(source, f"{entry.name} is not what `pack` writes")
    return tarfile.data_filter(entry, folder)


def _is_known(name: PurePosixPath) -> bool:
    """Return whether `pack` writes files of that name: `<suite>.toml`, and `cache/<kind>/<folder>/<file>`."""
    if any(part.startswith(".") for part in name.parts):
        return False
    if len(name.parts) == 1:
        return name.suffix == ".toml"
    return len(name.parts) == 4 and name.parts[0] == CACHE and name.parts[1] in _KINDS


def _contents(tree: Path, source: Path) -> tuple[Path, list[str]]:
    """Return the suite file and the names of the folders relative to the cache."""
    names = [PurePosixPath(path.relative_to(tree).as_posix()) for path in sorted(tree.rglob("*")) if path.is_file()]
    names = [name for name in names if name != PurePosixPath(SUMS)]
    if unknown := [str(name) for name in names if not _is_known(name)]:
        raise _refused(source, f"`pack` does not write {', '.join(unknown)}")
    suites = [name for name in names if len(name.parts) == 1]
    if len(suites) != 1:
        raise _refused(source, f"it holds {len(suites)} suite files, not 1")
    folders = {str(name.parent.relative_to(CACHE)) for name in names if name not in suites}
    return tree / suites[0], sorted(folders)


def _is_held(new: Path, old: Path) -> bool:
    """Return whether the cache holds this folder: the same files, the whole dataset, or the same artefact.

    Artefacts of one name are equal. Raises `UserError` for a dataset of which the cache holds other images.
    """
    if not os.path.lexists(old):
        return False
    if not old.is_dir():
        raise UserError(f"{old} is no folder; remove it, or name another cache with STAMPBENCH_CACHE")
    if old.parent.name == "artefacts" or _files(old) == _files(new):
        return True
    try:
        content = read(old / "manifest.json", "remove its folder")
        if content and not Manifest.model_validate_json(content).partial:
            return True
    except ValidationError:
        pass
    raise UserError(f"{old} holds other images of this dataset; remove it, or name another cache with STAMPBENCH_CACHE")


def _files(folder: Path) -> dict[str, str]:
    return {path.name: sum_of(path) for path in folder.iterdir()}


def _refused(source: Path, why: str) -> UserError:
    return UserError(f"{source} is refused: {why}; copy or pack it again")
