"""Writing, locking and setting aside files, such that a file is whole or absent even if a process is killed."""

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
    """Replace a file's content in one step: write another file, flush it to the disk, then rename it.

    Text is written as UTF-8. Raises `UserError` where the disk is full or may not be written.
    """
    with _refusals_explained(path):
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
    """Yield a temporary folder to fill, and rename it to `folder` afterwards.

    Where two processes fill the same folder, the first one's is kept. Raises `UserError` where the disk is full or may
    not be written.
    """
    with _refusals_explained(folder):
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
    """Rename a damaged file or folder to a free name that ends in `.damaged`, and log a warning.

    What is gone has been set aside by another process.
    """
    names = (path.with_name(f"{path.name}.{f'{n}.' if n else ''}damaged") for n in count())
    aside = next(name for name in names if not os.path.lexists(name))
    with _refusals_explained(aside):
        try:
            path.replace(aside)
        except FileNotFoundError:
            return
    _LOG.warning("%s; set aside as %s", why, aside.name)


@contextmanager
def lock(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of that name against other processes, and yield true.

    Without `wait`, yield false at once where another process holds it. The lock is released when its holder ends,
    even if it is killed. Raises `UserError` where the lock may not be written.
    """
    held = FileLock(path)
    with _refusals_explained(path), suppress(Timeout):
        path.parent.mkdir(parents=True, exist_ok=True)
        held.acquire(timeout=-1 if wait else 0)
    try:
        yield held.is_locked
    finally:
        held.release()


@contextmanager
def _refusals_explained(path: Path) -> Iterator[None]:
    """Raise `UserError`, which says what to do, where the disk refuses to write."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path} cannot be written: {why}; free some space or allow writing there, then run the same command again"
        ) from error
