"""Records, artefacts and packs that are partial, absurd, or no files at all."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stampbench.files import write_atomically
from stampbench.running.offline import SUMS
from stampbench.store import Store
from tests.fixtures import factories
from tests.fixtures.toy_suite import fill, toy_suite
from tests.gauntlet.row import Row

SUITE = toy_suite('["random"]', targets='["cifar10"]', budgets="[0.25]")
Spoil = Callable[[Path], object]


def with_records(folder: Path, **changes: Any) -> tuple[str, Path]:
    """Write a suite and a record of each of its two jobs; return the suite's path and the first record's."""
    path = folder / "records-toy.toml"
    path.write_text(SUITE, encoding="utf-8")
    jobs = fill(path, folder / "results", **changes)
    return str(path), folder / "results" / "records" / f"{jobs[0].key}.json"


def met_by(command: str, spoil: Spoil) -> Callable[[Path], Sequence[str]]:
    """Spoil a record, and give the suite to a command."""

    def make(folder: Path) -> Sequence[str]:
        path, record = with_records(folder)
        spoil(record)
        formats = ["--format", "md", "--out", str(folder / "out")] if command == "report" else []
        return [command, path, *formats, "--results", str(folder / "results")]

    return make


def in_place(make: Callable[[Path], object]) -> Spoil:
    """Remove the file, and put something else in its place."""

    def spoil(path: Path) -> None:
        path.unlink()
        make(path)

    return spoil


def holding(content: bytes) -> Spoil:
    """Replace what the file holds."""
    return lambda path: path.write_bytes(content)


def large(path: Path) -> None:
    """Make the file 100 MB large, without writing them."""
    os.truncate(path, 100_000_000)


def encoded(encoding: str) -> Spoil:
    """Write the record in another encoding."""
    return lambda path: path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))


def with_value(where: str, value: str) -> Spoil:
    """Put raw JSON in the place of one value of the record; `where` is its keys, joined by dots."""

    def spoil(path: Path) -> None:
        content = json.loads(path.read_text(encoding="utf-8"))
        *parents, last = where.split(".")
        held = content
        for name in parents:
            held = held[int(name)] if isinstance(held, list) else held[name]
        held[last] = "@@@"
        path.write_text(json.dumps(content).replace('"@@@"', value), encoding="utf-8")

    return spoil


NO_FILES: dict[str, tuple[Spoil, str]] = {
    "a folder": (in_place(lambda path: path.mkdir()), "it is a folder"),
    "a pipe": (in_place(lambda path: os.mkfifo(path)), "it is a pipe"),
    "a link to /dev/zero": (in_place(lambda path: path.symlink_to("/dev/zero")), "it is a device"),
    "a dangling link": (in_place(lambda path: path.symlink_to("nowhere")), "a link that leads nowhere"),
    "a loop of links": (in_place(lambda path: path.symlink_to(path.name)), "a link that leads nowhere"),
    "100 MB large": (large, "100,000,000 bytes"),
}
NO_RECORDS: dict[str, Spoil] = {
    "nested 100,000 deep": holding(b'{"notes":' + b"[" * 100_000),
    "nested 100,000 deep and closed": holding(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "with a byte order mark": encoded("utf-8-sig"),
    "in UTF-16": encoded("utf-16"),
    "with an integer of 5,000 digits": holding(b'{"schema_version": 1' + b"0" * 5000 + b"}"),
    "with half a surrogate": with_value("data.cifar10.display_name", r'"\ud800"'),
    "without accuracy, though done": with_value("accuracy", "null"),
}
VALUES: dict[str, tuple[str, str]] = {
    "top-1 of infinity": ("accuracy.top1", "Infinity"),
    "top-1 of NaN": ("accuracy.top1", "NaN"),
    "top-1 of 5": ("accuracy.top1", "5"),
    "top-1 of −0.1": ("accuracy.top1", "-0.1"),
    "top-5 of 1e400": ("accuracy.top5", "1e400"),
    "a loss of NaN": ("accuracy.train_loss", "[NaN, 1.0]"),
    "a validation accuracy of 2": ("accuracy.validation_top1", "[0.5, 2]"),
    "infinite seconds": ("seconds.total", "Infinity"),
    "NaN seconds": ("seconds.train", "NaN"),
    "negative seconds": ("seconds.prune", "-1"),
    "seconds of 1e300": ("seconds.total", "1e300"),
    "negative seconds of a phase": ("seconds.phases", '{"train": -1}'),
    "dense MACs of 0": ("cost.dense_macs", "0"),
    "dense parameters of 0": ("cost.dense_params", "0"),
    "MACs of 10^400": ("cost.macs", "1" + "0" * 400),
    "a width of 0": ("cost.widths", '{"features.0": 0}'),
    "a speed key of 5,000 characters": ("speed", json.dumps("a" * 5000)),
    "a speed key that is a path": ("speed", '"../../etc/passwd"'),
    "a yardstick of 0": ("yardstick", "[0, 0]"),
    "−1 training images": ("data.cifar10.train", "-1"),
    "a display name of 10,000 characters": ("data.cifar10.display_name", json.dumps("n" * 10_000)),
    "an artefact that took NaN seconds": ("artefacts.0.seconds", "NaN"),
}
RECORDS = [
    *(
        Row(f"a record that is {name}, for {command}", met_by(command, spoil), (words, "remove it to rerun"))
        for name, (spoil, words) in NO_FILES.items()
        for command in ("plan", "report")
    ),
    *(
        Row(f"a record {name}", met_by("report", spoil), (".json is no valid record", "remove it to rerun"))
        for name, spoil in NO_RECORDS.items()
    ),
    *(
        Row(f"a record with {name}", met_by("report", with_value(*place)), ("no valid record", place[0].split(".")[0]))
        for name, place in VALUES.items()
    ),
    Row(
        "a record of a newer schema",
        met_by("plan", lambda path: with_value("schema_version", "99")(path) or with_value("colour", "1")(path)),
        ("written by a newer stampbench", "update stampbench"),
    ),
    Row(
        "a record under another name, beside its own",
        met_by("report", lambda path: shutil.copy(path, path.with_name("0123456789abcdef.json"))),
        ("0123456789abcdef.json is no valid record", "of another job"),
    ),
    *(
        Row(
            f"a display name {name}",
            met_by("report", with_value("data.cifar10.display_name", json.dumps(value))),
            ("wrote 1 files",),
            code=0,
        )
        for name, value in {"of half a formula": r"$\frac{1$", "with a row of a table": "a | b\n| - |"}.items()
    ),
]


def set_aside_by_run(spoil: Spoil) -> Callable[[Path], Sequence[str]]:
    """Spoil a record, and run its suite, which then lacks the images to make it anew."""
    return met_by("run", spoil)


RUNS = [
    Row(f"a record that is {name}, for run", set_aside_by_run(spoil), (words, ".json.damaged", "error:"))
    for name, (spoil, words) in NO_FILES.items()
]


def speeds(spoil: Spoil) -> Callable[[Path], Sequence[str]]:
    """Spoil the speed measurement of a record, and report."""

    def make(folder: Path) -> Sequence[str]:
        measured = factories.speed()
        path, _ = with_records(folder, speed=measured.key)
        Store(folder / "results").put_speed(measured)
        spoil(folder / "results" / "speed" / f"{measured.key}.json")
        return ["report", path, "--format", "md", "--out", str(folder / "out"), "--results", str(folder / "results")]

    return make


SPEEDS = [
    *(Row(f"a speed that is {name}", speeds(spoil), (words, "remove it")) for name, (spoil, words) in NO_FILES.items()),
    Row("a speed with samples of 0 s", speeds(with_value("train_step.compact", "[0]")), ("no valid speed", "compact")),
    Row("a speed of another network", speeds(with_value("key", f'"{"0" * 16}"')), ("of another measurement",)),
]


def packed(spoil: Spoil) -> Callable[[Path], Sequence[str]]:
    """Write the sums of an empty pack, spoil them, and unpack."""

    def make(folder: Path) -> Sequence[str]:
        write_atomically(folder / "pack" / SUMS, "")
        spoil(folder / "pack" / SUMS)
        return ["unpack", str(folder / "pack")]

    return make


PACKS = [
    *(Row(f"sums that are {name}", packed(spoil), (words,)) for name, (spoil, words) in NO_FILES.items()),
    Row("sums that are missing", packed(lambda path: path.unlink()), ("missing or empty", "that `pack` wrote")),
    Row("sums in UTF-16", packed(holding("a".encode("utf-16"))), ("cannot be read", "that `pack` wrote")),
]


def reported_to(place: Callable[[Path], Sequence[str]]) -> Callable[[Path], Sequence[str]]:
    """Report a sound pool to a place that cannot be written."""

    def make(folder: Path) -> Sequence[str]:
        path, _ = with_records(folder)
        return [
            "report",
            path,
            "--format",
            "md",
            "--format",
            "csv",
            "--results",
            str(folder / "results"),
            *place(folder),
        ]

    return make


def with_file(name: str, content: bytes = b"x") -> Callable[[Path], Path]:
    """Write a file under the folder, and return its path."""

    def write(folder: Path) -> Path:
        write_atomically(folder / name, content)
        return folder / name

    return write


def a_folder_in_the_way(folder: Path) -> Sequence[str]:
    """Put a folder where the Markdown file belongs."""
    (folder / "out" / "records-toy.md").mkdir(parents=True)
    return ["--out", str(folder / "out")]


def dangling(folder: Path) -> Sequence[str]:
    """Name a dangling link as the folder."""
    (folder / "link").symlink_to("nowhere/at/all")
    return ["--out", str(folder / "link")]


def met_results(results: Callable[[Path], Path]) -> Callable[[Path], Sequence[str]]:
    """Plan with results that are elsewhere."""

    def make(folder: Path) -> Sequence[str]:
        path, _ = with_records(folder)
        return ["plan", path, "--results", str(results(folder))]

    return make


def looped(path: Path) -> Path:
    """Make a link that leads to itself."""
    path.symlink_to(path.name)
    return path


OUTS = [
    Row("--out that is a file", reported_to(lambda f: ["--out", str(with_file("x")(f))]), ("is not a folder",)),
    Row("--out below a file", reported_to(lambda f: ["--out", str(with_file("x")(f) / "y")]), ("cannot be written",)),
    Row("--out that is a dangling link", reported_to(dangling), ("is not a folder",)),
    Row("--out of 5,000 characters", reported_to(lambda f: ["--out", str(f / ("x" * 5000))]), ("cannot be written",)),
    Row("--out in /dev", reported_to(lambda f: ["--out", "/dev/null"]), ("is not a folder",)),
    Row("--out with a folder where a file belongs", reported_to(a_folder_in_the_way), ("something is in the way",)),
    Row(
        "--out with a file where a folder belongs",
        reported_to(lambda f: ["--out", str(with_file("out/csv")(f).parent)]),
        ("something is in the way",),
    ),
    Row(
        "--into that is in UTF-16",
        reported_to(lambda f: ["--into", str(with_file("a.md", b"\xff\xfe")(f))]),
        ("UTF-8",),
    ),
    Row("--into that is a folder", reported_to(lambda f: ["--into", str(f)]), ("there is no file",)),
    Row("--results of 5,000 characters", met_results(lambda f: f / ("x" * 5000)), ("not a folder",)),
    Row("--results that are a file", met_results(with_file("x")), ("not a folder",)),
    Row("--results that are /dev/zero", met_results(lambda f: Path("/dev/zero")), ("not a folder",)),
    Row("--results that are a loop of links", met_results(lambda f: looped(f / "loop")), ("not a folder",)),
]

ROWS: list[Row] = [*RECORDS, *RUNS, *SPEEDS, *PACKS, *OUTS]
