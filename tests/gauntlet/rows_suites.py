"""Suite files with a mistake in them: the message names the file, the key, and what would be right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.gauntlet.row import Row
from tests.gauntlet.toy import SUITE, with_suite

PROTOCOL, GRID = "presets.quick.protocol", "presets.quick.grid.0"

# What is replaced in the suite, by what, and what the message must hold.
SUITES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "unknown key": ("title =", "titel =", ("titel", "did you mean 'title'")),
    "title missing": ('title = "A toy"', "", ("title", "Field required")),
    "title of a wrong type": ('title = "A toy"', "title = 5", ("title", "string", "5")),
    "key twice": ("epochs = 2\n", "epochs = 2\nepochs = 3\n", ("cannot be read as TOML", "line 8")),
    "no TOML": ("epochs = 2", "epochs = = 2", ("cannot be read as TOML",)),
    "epochs of a wrong type": ("epochs = 2", 'epochs = "two"', (f"{PROTOCOL}.epochs", "integer", "'two'")),
    "epochs zero": ("epochs = 2", "epochs = 0", (f"{PROTOCOL}.epochs", "greater than 0", "0")),
    "epochs negative": ("epochs = 2", "epochs = -3", (f"{PROTOCOL}.epochs", "greater than 0", "-3")),
    "epochs broken": ("epochs = 2", "epochs = 2.5", (f"{PROTOCOL}.epochs", "integer", "2.5")),
    "epochs huge": ("epochs = 2", "epochs = 1000000000", (f"{PROTOCOL}.epochs", "less than or equal", "1000000000")),
    "epochs missing": ("epochs = 2\n", "", (f"{PROTOCOL}.epochs", "Field required")),
    "train images zero": ("train_images = 1000", "train_images = 0", (f"{PROTOCOL}.train_images", "greater than 0")),
    "validation images zero": ("_images = 100\n", "_images = 0\n", (f"{PROTOCOL}.validation_images", "greater than 0")),
    "nothing to train on": (
        "validation_images = 100\n",
        "validation_images = 1000\n",
        (PROTOCOL, "validation_images 1000", "train_images 1000"),
    ),
    "batch of one": ("threads = 1", "threads = 1\nbatch_size = 1", (f"{PROTOCOL}.batch_size", "or equal to 2", "1")),
    "threads zero": ("threads = 1", "threads = 0", (f"{PROTOCOL}.threads", "greater than 0")),
    "threads huge": ("threads = 1", "threads = 99999", (f"{PROTOCOL}.threads", "less than or equal", "99999")),
    "threads missing": ("threads = 1\n", "", (f"{PROTOCOL}.threads", "Field required")),
    "rate missing": ("random = 0.1, ", "", (f"{PROTOCOL}.learning_rate.random", "Field required")),
    "rate negative": ("random = 0.1", "random = -0.1", (f"{PROTOCOL}.learning_rate.random", "greater than 0")),
    "rate not a number": ("random = 0.1", "random = nan", (f"{PROTOCOL}.learning_rate.random", "nan")),
    "rate infinite": ("random = 0.1", "random = inf", (f"{PROTOCOL}.learning_rate.random", "finite", "inf")),
    "rate of an unknown start": ("random = 0.1", "randon = 0.1", ("randon", "did you mean 'random'")),
    "momentum one": ("threads = 1", "threads = 1\nmomentum = 1.0", (f"{PROTOCOL}.momentum", "less than 1")),
    "decay negative": ("threads = 1", "threads = 1\nweight_decay = -1.0", (f"{PROTOCOL}.weight_decay", "equal to 0")),
    "smoothing one": (
        "threads = 1",
        "threads = 1\nlabel_smoothing = 1",
        (f"{PROTOCOL}.label_smoothing", "less than 1"),
    ),
    "warm-up longer than training": (
        "threads = 1",
        "threads = 1\nwarmup_epochs = 5",
        (PROTOCOL, "warmup_epochs 5", "epochs 2"),
    ),
    "unknown precision": ("threads = 1", 'threads = 1\nprecision = "fp16"', (f"{PROTOCOL}.precision", "bf16", "fp16")),
    "unknown mode": ("threads = 1", 'threads = 1\nmode = "quick"', (f"{PROTOCOL}.mode", "'strict' or 'fast'", "quick")),
    "rounding to zero": ("threads = 1", "threads = 1\nround_to = 0", (f"{PROTOCOL}.round_to", "greater than 0")),
    "floor one": ("threads = 1", "threads = 1\nfloor = 1", (f"{PROTOCOL}.floor", "less than 1")),
    "head steps negative": ("threads = 1", "threads = 1\nhead_steps = -1", (f"{PROTOCOL}.head_steps", "equal to 0")),
    "reference missing": (
        'reference = { dataset = "tinyimagenet", epochs = 1 }',
        "",
        (f"{PROTOCOL}.reference", "Field required"),
    ),
    "unknown reference": ('"tinyimagenet"', '"tinyimagnet"', ("tinyimagnet", "did you mean 'tinyimagenet'")),
    "reference epochs zero": ("epochs = 1 }", "epochs = 0 }", (f"{PROTOCOL}.reference.epochs", "greater than 0")),
    "reference's warm-up longer than its training": (
        "epochs = 1 }",
        "epochs = 1, warmup_epochs = 2 }",
        (PROTOCOL, "reference.warmup_epochs 2", "epochs 1"),
    ),
    "unknown preset table": ("[presets.quick.protocol]", "[preset.quick.protocol]", ("preset", "'presets'")),
    "grid as a table": ("[[presets.quick.grid]]", "[presets.quick.grid]", ("presets.quick.grid", "list")),
    "no targets": ('["cifar10", "svhn"]', "[]", (f"{GRID}.targets", "at least 1")),
    "unknown target": ('"svhn"', '"svnh"', ("svnh", "did you mean 'svhn'")),
    "target twice": ('"svhn"', '"cifar10"', (f"{GRID}.targets", "cifar10", "twice")),
    "target with a path": ('"svhn"', '"../svhn"', ("unknown dataset '../svhn'",)),
    "target in other letters": ('"svhn"', '"ｓvhn"', ("unknown dataset 'ｓvhn'", "did you mean 'svhn'")),
    "targets no list": ('["cifar10", "svhn"]', '"cifar10"', (f"{GRID}.targets", "list")),
    "unknown network": ('"vgg19"', '"vgg91"', ("vgg91", "did you mean 'vgg19'")),
    "network twice": ('["vgg19"]', '["vgg19", "vgg19"]', (f"{GRID}.networks", "vgg19", "twice")),
    "width zero": ("width = 0.25", "width = 0", (f"{GRID}.width", "greater than 0")),
    "width infinite": ("width = 0.25", "width = inf", (f"{GRID}.width", "finite", "inf")),
    "width huge": ("width = 0.25", "width = 1e9", (f"{GRID}.width", "less than or equal")),
    "unknown method": ('"random"]', '"randm"]', ("randm", "did you mean 'random'")),
    "method twice": ('"random"]', '"random", "random"]', (f"{GRID}.methods", "random", "twice")),
    "method of a wrong type": ('"random"]', "7]", (f"{GRID}.methods", "7")),
    "method without a name": ('"random"]', "{ options = {} }]", (f"{GRID}.methods", "name", "Field required")),
    "unknown option": ('scope = "global"', 'scoop = "global"', ("magnitude", "scoop", "did you mean 'scope'")),
    "option of a wrong type": (
        '"random"]',
        '{ name = "synflow", options = { rounds = 1.5 } }]',
        ("synflow", "rounds", "integer", "1.5"),
    ),
    "unknown start": ('"random"]', '{ name = "random", start = "targt" }]', ("start", "'target'", "targt")),
    "unknown granularity": ('"random"]', '{ name = "random", granularity = "layer" }]', ("granularity", "layer")),
    "granularity it lacks": (
        '"random"]',
        '{ name = "metapruning", granularity = "weight" }]',
        ("metapruning", "not prune with weight"),
    ),
    "no budgets": ("[0.25, 0.5]", "[]", (f"{GRID}.budgets", "at least 1")),
    "budget zero": ("[0.25, 0.5]", "[0.0]", (f"{GRID}.budgets.0", "greater than 0")),
    "budget above one": ("[0.25, 0.5]", "[25]", (f"{GRID}.budgets.0", "less than or equal to 1", "25")),
    "budget not a number": ("[0.25, 0.5]", "[nan]", (f"{GRID}.budgets.0", "nan")),
    "budget in words": ("[0.25, 0.5]", '["1/4"]', (f"{GRID}.budgets.0", "number", "1/4")),
    "budget twice": ("[0.25, 0.5]", "[0.25, 0.25]", (f"{GRID}.budgets", "0.25", "twice")),
    "seeds zero": ("seeds = 2", "seeds = 0", (f"{GRID}.seeds", "greater than 0")),
    "no seeds listed": ("seeds = 2", "seeds = []", (f"{GRID}.seeds", "at least 1")),
    "a seed below zero": ("seeds = 2", "seeds = [0, -1]", (f"{GRID}.seeds", "greater than or equal to 0", "-1")),
    "a seed twice": ("seeds = 2", "seeds = [3, 3]", (f"{GRID}.seeds", "3", "twice")),
    "a network of one's own that is nowhere": (
        'networks = ["vgg19"]',
        'networks = ["nowhere:Mine"]',
        ("nowhere:Mine", "no module 'nowhere'", "beside the suite"),
    ),
    "a network of one's own in no package": (
        'networks = ["vgg19"]',
        'networks = ["nowhere.at_all:Mine"]',
        ("nowhere.at_all:Mine", "No module named 'nowhere'"),
    ),
    "seeds huge": ("seeds = 2", "seeds = 100000", (f"{GRID}.seeds", "less than or equal to 1000", "100000")),
    "schedule zero": ("seeds = 2", "seeds = 2\nepochs = [0]", (f"{GRID}.epochs.0", "greater than 0")),
    "own dataset named like a known one": (
        "[presets.quick.protocol]",
        '[datasets.cifar10]\npath = "x"\nsize = 32\n[presets.quick.protocol]',
        ("cifar10", "known dataset", "another name"),
    ),
    "own dataset with a path for a name": (
        "[presets.quick.protocol]",
        '[datasets."../x"]\npath = "x"\nsize = 32\n[presets.quick.protocol]',
        ("datasets", "../x", "letters"),
    ),
    "own dataset of no size": (
        "[presets.quick.protocol]",
        '[datasets.pets]\npath = "x"\nsize = 0\n[presets.quick.protocol]',
        ("datasets.pets.size", "greater than"),
    ),
    "claim without a subject": (
        "[presets.quick.protocol]",
        '[[claims]]\ntitle = "x"\nagainst = ["random"]\n[presets.quick.protocol]',
        ("claims.0.subject", "Field required"),
    ),
    "claim against nothing": (
        "[presets.quick.protocol]",
        '[[claims]]\ntitle = "x"\nsubject = "random"\nagainst = []\n[presets.quick.protocol]',
        ("claims.0.against", "at least 1"),
    ),
}


def spoiled(old: str, new: str, command: str) -> Callable[[Path], list[str]]:
    """Replace what must stand once in the suite, and give the suite to a command."""
    assert SUITE.count(old) == 1, f"{old!r} must stand once in the suite"
    return whole(SUITE.replace(old, new), command)


def whole(content: str | bytes, *command: str) -> Callable[[Path], list[str]]:
    """Write a whole suite file, and give it to a command by its name."""

    def make(folder: Path) -> list[str]:
        with_suite(folder, content)
        return [command[0], "toy", *command[1:]]

    return make


# Every command that reads a suite, with what it cannot do without.
READERS = {
    "run": ("run",),
    "plan": ("plan",),
    "report": ("report", "--format", "md"),
    "check": ("check",),
    "pack": ("pack", "--preset", "quick", "--out", "packed"),
}
# The lines of the suite that have a value, and how messages name them.
VALUES = {
    'title = "A toy"': "title",
    "train_images = 1000": f"{PROTOCOL}.train_images",
    "validation_images = 100": f"{PROTOCOL}.validation_images",
    "epochs = 2": f"{PROTOCOL}.epochs",
    "threads = 1": f"{PROTOCOL}.threads",
    "random = 0.1": f"{PROTOCOL}.learning_rate.random",
    "reference = 0.05": f"{PROTOCOL}.learning_rate.reference",
    "target = 0.05": f"{PROTOCOL}.learning_rate.target",
    "epochs = 1": f"{PROTOCOL}.reference.epochs",
    'dataset = "tinyimagenet"': f"{PROTOCOL}.reference.dataset",
    'targets = ["cifar10", "svhn"]': f"{GRID}.targets",
    'networks = ["vgg19"]': f"{GRID}.networks",
    "width = 0.25": f"{GRID}.width",
    "budgets = [0.25, 0.5]": f"{GRID}.budgets",
    "seeds = 2": f"{GRID}.seeds",
    'name = "magnitude"': f"{GRID}.methods.1.name",
    'options = { scope = "global" }': f"{GRID}.methods.1.options",
}
WRONG_TYPES = {"a list": "[[]]", "a date": "1979-05-27", "a time": "07:32:00", "infinity": "inf"}


def of_type(line: str, value: str) -> Callable[[Path], list[str]]:
    return spoiled(line, f"{line.partition(' = ')[0]} = {value}", "plan")


TYPED = [
    Row(f"{kind} for {where}", of_type(line, value), ("toy.toml is refused", where.partition(".1.")[0]))
    for line, where in VALUES.items()
    for kind, value in WRONG_TYPES.items()
]

BYTES: dict[str, tuple[str | bytes, str]] = {
    "a suite of other bytes": (b'title = "\xff\xfe"', "toy.toml cannot be read as TOML"),
    "an empty suite": ("", "toy.toml is refused"),
    "a suite of NUL": (b"\x00" * 100, "toy.toml cannot be read as TOML"),
    "a suite in UTF-16": (SUITE.encode("utf-16"), "toy.toml cannot be read as TOML"),
    "a suite with a byte-order mark": (SUITE.encode("utf-8-sig"), "toy.toml cannot be read as TOML"),
    "a suite in JSON": ('{"title": "A toy"}', "toy.toml cannot be read as TOML"),
    "half a suite": (SUITE[: SUITE.index("[0.25") + 3], "toy.toml cannot be read as TOML"),
}

ROWS: list[Row] = [
    *(Row(f"suite: {case}", spoiled(old, new, "run"), words) for case, (old, new, words) in SUITES.items()),
    *(Row(case, whole(content, "plan"), (words,)) for case, (content, words) in BYTES.items()),
    *(
        Row(
            f"a bad suite for {name}",
            whole(SUITE.replace("epochs = 2", "epochs = -2"), *command),
            (f"{PROTOCOL}.epochs",),
        )
        for name, command in READERS.items()
    ),
    *TYPED,
]
