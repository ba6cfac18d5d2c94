"""Describes one method, dataset, network, resource, executor or suite, for `stampbench list KIND NAME`."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from stampbench import registry
from stampbench.contract import Method, Options
from stampbench.fields import FieldInWords, fields_in_words
from stampbench.listing import Listable, Listing


@dataclass(frozen=True)
class Details:
    """Facts by name, a text, and a table with a heading and with notes below it."""

    facts: Mapping[str, object]
    text: str = ""
    heading: str = ""
    table: Listing = field(default=((), ()))
    notes: str = ""


def _method(name: str) -> Details:
    """Return a method's facts, card and options. It imports the method, which needs no torch."""
    method: type[Method] = registry.METHODS.load(name)
    facts = {
        "method": name,
        "version": method.version,
        "granularities": ", ".join(sorted(method.granularities)),
        "starts": ", ".join(sorted(method.starts)),
        "default start": method.default_start,
    }
    options = fields_in_words(method.Options)
    heading = "Options, set by `options` in a suite file" if options else "It has no options."
    return Details(facts, method.card.strip(), heading, (FieldInWords._fields, options), _option_notes(method.Options))


def _option_notes(options: type[Options]) -> str:
    """Return the docstrings of the classes that declare the options, those of base classes last."""
    declaring = [kind for kind in options.__mro__ if issubclass(kind, Options) and kind is not Options]
    return "\n\n".join(inspect.cleandoc(kind.__doc__) for kind in declaring if kind.__doc__)


def _dataset(name: str) -> Details:
    from stampbench.data.catalogue import resolve

    dataset = resolve(name)
    facts = {
        "dataset": name,
        "version": dataset.version,
        "classes": dataset.classes,
        "input": f"{dataset.input_size}×{dataset.input_size}",
        "training images": dataset.full_train,
        "test images": dataset.full_test,
        "flipped in training": "yes" if dataset.flip else "no",
        "terms": dataset.terms,
    }
    return Details(facts, dataset.description)


def _suite(name: str) -> Details:
    from stampbench.running.campaign import suite_path
    from stampbench.suite import load

    path = suite_path(name)
    suite = load(path)
    rows = []
    for preset in suite.presets:
        jobs = suite.jobs(preset, "fp32")
        targets, epochs = (job.target for job in jobs), (job.protocol.epochs for job in jobs)
        networks = (f"{job.network} × {job.width:g}" for job in jobs)
        rows.append([preset, len(jobs), *map(_distinct, ((job.seed for job in jobs), targets, networks, epochs))])
    headings = ["preset", "jobs", "seeds", "targets", "networks", "epochs"]
    return Details({"suite": suite.name, "file": path}, suite.title, "Presets", (headings, rows))


def _distinct(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(map(str, values)))


def _registered(kind: str, name: str) -> Details:
    """Return the docstrings of a registered object, read from its source, because importing it may need torch."""
    known: registry.Registry = getattr(registry, kind)
    target = known.target_of(name)
    return Details({known.kind: name, "made by": target}, _docstrings(target))


def _docstrings(target: str) -> str:
    """Return the docstrings of the module and of the object of a "module:attribute" target, as far as there are any."""
    module, _, attribute = target.partition(":")
    try:
        found = find_spec(module)
    except ImportError:
        found = None
    if found is None or found.origin is None or not found.origin.endswith(".py"):
        return ""
    tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    nodes: list[Any] = [tree, *(node for node in tree.body if getattr(node, "name", None) == attribute)]
    return "\n\n".join(text for node in nodes if (text := ast.get_docstring(node)))


DETAILS: Mapping[Listable, Callable[[str], Details]] = {
    Listable.METHODS: _method,
    Listable.DATASETS: _dataset,
    Listable.NETWORKS: partial(_registered, "NETWORKS"),
    Listable.RESOURCES: partial(_registered, "RESOURCES"),
    Listable.EXECUTORS: partial(_registered, "EXECUTORS"),
    Listable.SUITES: _suite,
}
