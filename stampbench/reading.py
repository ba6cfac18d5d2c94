"""Reading files that others may have made: only plain files of a sensible size are opened, so that none can hang us."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from stampbench.errors import DamagedError, UserError

# The largest record of this project has 61 kB.
MOST_BYTES = 2**24
_NO_SUCH_FILE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def state_of(path: Path, remedy: str, most: int | None = MOST_BYTES) -> os.stat_result | None:
    """Return the state of a plain file of at most `most` bytes (None: of any size), or None where there is nothing.

    Raises `DamagedError` with this remedy for all that is no such file, and `UserError` where it may not be looked at.
    """
    try:
        state = path.stat()
    except OSError as error:
        if os.path.lexists(path):
            if error.errno in _NO_SUCH_FILE:
                raise DamagedError(f"{path} is no file: it is a link that leads nowhere", remedy) from error
            raise unreadable(path, error) from error
        if error.errno in _NO_SUCH_FILE:
            return None
        raise unreadable(path, error) from error
    if not stat.S_ISREG(state.st_mode):
        raise DamagedError(f"{path} is no file: it is {_kind(state.st_mode)}", remedy)
    if most is not None and state.st_size > most:
        raise DamagedError(f"{path} is too large: {state.st_size:,} bytes, where at most {most:,} are read", remedy)
    return state


def content_of(path: Path) -> bytes | None:
    """Return what a file holds whose state was looked at, or None if it is gone meanwhile."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise unreadable(path, error) from error


def read(path: Path, remedy: str) -> bytes | None:
    """Return what a plain file holds, or None where there is nothing. Raises what `state_of` raises."""
    return None if state_of(path, remedy) is None else content_of(path)


def unreadable(path: Path, error: OSError) -> UserError:
    """Return the error for a file that may be sound, but cannot be read here."""
    return UserError(f"{path} cannot be read: {error.strerror}; allow reading it, or move it away")


def _kind(mode: int) -> str:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
