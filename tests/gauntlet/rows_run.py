"""Places that cannot be used: files where folders belong, folders where files belong, names that no disk can hold."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tests.gauntlet.row import Row
from tests.gauntlet.rows_images import good_tree, with_images
from tests.gauntlet.toy import with_record, with_suite


def typed(*arguments: str, spoil: Callable[[Path], object] = lambda folder: None) -> Callable[[Path], list[str]]:
    """Return the maker of a folder with a good suite and a record, in which something is spoiled and this is typed."""

    def make(folder: Path) -> list[str]:
        with_suite(folder)
        with_record(folder)
        (folder / "folder").mkdir()
        spoil(folder)
        return list(arguments)

    return make


def cache_of(kind: str) -> Callable[[Path], object]:
    """Put something in the place of the cache, which lies beside the images."""

    def spoil(pets: Path) -> None:
        cache = pets.parent / "cache"
        if kind == "file":
            cache.write_text("")
        elif kind == "pipe":
            os.mkfifo(cache)
        else:
            cache.symlink_to(cache)

    return spoil


LONG = "x" * 5000
ROWS: list[Row] = [
    *(
        Row(
            f"place: the cache is a {kind}",
            with_images(cache_of(kind), good_tree),
            ("inside/cache is no folder", "STAMPBENCH_CACHE"),
        )
        for kind in ("file", "pipe", "link to itself")
    ),
    Row("place: nothing to unpack", typed("unpack", "nothing"), ("nothing",)),
    Row("place: an empty folder to unpack", typed("unpack", "folder"), ("folder",)),
    Row("place: results of a name that is too long", typed("run", "toy", "--results", LONG), ("is not a folder",)),
    Row("place: a plan's results of such a name", typed("plan", "toy", "--results", LONG), ("is not a folder",)),
    Row("place: a report of such a name", typed("report", "toy", "--out", LONG), ("too long",)),
    Row("place: a suite of such a name", typed("run", LONG), ("no suite",)),
    Row("place: a method of such a name", typed("run", "toy", "--method", LONG), ("no method",)),
    Row(
        "place: results in a pipe",
        typed("plan", "toy", "--results", "pipe", spoil=lambda f: os.mkfifo(f / "pipe")),
        ("is not a folder",),
    ),
    Row("place: a dataset's name with NUL", typed("data", "fetch", "a\0b"), ("unknown dataset",)),
    Row("place: an executor's option with NUL", typed("run", "toy", "--executor-option", "a\0=b"), ("unknown key",)),
]
