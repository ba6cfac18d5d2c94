"""The download of one file: it goes on where it was stopped, is checked, and is whole or absent under its name."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

from stampbench import __version__
from stampbench.errors import DataError
from stampbench.files import lock

# A server that sends nothing for so many seconds is given up.
SILENCE_SECONDS = 60
_CHUNK = 2**18


@dataclass(frozen=True)
class Remote:
    """A file on a server: its address, the name that it gets here, and its MD5 (None if its authors publish none)."""

    url: str
    name: str
    md5: str | None


def download(remote: Remote, folder: Path) -> Path:
    """Download a file into the folder, unless it lies there, and return its path; one process at a time does so.

    Raises `OSError` where the server cannot be reached or the connection breaks, after which the next call goes on
    from there, and `DataError`, after which it begins anew, where the content is not what its authors published.
    """
    target, part = folder / remote.name, folder / f"{remote.name}.part"
    folder.mkdir(parents=True, exist_ok=True)
    with lock(folder / f".{remote.name}.lock"):
        if not target.exists():
            _receive(remote, part)
            _check(remote, part)
            part.replace(target)
    return target


def _receive(remote: Remote, part: Path) -> None:
    """Append to `part` what it lacks. Raises `OSError` where less arrives than was announced."""
    held = part.stat().st_size if part.exists() else 0
    with _opened(remote.url, held) as response:
        # A server that cannot continue a file sends the whole of it.
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            held = 0
        announced = response.headers["Content-Length"]
        total = None if announced is None else held + int(announced)
        with part.open("ab" if held else "wb") as file, _bar(remote.name, held, total) as bar:
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                bar.advance(bar.task_ids[0], len(chunk))
            file.flush()
            os.fsync(file.fileno())
    found = part.stat().st_size
    if total is not None and found < total:
        raise OSError(f"the connection broke after {found:,} of {total:,} bytes")


def _opened(url: str, held: int) -> Any:
    """Return the response of a server that is asked for what comes after `held` bytes."""
    headers = {"User-Agent": f"stampbench/{__version__}"}
    try:
        return urlopen(
            Request(url, headers=headers | ({"Range": f"bytes={held}-"} if held else {})), None, SILENCE_SECONDS
        )
    except HTTPError as error:
        # It has nothing after these bytes, so they are not the beginning of its file.
        if held and error.code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return urlopen(Request(url, headers=headers), None, SILENCE_SECONDS)
        raise


def _check(remote: Remote, part: Path) -> None:
    if remote.md5 is None:
        return
    with part.open("rb") as stream:
        found = hashlib.file_digest(stream, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != remote.md5:
        part.unlink()
        raise DataError(f"{remote.url} sent other bytes than its authors published (MD5 {found}, not {remote.md5})")


@contextmanager
def _bar(name: str, held: int, total: int | None) -> Iterator[Progress]:
    """Show a bar on a terminal, and nothing elsewhere."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    console = Console(stderr=True)
    with Progress(*columns, TimeRemainingColumn(), console=console, disable=not sys.stderr.isatty()) as progress:
        progress.add_task(name, completed=held, total=total)
        yield progress
