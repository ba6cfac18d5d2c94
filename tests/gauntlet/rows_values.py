"""Values, names and files that a suite may hold by mistake or by malice: each is refused where it stands."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.gauntlet.row import Row

SUITE = """
title = "Values"

[methods]
all = ["random"]

[[claims]]
title = "It wins"
subject = "magnitude"
against = ["random"]

[datasets.pets]
path = "pets"
size = 32

[presets.quick.protocol]
train_images = 140
validation_images = 14
epochs = 2
threads = 1
learning_rate = { random = 0.1, reference = 0.05, target = 0.05 }
reference = { dataset = "glyphs", epochs = 1, images = 400 }

[[presets.quick.grid]]
targets = ["digits"]
networks = ["vgg19"]
width = 0.25
methods = [{ name = "magnitude", options = { scope = "global" } }, "@all"]
budgets = [0.25, 0.5]
seeds = 2
"""
PROTOCOL, GRID = "presets.quick.protocol", "presets.quick.grid.0"
Make = Callable[[Path], Sequence[str]]


def whole(content: str | bytes, command: str = "plan", file: str = "values.toml") -> Make:
    """Write a suite file, and give it to a command."""

    def make(folder: Path) -> list[str]:
        path = folder / file
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return [command, str(path), "--results", str(folder / "results")]

    return make


def spoiled(old: str, new: str, command: str = "plan") -> Make:
    """Replace what stands once in the suite."""
    assert SUITE.count(old) == 1, f"{old!r} must stand once in the suite"
    return whole(SUITE.replace(old, new), command)


def special(kind: str) -> Make:
    """Name something that is no plain file as a suite."""

    def make(folder: Path) -> list[str]:
        path = folder / "values.toml"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "loop":
            path.symlink_to(path)
        else:
            path.symlink_to(kind)
        return ["plan", str(path), "--results", str(folder / "results")]

    return make


def named(name: str) -> Make:
    """Give a command a suite's name that no file has."""
    return lambda folder: ["plan", name, "--results", str(folder / "results")]


# A line of the suite with one value, and where that value stands.
LINES = {
    "train_images = 140": f"{PROTOCOL}.train_images",
    "validation_images = 14": f"{PROTOCOL}.validation_images",
    "epochs = 2": f"{PROTOCOL}.epochs",
    "threads = 1": f"{PROTOCOL}.threads",
    "images = 400": f"{PROTOCOL}.reference.images",
    "width = 0.25": f"{GRID}.width",
    "seeds = 2": f"{GRID}.seeds",
    "size = 32": "datasets.pets.size",
    "random = 0.1": f"{PROTOCOL}.learning_rate.random",
}
# Keys of the protocol that the suite leaves to their defaults.
LEFT = ("reference.validation_images", "reference.warmup_epochs", "batch_size", "momentum", "weight_decay")
LEFT += ("label_smoothing", "warmup_epochs", "round_to", "floor", "head_steps")


def of_default(key: str, value: str) -> Make:
    """Give a key of the protocol, or of its reference, a value of its own."""
    if key.startswith("reference."):
        return spoiled("images = 400", f"images = 400, {key.removeprefix('reference.')} = {value}")
    return spoiled("threads = 1", f"threads = 1\n{key} = {value}")


# What is wrong with a name, the name as TOML writes it, and what must be said of it.
NAMES = {
    "absolute": ('"/tmp/escaped"', "'/tmp/escaped' is not a valid name"),
    "leading out": ('"../../escaped"', "'../../escaped' is not a valid name"),
    "of two dots": ('".."', "'..' is not a valid name"),
    "with a slash": ('"a/b"', "'a/b' is not a valid name"),
    "with a backslash": (r'"a\\b"', "is not a valid name"),
    "with NUL": (r'"a\u0000b"', "U+0000"),
    "with a line's end": (r'"a\n"', "U+000A"),
    "with an escape": (r'"\u001b[31m"', "U+001B"),
    "empty": ('""', "'' is not a valid name"),
    "blank": ('" "', "' ' is not a valid name"),
    "hidden": ('".hidden"', "'.hidden' is not a valid name"),
    "like an option": ('"--out"', "'--out' is not a valid name"),
    "overlong": (f'"{"x" * 65}"', "at most 64"),
    "endless": (f'"{"x" * 5000}"', "at most 1,000 are allowed"),
    "of a shell": ('"$(id)"', "'$(id)' is not a valid name"),
    "of letters that only look right": ('"ｑuick"', "is not a valid name"),
}
OWNERS = {"a suite": "name", "a preset": "presets", "a dataset": "datasets", "a list of methods": "methods"}


def owned(owner: str, name: str) -> Make:
    """Give that name to the suite, to its preset, to its dataset or to its list."""
    if owner == "a suite":
        return spoiled('title = "Values"', f'title = "Values"\nname = {name}', "report")
    if owner == "a preset":
        return whole(SUITE.replace("presets.quick", f"presets.{name}"), "check")
    return spoiled("[datasets.pets]", f"[datasets.{name}]") if owner == "a dataset" else spoiled("all = ", f"{name} = ")


UNSEEN = {"NUL": 0, "a bell": 7, "an escape": 0x1B, "DEL": 0x7F, "a C1 control": 0x9B, "a right-to-left mark": 0x200F}
UNSEEN |= {"a right-to-left override": 0x202E, "an isolate": 0x2067, "a line separator": 0x2028}
UNSEEN |= {"a zero-width space": 0x200B, "a noncharacter": 0xFFFE, "a tag": 0xE0041, "an unassigned sign": 0x378}

DEEP_ARRAY = "x = " + "[" * 500 + "]" * 500
DEEP_TABLE = "x = " + "{a = " * 500 + "1" + "}" * 500
WIDE = ", ".join(f"{(n + 1) / 1000}" for n in range(1000))
SUITES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "a schedule above the protocol's most": ("seeds = 2", "seeds = 2\nepochs = [10001]", (f"{GRID}.epochs.0", "10000")),
    "a second schedule above it": ("seeds = 2", "seeds = 2\nepochs = [1, 10001]", (f"{GRID}.epochs.1", "10001")),
    "a schedule of 400 digits": ("seeds = 2", f"seeds = 2\nepochs = [{10**400}]", (f"{GRID}.epochs.0", "64 bits")),
    "a schedule of true": ("seeds = 2", "seeds = 2\nepochs = [true]", (f"{GRID}.epochs.0", "integer", "True")),
    "no schedule": ("seeds = 2", "seeds = 2\nepochs = []", (f"{GRID}.epochs", "at least 1")),
    "reference epochs above the most": ("epochs = 1,", "epochs = 10001,", ("reference.epochs", "10000")),
    "a reference without training images": (
        "images = 400",
        "images = 400, validation_images = 400",
        ("400 validation images", "reference.images 400"),
    ),
    "a reference that the target's validation uses up": ("images = 400", "images = 14", ("reference.images 14",)),
    "seeds as a list": ("seeds = 2", "seeds = [0, 0]", (f"{GRID}.seeds", "0 is named twice")),
    "a schedule twice": ("seeds = 2", "seeds = 2\nepochs = [4, 4]", (f"{GRID}.epochs", "4 is named twice")),
    "a budget twice in other digits": ("[0.25, 0.5]", "[0.25, 25e-2]", (f"{GRID}.budgets", "0.25 is named twice")),
    "a budget of negative zero": ("[0.25, 0.5]", "[-0.0]", (f"{GRID}.budgets.0", "greater than 0", "0.0")),
    "a budget of true": ("[0.25, 0.5]", "[true]", (f"{GRID}.budgets.0", "number", "True")),
    "no networks": ('["vgg19"]', "[]", (f"{GRID}.networks", "at least 1")),
    "no methods": ('[{ name = "magnitude", options = { scope = "global" } }, "@all"]', "[]", (f"{GRID}.methods",)),
    "an empty list of methods": ('all = ["random"]', "all = []", ("methods.all", "at least 1")),
    "a flip in words": ("size = 32", 'size = 32\nflip = "yes"', ("datasets.pets.flip", "boolean", "yes")),
    "a path of a number": ('path = "pets"', "path = 7", ("datasets.pets.path", "7")),
    "a path with NUL": ('path = "pets"', r'path = "pe\u0000ts"', ("datasets.pets.path", "U+0000")),
    "an endless path": ('path = "pets"', f'path = "{"x/" * 3000}"', ("datasets.pets.path", "6,000 characters")),
    "a title that is empty": ('title = "Values"', 'title = ""', ("title",)),
    "a title of blanks": ('title = "Values"', 'title = "   "', ("title",)),
    "a title of 201 characters": ('title = "Values"', f'title = "{"x" * 201}"', ("title", "at most 200")),
    "a claim's title that is empty": ('title = "It wins"', 'title = ""', ("claims.0.title",)),
    "a date for a title": ('title = "Values"', "title = 1979-05-27", ("title", "a date or time")),
    "a time for seeds": ("seeds = 2", "seeds = 07:32:00", (f"{GRID}.seeds", "a date or time")),
    "a million jobs": ("[0.25, 0.5]\nseeds = 2", f"[{WIDE}]\nseeds = 1000", ("2,000,000 jobs", "at most 10,000")),
    "more jobs than a suite may have": ("seeds = 2", "seeds = 1000\nepochs = [1, 2, 3]", ("12,000 jobs", "10,000")),
    "1,001 budgets": ("[0.25, 0.5]", f"[{WIDE}, 0.0001]", (f"{GRID}.budgets", "1,001 entries", "at most 1,000")),
    "an option of nan": ('scope = "global"', "scope = nan", (f"{GRID}.methods.0.options.scope", "not a finite")),
    "an option of true": ('scope = "global"', "scope = true", ("magnitude", "scope", "True")),
    "an option of 20 digits": ('scope = "global"', f"scope = {10**20}", (f"{GRID}.methods.0.options.scope", "64 bits")),
    "an option that is nested too deep": ('"global"', "{a = " * 30 + "1" + "}" * 30, ("nested too deep",)),
    "a float beyond floats": ("random = 0.1", "random = 1e400", ("learning_rate.random", "not a finite number")),
    "a title with an unseen key": ('title = "Values"', '"ti\\u200etle" = "Values"', ("a key", "U+200E")),
}
FILES: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    "lists 500 deep": (DEEP_ARRAY, ("values.toml cannot be read as TOML", "nested too deep")),
    "tables 500 deep": (DEEP_TABLE, ("values.toml cannot be read as TOML", "nested too deep")),
    "lists 50 deep": ("x = " + "[" * 50 + "]" * 50, ("values.toml is refused", "nested too deep")),
    "a header of 500 parts": (f"[{'.'.join('a' * 500)}]", ("a key has more than 16 parts",)),
    "a key of 100,000 parts": ("a." * 100_000 + "a = 1", ("a key has more than 16 parts",)),
    "an integer of 5,000 digits": (f"x = {'1' * 5000}", ("cannot be read as TOML", "4300")),
    "an integer of 4,000 digits": (f"title = {'1' * 4000}", ("title: an integer of more than 64 bits",)),
    "a hexadecimal integer of 5,000 digits": (f"title = 0x{'f' * 5000}", ("title: an integer of more than 64 bits",)),
    "a negative integer of 65 bits": (f"title = {-(2**63) - 1}", ("title: an integer of more than 64 bits",)),
    "a megabyte and more": (SUITE + "#" * 2**20, ("cannot be read as TOML", "larger than 1 MiB")),
    "a thousand and one presets": (
        "".join(f"[presets.p{n}]\n" for n in range(1001)),
        ("presets: 1,001 entries; at most 1,000",),
    ),
    "a hundred unknown keys": ("".join(f"k{n} = 1\n" for n in range(100)), ("k0: unknown key", "and more")),
    "bytes that are no UTF-8": (b'title = "\xff"', ("cannot be read as TOML", "utf-8")),
}
KINDS = {
    "a pipe": ("pipe", "no plain file"),
    "a folder": ("folder", "no plain file"),
    "a link to itself": ("loop", "cannot be read as TOML"),
    "a dangling link": ("nowhere.toml", "no suite file"),
    "a link to /dev/zero": ("/dev/zero", "no plain file"),
    "a link to /dev/null": ("/dev/null", "no plain file"),
}
ROWS: list[Row] = [
    *(Row(f"suite value: {case}", spoiled(old, new), said) for case, (old, new, said) in SUITES.items()),
    *(
        Row(f"suite value: {value} for {where}", spoiled(line, f"{line.partition(' = ')[0]} = {value}"), (where,))
        for line, where in LINES.items()
        for value in ("nan", "-inf", "true", '"1"', "[1]", "-1", str(2**64))
        # Seeds may be listed.
        if not (where == f"{GRID}.seeds" and value == "[1]")
    ),
    *(
        Row(f"suite value: {value} for {PROTOCOL}.{key}", of_default(key, value), (f"{PROTOCOL}.{key}",))
        for key in LEFT
        for value in ("nan", "inf", "false", "-1", f"{10**30}")
    ),
    *(
        Row(f"suite value: {owner}'s name {case}", owned(owner, name), (where, said))
        for owner, where in OWNERS.items()
        for case, (name, said) in NAMES.items()
    ),
    *(
        Row(f"suite value: {what} in a title", spoiled('"Values"', f'"V\\U{sign:08X}s"'), ("title", f"U+{sign:04X}"))
        for what, sign in UNSEEN.items()
    ),
    *(Row(f"suite file: {case}", whole(content), said) for case, (content, said) in FILES.items()),
    *(Row(f"suite file: {case}", special(kind), ("values.toml", said)) for case, (kind, said) in KINDS.items()),
    Row("suite file: its own name is none", whole(SUITE, "report", "my suite.toml"), ("'my suite' is not a valid",)),
    Row("suite file: its own name has a line's end", whole(SUITE, "report", "a\nb.toml"), ("name", "not a valid name")),
    Row("suite file: a name too long for a file", named("x" * 5000), ("no suite",)),
    Row("suite file: a path too long for a file", named("x" * 5000 + ".toml"), ("cannot be read as TOML",)),
    Row("suite file: a name with NUL", named("a\0b"), ("no suite",)),
    Row("suite file: a path with NUL", named("a\0b.toml"), ("cannot be read as TOML",)),
]
