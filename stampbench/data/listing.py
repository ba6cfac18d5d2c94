"""The files of a dataset: each one regular, and none of them twice."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from stampbench.errors import DataError

# The names of files and folders by device and inode.
Known = dict[tuple[int, int], str]


def is_folder(path: Path) -> bool:
    """Return whether there is a folder of that name; of a name that no disk can hold there is none."""
    try:
        return path.is_dir()
    except OSError:
        return False


def lies(path: Path) -> bool:
    """Return whether there is a file or folder of that name. Raises `DataError` where nobody may look."""
    try:
        return path.exists()
    except OSError as error:
        raise DataError(
            f"{shown(path)}: cannot be read ({error.strerror}); allow reading that folder, or name another one with "
            "STAMPBENCH_CACHE or STAMPBENCH_DATA"
        ) from error


def described(files: Iterable[Path]) -> list[tuple[str, int, int, int]]:
    """Return name, size in bytes, and times of change of content and of inode in ns, of each file; links are followed.

    Raises `DataError` for a file that cannot be read or is not a regular one (a device would never end), and for two
    names of one file, because the same image could then be in training and in test.
    """
    rows, known = [], Known()
    for file in files:
        found = refuse_twice(file, known)
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{shown(file)}: not a regular file; remove it or put an intact file there")
        rows.append((shown(file), found.st_size, found.st_mtime_ns, found.st_ctime_ns))
    return rows


def refuse_twice(path: Path, known: Known) -> os.stat_result:
    """Add a file or folder to those that are known, and return its description.

    Raises `DataError` if it cannot be read, or is already known under another name.
    """
    try:
        found = path.stat()
    except OSError as error:
        raise DataError(
            f"{shown(path)}: cannot be read ({error.strerror}); remove it or put an intact one there"
        ) from error
    earlier = known.setdefault((found.st_dev, found.st_ino), shown(path))
    # Some network drives have no inode numbers.
    if found.st_ino and earlier != shown(path):
        raise DataError(f"{shown(path)}: it is {earlier} once more, reached by a link; remove one of the two")
    return found


def shown(path: str | Path) -> str:
    """Return a path as text that can be printed; bytes of it that are not UTF-8 are written as \\xNN."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")
