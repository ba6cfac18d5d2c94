"""One suite of digits that runs in seconds: as TOML for the command line, as jobs for calls, and with quick clocks."""

import tomllib

from stampbench import suite

METHODS = """[
  "dense", { name = "dense", start = "reference" }, "random", "magnitude",
  { name = "magnitude", options = { scope = "global" } }, { name = "magnitude", start = "target" },
]"""


def tiny_toml(methods: str = METHODS, seeds: int = 2, epochs: int = 1) -> str:
    """Return the suite's file with these methods, a TOML array, with so many seeds and epochs."""
    return f"""
title = "Digits, in seconds"

[presets.tiny.protocol]
train_images = 200
validation_images = 60
epochs = {epochs}
batch_size = 32
precision = "fp32"
threads = 1
learning_rate = {{ random = 0.05, reference = 0.05, target = 0.05 }}
reference = {{ dataset = "glyphs", epochs = 1, images = 200 }}

[[presets.tiny.grid]]
targets = ["digits"]
networks = ["resnet18"]
width = 0.125
methods = {methods}
budgets = [0.25]
seeds = {seeds}
"""


def tiny(*changes, **named) -> suite.Suite:
    """Return the suite of `tiny_toml`."""
    return suite.Suite.model_validate({"name": "tiny"} | tomllib.loads(tiny_toml(*changes, **named)))


TINY = tiny()
JOBS = TINY.jobs("tiny", "fp32")
