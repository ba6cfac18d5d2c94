"""A default that changes without a new version would make old records say what they never meant."""

import copy
from typing import get_args

import pytest
from pydantic import BaseModel

from stampbench.job import Job
from tests import defaults


def test_the_snapshot_holds_the_defaults_of_the_code():
    assert defaults.compare(defaults.stored(), defaults.current()) == []


@pytest.mark.parametrize(
    ("owner", "path", "value"),
    [
        ("protocol", ("Protocol", "momentum"), 0.8),
        ("protocol", ("Reference", "warmup_epochs"), 2.0),
        ("method grasp", ("temperature",), 100.0),
        ("method stamp", ("sets",), 1),
        ("protocol", ("Protocol", "epochs"), 10),
        ("protocol", ("Protocol", "momentum"), defaults.REQUIRED),
        ("protocol", ("LearningRates", "target"), 0.1),
    ],
)
def test_a_changed_default_needs_a_new_version(owner, path, value):
    now = copy.deepcopy(defaults.stored())
    *outer, name = path
    holder = now[owner]["defaults"]
    for part in outer:
        holder = holder[part]
    assert holder[name] != value
    holder[name] = value
    (mistake,) = defaults.compare(defaults.stored(), now)
    assert owner in mistake and name in mistake and "raise its version" in mistake
    now[owner]["version"] += 1
    (mistake,) = defaults.compare(defaults.stored(), now)
    assert "raise" not in mistake


def test_a_new_field_needs_no_version_but_a_line_in_the_snapshot():
    now = copy.deepcopy(defaults.stored())
    now["method stamp"]["defaults"]["colour"] = "blue"
    (mistake,) = defaults.compare(defaults.stored(), now)
    assert "method stamp" in mistake and "python -m tests.defaults" in mistake and "raise" not in mistake


@pytest.mark.parametrize("value", [defaults.REQUIRED, None], ids=["a new required field", "a field that is gone"])
def test_a_field_that_keys_had_or_must_have_needs_a_new_version(value):
    before, now = defaults.stored(), copy.deepcopy(defaults.stored())
    (before if value is None else now)["protocol"]["defaults"]["Job"]["colour"] = value
    (mistake,) = defaults.compare(before, now)
    assert "Job.colour" in mistake and "raise its version" in mistake


def test_a_version_never_goes_back():
    before, now = copy.deepcopy(defaults.stored()), defaults.stored()
    before["method stamp"]["version"] += 1
    (mistake,) = defaults.compare(before, now)
    assert "method stamp" in mistake and "went back" in mistake


def test_a_method_that_is_gone_leaves_the_snapshot():
    now = defaults.stored()
    del now["method stamp"]
    assert defaults.compare(defaults.stored(), now) == ["method stamp is gone: run `python -m tests.defaults`"]


def test_the_snapshot_covers_every_model_in_a_jobs_key():
    """Models within the job's, by the types of its fields: each has an entry, and each entry all of its fields."""
    found, waiting = {}, [Job]
    while waiting:
        model = waiting.pop()
        found[model.__name__] = set(model.model_fields)
        for field in model.model_fields.values():
            inner = {field.annotation, *get_args(field.annotation)}
            waiting += [kind for kind in inner if isinstance(kind, type) and issubclass(kind, BaseModel)]
    entries = defaults.stored()["protocol"]["defaults"]
    assert {name: set(fields) for name, fields in entries.items()} == found
