"""Files that are whole or absent, whoever dies: written aside and renamed, locked, set aside where damaged."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from stampbench.errors import UserError

_LOG = logging.getLogger("stampbench")


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replaces a file's content in one step: written aside, flushed to the disk, then renamed. Text is UTF-8.

    Raises `UserError` where the disk is full or may not be written.
    """
    with _said(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to fill, which takes its name when it is full; of two processes that fill the same, one wins.

    Raises `UserError` where the disk is full or may not be written.
    """
    with _said(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        working = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}-"))
        try:
            yield working
            working.chmod(0o755)
            try:
                working.replace(folder)
            except OSError:
                if not folder.is_dir():
                    raise
        finally:
            shutil.rmtree(working, ignore_errors=True)


def set_aside(path: Path, why: str) -> None:
    """Renames a damaged file or folder to a free name that ends in `.damaged`, and says so."""
    names = (path.with_name(f"{path.name}.{f'{n}.' if n else ''}damaged") for n in count())
    aside = next(name for name in names if not name.exists())
    with _said(aside):
        path.replace(aside)
    _LOG.warning("%s; set aside as %s", why, aside.name)


@contextmanager
def lock(path: Path, wait: bool = True) -> Iterator[bool]:
    """Holds the lock of that name against other processes; without `wait`, false where another holds it.

    It is gone when its holder is, however that died. Raises `UserError` where it may not be written.
    """
    held = FileLock(path)
    with _said(path), suppress(Timeout):
        path.parent.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout=-1 if wait else 0)
    try:
        yield held.is_locked
    finally:
        held.release()


@contextmanager
def _said(path: Path) -> Iterator[None]:
    """Turns what the disk refuses into what the user can do about it."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path} cannot be written: {why}; make room or allow it, then the same command goes on"
        ) from error
