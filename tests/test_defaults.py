"""A default that changes without a new version would make old records say what they never meant."""

import copy

import pytest

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
