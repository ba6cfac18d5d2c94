"""Figures show what the records say, in the same colours everywhere, and repeat to the byte."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from stampbench import registry
from stampbench.contract import MASK_NOTE, Start
from stampbench.report.data import Data
from stampbench.report.render.figures import figures_of
from stampbench.report.render.figures.drawing import Figure
from stampbench.report.render.figures.view import PALETTE, colour_of, views
from stampbench.report.render.figures.widths import group_widths
from stampbench.store import Store
from stampbench.suite import Suite
from tests.fixtures import factories
from tests.fixtures.reports import data_of, suite_data

MakeSuite = Callable[..., Suite]


def filled(suite: Suite, store: Store, **fields: object) -> Data:
    for job in suite.jobs("quick", "fp32"):
        store.put(factories.record(job, top1=0.5 + 0.01 * job.seed + 0.2 * job.budget.keep, **fields))
    return suite_data(suite, store)


def names(drawn: list[Figure]) -> list[str]:
    return [figure.name.removeprefix("toys-quick-").removesuffix("-fp32") for figure in drawn]


def test_one_budget_has_no_trade_off_and_one_schedule_no_time(make_suite: MakeSuite, store: Store) -> None:
    drawn = figures_of(filled(make_suite(), store))
    assert names(drawn) == ["accuracy-seconds-cifar10-vgg19-0.25", "widths-cifar10-vgg19-0.25"]


def test_budgets_schedules_masks_and_reference_work_are_drawn(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(targets=["cifar10", "svhn"], methods=["magnitude"], budgets=[0.5, 0.25], epochs=[1, 2], seeds=4)
    meta = factories.reference_use(0, seconds=50.0).model_copy(update={"kind": "meta-trained"})
    drawn = figures_of(filled(suite, store, artefacts=[meta], notes={MASK_NOTE: {"features.0": "f0"}}))
    assert names(drawn) == [
        *(
            f"{kind}-{target}-vgg19-0.25"
            for target in ("cifar10", "svhn")
            for kind in ("accuracy-macs", "accuracy-seconds", "time-to-accuracy", "widths", "break-even")
        ),
        *(
            f"masks-magnitude-vgg19-0.25-{keep}-of-the-macs-{epochs}-epochs"
            for epochs in (1, 2)
            for keep in ("0.5", "0.25")
        ),
    ]
    several = {"1 to 2 epochs" in figure.caption for figure in drawn if "time-to-accuracy" in figure.name}
    own = {"2 epochs, " in figure.caption for figure in drawn if "-macs-cifar10" in figure.name}
    assert several == own == {True}
    assert not any("1 to 2" in figure.caption for figure in drawn if "widths" in figure.name)


def test_the_same_records_give_the_same_bytes(make_suite: MakeSuite, store: Store) -> None:
    found = filled(make_suite(budgets=[0.5, 0.25]), store)
    for first, second in zip(figures_of(found), figures_of(found), strict=True):
        assert first == second
        assert first.png.startswith(b"\x89PNG") and ElementTree.fromstring(first.svg).tag.endswith("svg")


def test_figures_for_papers_have_a_columns_width_and_text_stays_text(make_suite: MakeSuite, store: Store) -> None:
    for figure in figures_of(filled(make_suite(budgets=[0.5, 0.25]), store)):
        widths = {}
        for name, pdf in figure.pdfs.items():
            (box,) = re.findall(rb"/MediaBox \[ ?0 0 ([\d.]+) [\d.]+ ?\]", pdf)
            widths[name] = float(box) / 72
        assert widths == pytest.approx({"1-column": 3.3, "2-columns": 6.9})
        words = [
            node.text or "" for node in ElementTree.fromstring(figure.svg).iter("{http://www.w3.org/2000/svg}text")
        ]
        assert any("cifar10" in word or "vgg19" in word for word in words)


def test_failed_records_are_not_drawn(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(methods=["magnitude"])
    for job in suite.jobs("quick", "fp32"):
        store.put(factories.failed(job))
    assert figures_of(suite_data(suite, store)) == []


def test_a_methods_colour_is_its_own_whatever_else_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    methods = list(registry.METHODS.targets())
    colours = [colour_of(method) for method in methods]
    assert len(set(colours)) == len(methods) <= len(PALETTE)


def test_a_transplanted_mask_has_its_methods_colour(real_methods: None, store: Store) -> None:
    methods = {"transplant": {"mask": "snip"}, "snip": {}, "magnitude": {}}
    jobs = [
        factories.job(
            method, start=Start.REFERENCE, options=registry.METHODS.load(method).Options(**options).model_dump()
        )
        for method, options in methods.items()
    ]
    for job in jobs:
        store.put(factories.record(job))
    (view,) = views(data_of(jobs, store))
    looks = {style.label: (style.colour, style.marker) for style, _ in view.rows(view.jobs)}
    names = ("SNIP's mask on random-mask weights", "SNIP", "magnitude")
    lent, own, other = (looks[f"{name} (reference)"] for name in names)
    assert lent[0] == own[0] != other[0]
    assert lent[1] != own[1]


def test_widths_are_those_of_the_records() -> None:
    dense = factories.record(factories.job("dense"))
    small = factories.record(cost=factories.cost(widths={"features.0": 4, "features.1": 32}))
    assert dense.cost is not None
    widths = group_widths({"dense": dense, "small": small})
    assert dict(widths.loc["small"]) == {"features.0": 4, "features.1": 32}
    assert dict(widths.loc["dense"]) == dense.cost.widths


def test_no_figure_writes_a_formula(real_methods: None, store: Store) -> None:
    """Formulas are not set, because names may hold dollar signs; so ticks must be plain numbers."""
    jobs = [factories.job(name, start=Start.REFERENCE, seed=seed) for name in ("stamp", "magnitude") for seed in (0, 1)]
    for job in jobs:
        uses = [factories.reference_use()]
        if job.method == "stamp":
            uses.append(factories.reference_use(5).model_copy(update={"kind": "meta-trained", "seconds": 500.0}))
        store.put(factories.record(job, artefacts=uses))
    drawn = figures_of(replace(data_of(jobs, store), compared_keep=0.25))
    assert any("break-even" in figure.name for figure in drawn)
    assert not [figure.name for figure in drawn if b"mathdefault" in figure.svg]
