"""Records on disk: one JSON file per job, written atomically, in one pool that all suites share."""

from __future__ import annotations

import errno
import json
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import TypeVar, cast

from pydantic import BaseModel, ValidationError

from stampbench.errors import DamagedError, UserError
from stampbench.files import lock, set_aside, write_atomically
from stampbench.job import Job
from stampbench.reading import content_of, state_of
from stampbench.record import Record, Speed

Model = TypeVar("Model", Record, Speed)
_REMEDY = "remove it to rerun, or let `run` set it aside"


class _Versioned(BaseModel):
    schema_version: int


class Store:
    """The pool under a results folder: `records/<key>.json`, `speed/<key>.json`, `artefacts/`.

    Raises `UserError` if `root` is a file, and for files in the pool that are not what their names say.
    """

    def __init__(self, root: Path) -> None:
        """Use the folder `root`, which need not exist."""
        try:
            usable = stat.S_ISDIR(root.stat().st_mode)
        except OSError as error:
            usable = error.errno == errno.ENOENT and not root.is_symlink()
        if not usable:
            raise UserError(f"{root} is not a folder; name a folder for the records, which need not exist yet")
        self.root = root

    def get(self, key: str) -> Record | None:
        """Return the record of that key, or None. Raises `UserError` for a file that is no record."""
        return _record(self._record_path(key))

    def put(self, record: Record) -> None:
        """Write a record; a reader sees the old file or the new one, never half of it."""
        write_atomically(self._record_path(record.key), json_of(record))

    def records(self) -> Iterator[Record]:
        """Yield every record, in the order of keys."""
        return self._all("records", _record)

    def of(self, jobs: Iterable[Job]) -> dict[str, Record]:
        """Return the records that these jobs have, by key."""
        found = ((key, self.get(key)) for key in (job.key for job in jobs))
        return {key: record for key, record in found if record is not None}

    def stale(self, jobs: Iterable[Job]) -> list[Record]:
        """Return the records of these jobs that older versions of their method, protocol or data made."""
        now = {job.key: job for job in jobs}
        others = [record for record in self.records() if record.key not in now]
        wanted = {job.identity for job in now.values()} if others else set()
        return [record for record in others if record.job.identity in wanted]

    def speed(self, key: str) -> Speed | None:
        """Return the speed measurement of that key, or None."""
        return _speed(self.root / "speed" / f"{key}.json")

    def speeds(self) -> Iterator[Speed]:
        """Yield every speed measurement, in the order of keys."""
        return self._all("speed", _speed)

    def has_speed(self, key: str) -> bool:
        """Return whether the speed of that key was measured."""
        return (self.root / "speed" / f"{key}.json").exists()

    def speed_keys(self) -> set[str]:
        """Return the keys of all speed measurements."""
        return {path.stem for path in (self.root / "speed").glob("*.json")}

    def put_speed(self, speed: Speed) -> None:
        """Write a speed measurement, atomically."""
        write_atomically(self.root / "speed" / f"{speed.key}.json", speed.model_dump_json(indent=1) + "\n")

    def claim(self, key: str, wait: bool) -> AbstractContextManager[bool]:
        """Reserve the job of that key against all processes that share the pool; see `files.lock`."""
        return lock(self.root / ".locks" / key, wait)

    def mend(self) -> None:
        """Set aside each file that is no record or no measurement, so that it is made again.

        Any number of processes may do so at once.
        """
        for folder, read in (("records", _record), ("speed", _speed)):
            for path in sorted((self.root / folder).glob("*.json")):
                if _damage(path, read):
                    with lock(self.root / ".locks" / "mend"):
                        # Another process may have done it while this one waited.
                        if why := _damage(path, read):
                            set_aside(path, why)

    @property
    def artefacts(self) -> Path:
        """The folder of the artefacts that came with the pool."""
        return self.root / "artefacts"

    def _all(self, folder: str, read: Callable[[Path], Model | None]) -> Iterator[Model]:
        for path in sorted((self.root / folder).glob("*.json")):
            # Another process may have set it aside meanwhile.
            if found := read(path):
                yield found

    def _record_path(self, key: str) -> Path:
        return self.root / "records" / f"{key}.json"


def json_of(record: Record) -> str:
    """Return the JSON of a record as it is stored. Of its job it holds what the key hashes: `Job.canonical`."""
    content = record.model_dump(mode="json") | {"job": record.job.canonical}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _record(path: Path) -> Record | None:
    return _read(path, Record)


def _speed(path: Path) -> Speed | None:
    return _read(path, Speed)


def _damage(path: Path, read: Callable[[Path], object]) -> str | None:
    """Return what is wrong with a file, or None if it is sound or gone."""
    try:
        read(path)
    except DamagedError as error:
        return error.what
    return None


def _read(path: Path, model: type[Model]) -> Model | None:
    """Return what a file holds, or None where there is no file."""
    state = state_of(path, _REMEDY)
    if state is None:
        return None
    return cast(Model | None, _parsed(path, model, (state.st_ino, state.st_mtime_ns, state.st_size)))


@lru_cache(maxsize=2**14)
def _parsed(path: Path, model: type[Record | Speed], _state: tuple[int, int, int]) -> Record | Speed | None:
    """Parse a file once for as long as it stays the same, because reports read the pool several times."""
    content = content_of(path)
    if content is None:
        return None
    try:
        found = model.model_validate_json(content)
    except ValidationError as error:
        _refuse_newer(path, model, content)
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise _damaged(path, f"no valid {model.__name__.lower()}: {where}: {first['msg']}") from error
    if isinstance(found, Record) and not path.stem == found.key == found.job.key:
        raise _damaged(path, f"no valid record: it is of another job, {found.job.key}")
    if found.key != path.stem:
        raise _damaged(path, f"no valid speed: it is of another measurement, {found.key}")
    return found


def _refuse_newer(path: Path, model: type[Record | Speed], content: bytes) -> None:
    """Raise `UserError` for a file of a later schema: a newer version reads it, so that it must stay."""
    known = model.model_fields["schema_version"].default
    try:
        found = _Versioned.model_validate_json(content).schema_version
    except ValidationError:
        return
    if found > known:
        raise UserError(
            f"{path} was written by a newer stampbench: its schema_version is {found}, and this one reads up to "
            f"{known}; update stampbench, or name another folder with --results"
        )


def _damaged(path: Path, what: str) -> DamagedError:
    return DamagedError(f"{path} is {what}", _REMEDY)
