"""Writing, locking and setting aside files, such that a file is whole or absent even if a process is killed.

What is being written lies beside its later place under a name that begins with a dot and ends in ".part", and is locked
by its writer, so that `sweep` can tell what killed processes left.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from stampbench.errors import UserError

_LOG = logging.getLogger("stampbench")
_PART = ".part"
# Between the making of a temporary file and its lock, a writer may be held up for so long.
_UNLOCKED_SECONDS = 60


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file's content in one step: write another file, flush it to the disk, then rename it.

    Text is written as UTF-8. Raises `UserError` where the disk is full or may not be written.
    """
    with _refusals_explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_PART)
        try:
            with os.fdopen(handle, "wb") as file:
                _try_to_lock(handle)
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
    with _refusals_explained(folder), temporary_folder(folder.parent, f".{folder.name}-") as working:
        yield working
        working.chmod(0o755)
        try:
            working.replace(folder)
        except OSError:
            if not folder.is_dir():
                raise


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder to fill, and rename it to `folder` afterwards; an error leaves nothing there.

    Raises `UserError` at once where something lies there already, but for an empty folder, and where the disk is full
    or may not be written.
    """
    with _refusals_explained(folder):
        if os.path.lexists(folder) and not (folder.is_dir() and not any(folder.iterdir())):
            raise UserError(f"{folder} exists already; name a new folder, or remove it")
        with temporary_folder(folder.parent, f".{folder.name}-") as working:
            yield working
            working.chmod(0o755)
            # A link to an empty folder is followed, as renaming would replace the link.
            working.replace(folder.resolve())


@contextmanager
def temporary_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """Yield a new folder in `parent`, whose name has that prefix, and remove it afterwards if it is still there."""
    parent.mkdir(parents=True, exist_ok=True)
    working = Path(tempfile.mkdtemp(dir=parent, prefix=prefix, suffix=_PART))
    handle = os.open(working, os.O_RDONLY)
    try:
        _try_to_lock(handle)
        yield working
    finally:
        shutil.rmtree(working, ignore_errors=True)
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove the temporary files and folders in this folder whose writers are dead: nobody holds their locks."""
    for path in folder.glob(f".*{_PART}"):
        # Another process may sweep at the same time.
        with suppress(OSError):
            handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                old = time.time() - os.fstat(handle).st_mtime > _UNLOCKED_SECONDS
                if old and _try_to_lock(handle):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
            finally:
                os.close(handle)


@contextmanager
def room(folder: Path, size: int) -> Iterator[None]:
    """Hold so many bytes of the folder's disk, for what is written there afterwards.

    Raises `UserError` at once where there is less space, and where the folder may not be written.
    """
    with ExitStack() as held:
        with _refusals_explained(f"{folder}, where {max(1, size >> 20):,} MiB are needed,"):
            folder.mkdir(parents=True, exist_ok=True)
            file = held.enter_context(tempfile.TemporaryFile(dir=folder))
            _allocate(file.fileno(), size)
        yield


def _allocate(handle: int, size: int) -> None:
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        # Some file systems cannot reserve space.
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise


def _try_to_lock(handle: int) -> bool:
    """Lock the open file against other processes; return False where one holds it or the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


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
def _refusals_explained(path: Path | str) -> Iterator[None]:
    """Raise `UserError`, which says what to do, where the disk refuses to write."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or error
        raise UserError(
            f"{path} cannot be written: {why}; free some space or allow writing there, then run the same command again"
        ) from error
