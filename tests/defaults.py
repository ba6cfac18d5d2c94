"""The defaults that keys leave out, as a committed snapshot: `python -m tests.defaults` renews it.

A key hashes what differs from the defaults, so a default that changes would change what old records say, and a field
that gains or loses its default would change their keys. Either needs a new version of the protocol, or of the method,
that it belongs to.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from stampbench import registry
from stampbench.data.catalogue import DATASETS
from stampbench.job import PROTOCOL_VERSION, Budget, Job, LearningRates, Protocol, Reference

SNAPSHOT = Path(__file__).with_suffix(".json")
# What stands for the default of a field that has none.
REQUIRED = "(required)"


MODELS = (Job, Budget, LearningRates, Protocol, Reference)


def current() -> dict[str, Any]:
    """Return every version with the defaults that it stands for, as JSON."""
    shared = {model.__name__: defaults_of(model) for model in MODELS}
    found: dict[str, Any] = {"protocol": {"version": PROTOCOL_VERSION, "defaults": shared}}
    for name, target in registry.METHODS.targets().items():
        if target.startswith("stampbench."):
            method = registry.METHODS.load(name)
            found[f"method {name}"] = {"version": method.version, "defaults": defaults_of(method.Options)}
    found |= {f"data {name}": {"version": dataset.version, "defaults": {}} for name, dataset in DATASETS.items()}
    return found


def defaults_of(model: type[BaseModel]) -> dict[str, Any]:
    """Return the default of every field as JSON, and `REQUIRED` for those that have none."""
    required = {name for name, field in model.model_fields.items() if field.is_required()}
    return dict.fromkeys(required, REQUIRED) | model.model_construct().model_dump(mode="json", exclude=required)


def mistakes(before: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """Say what changed without a new version, and what the snapshot does not hold yet."""
    for owner, entry in now.items():
        if owner not in before:
            yield f"{owner} is new: run `python -m tests.defaults`"
        elif entry["version"] < before[owner]["version"]:
            yield f"{owner}: its version went back; old records would pass for new ones: raise its version"
        elif entry != before[owner]:
            changed = changes(before[owner]["defaults"], entry["defaults"])
            if changed and entry["version"] == before[owner]["version"]:
                yield f"{owner}: the defaults of {', '.join(changed)} changed; raise its version"
            else:
                yield f"{owner} has new fields or a new version: run `python -m tests.defaults`"
    for owner in before.keys() - now.keys():
        yield f"{owner} is gone: run `python -m tests.defaults`"


def changes(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return the fields whose default is another, was taken away or came, and new fields that all must name."""
    other = {name for name, value in before.items() if name not in now or now[name] != value}
    return sorted(other | {name for name in now.keys() - before.keys() if now[name] == REQUIRED})


def _flat(snapshot: dict[str, Any]) -> dict[str, Any]:
    """Return the snapshot with names of nested defaults joined by dots, so that each is compared alone."""
    flat = {}
    for owner, entry in snapshot.items():
        values: dict[str, Any] = {}
        for name, value in entry["defaults"].items():
            values |= {f"{name}.{k}": v for k, v in value.items()} if owner == "protocol" else {name: value}
        flat[owner] = {"version": entry["version"], "defaults": values}
    return flat


def stored() -> dict[str, Any]:
    """Return the committed snapshot."""
    found: dict[str, Any] = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    return found


def compare(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what is wrong between a snapshot and the code, one sentence each."""
    return list(mistakes(_flat(before), _flat(now)))


if __name__ == "__main__":
    wrong = (
        [line for line in compare(stored(), current()) if line.endswith("raise its version")]
        if SNAPSHOT.exists()
        else []
    )
    if wrong:
        sys.exit("\n".join(wrong))
    SNAPSHOT.write_text(json.dumps(current(), indent=1, sort_keys=True) + "\n", encoding="utf-8")
