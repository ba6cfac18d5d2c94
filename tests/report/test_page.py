"""The page: everything escaped, nothing fetched, and in a real browser it sorts, filters and fits."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from stampbench.report import write
from stampbench.report.headline import headline
from stampbench.report.render.figures.drawing import Figure
from stampbench.report.sections import suite_sections
from stampbench.report.write import write_report
from stampbench.store import Store
from stampbench.suite import Suite
from tests.fixtures import factories

MakeSuite = Callable[..., Suite]
NASTY = "<script>document.title='owned'</script>&\"'"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture
def page(make_suite: MakeSuite, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A page of three rows on two targets, with a failed job, a claim and a figure, all of hostile text."""
    drawn = Figure("figure", NASTY, b'<svg xmlns="http://www.w3.org/2000/svg" width="400" height="300"/>', b"", {})
    monkeypatch.setattr(write, "figures_of", lambda _: [drawn])
    grid = {"targets": ["cifar10", "cifar100"], "methods": ["dense", "random", "magnitude"], "budgets": [0.5, 0.25]}
    suite = make_suite(title=f"Toys {NASTY}", **grid)
    claim = {"title": f"It wins {NASTY}", "subject": "magnitude", "against": ["random"]}
    suite = Suite.model_validate(suite.model_dump() | {"claims": [claim]})
    for index, job in enumerate(suite.jobs("quick", "fp32")):
        if job.method == "random" and job.seed == 2:
            store.put(factories.failed(job, f"diverged {NASTY}"))
        else:
            store.put(factories.record(job, top1=0.4 + index / 100))
    (path,) = write_report([suite], store, ["html"], tmp_path / "out")
    return path


class Seen(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


def test_nothing_that_came_from_outside_is_markup(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "document.title=" in text
    assert text.count("<script>") == 1
    assert NASTY not in text


def test_the_page_asks_for_nothing(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for tag, attributes in Seen(text).tags:
        for name in ("src", "href", "srcset", "action", "data"):
            value = attributes.get(name) or "#"
            assert value.startswith(("#", "data:")), (tag, name, value)
    assert not re.search(r"@import|url\(", text)


def test_every_link_and_label_has_its_end(page: Path) -> None:
    tags = Seen(page.read_text(encoding="utf-8")).tags
    names = [attributes["id"] for _, attributes in tags if "id" in attributes]
    assert len(names) == len(set(names))
    for tag, attributes in tags:
        if tag == "a":
            assert (attributes["href"] or "").removeprefix("#") in names
        if tag == "label":
            assert attributes["for"] in names
        if tag == "img":
            assert attributes["alt"]


def test_every_number_leads_to_its_records(page: Path, store: Store) -> None:
    text = page.read_text(encoding="utf-8")
    for record in store.records():
        assert f'id="record-{record.key}"' in text
        assert record.status != "done" or f'href="#record-{record.key}"' in text


def test_the_headline_is_the_first_claims(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(methods=["random", "magnitude"], seeds=4)
    claim = {"title": "It wins", "subject": "magnitude", "against": ["random"]}
    suite = Suite.model_validate(suite.model_dump() | {"claims": [claim]})
    assert headline(suite_sections(suite, store)) == "Nothing of this suite has been run yet."
    for job in suite.jobs("quick", "fp32"):
        store.put(factories.record(job, top1={"magnitude": 0.62}.get(job.method, 0.5) + 0.001 * (job.seed % 2)))
    assert headline(suite_sections(suite, store)) == (
        "It wins, at equal MACs. 1 comparison of magnitude (reference) with others, paired by seed and Holm-corrected: "
        "1 better. The closest rival is random (reference) on cifar10, vgg19 × 0.25 at 1/4 of the MACs: "
        "+12.00 ± 0.00 points (n = 4): better."
    )


def test_without_a_claim_the_headline_is_the_highest_mean(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(methods=["dense", "random", "magnitude"], seeds=2)
    for job in suite.jobs("quick", "fp32"):
        store.put(factories.record(job, top1={"dense": 0.9, "magnitude": 0.6}.get(job.method, 0.5)))
    assert headline(suite_sections(suite, store)) == (
        "On cifar10-1000 with vgg19 × 0.25 at 1/4 of the MACs, magnitude (reference weights) has the highest mean "
        "accuracy among the pruned networks: 60.00 ± 0.00 % (n = 2; epochs: 2). It is +10.00 points from the "
        "runner-up, random (reference weights); 2 common seeds are too few to tell that from chance."
    )


@pytest.mark.parametrize(("ahead", "said"), [(0.1, "beyond"), (0.001, "within")])
def test_a_lead_is_told_with_its_paired_interval(make_suite: MakeSuite, store: Store, ahead: float, said: str) -> None:
    suite, pairs = make_suite(methods=["random", "magnitude"], seeds=4), dict[str, list[float]]()
    for job in suite.jobs("quick", "fp32"):
        top1 = 0.5 + (ahead + 0.01 * (job.seed % 2) if job.method == "magnitude" else 0.005 * (job.seed % 3))
        pairs.setdefault(job.method, []).append(100 * top1)
        store.put(factories.record(job, top1=top1))
    test = stats.ttest_rel(pairs["magnitude"], pairs["random"])
    low, high = test.confidence_interval(0.95)
    found = headline(suite_sections(suite, store))
    assert f"It is {(low + high) / 2:+.2f} ± {(high - low) / 2:.2f} points from the runner-up" in found
    assert f"(n = 4), {said} chance." in found and (test.pvalue < 0.05) == (said == "beyond")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Headless Chromium, driven by Playwright."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser ({', '.join(BROWSERS)}) on PATH")
    sync_api = pytest.importorskip("playwright.sync_api")
    options = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
    with sync_api.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=found, args=[*options, "--disable-component-update"])
        yield running
        running.close()


def opened(browser: Any, path: Path, width: int, scheme: str) -> tuple[Any, list[str]]:
    """The page in a window of that width, and all that went wrong while it was there."""
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    view, complaints = context.new_page(), list[str]()
    view.on("console", lambda message: complaints.append(f"console: {message.text}"))
    view.on("pageerror", lambda error: complaints.append(f"error: {error}"))
    view.on("request", lambda request: request.url.startswith(("file:", "data:")) or complaints.append(request.url))
    view.goto(path.as_uri())
    return view, complaints


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_is_quiet(browser: Any, page: Path, width: int, scheme: str) -> None:
    view, complaints = opened(browser, page, width, scheme)
    assert view.evaluate("document.documentElement.scrollWidth") <= width
    assert complaints == []
    light = view.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert light == (scheme == "light")


def column(view: Any, table: str, index: int) -> list[str]:
    return view.locator(f"#{table} tbody tr:visible").evaluate_all(
        "(rows, i) => rows.map(row => row.cells[i].innerText.trim())", index
    )


def test_it_sorts_by_mouse_and_keyboard_and_filters(browser: Any, page: Path) -> None:
    view, complaints = opened(browser, page, 1280, "light")
    table = view.locator("table[data-target=cifar10]").first.get_attribute("id").replace(".", "\\.")
    headings = view.locator(f"#{table} thead th").all_inner_texts()
    at = next(index for index, text in enumerate(headings) if text.startswith("top-1"))
    button = view.locator(f"#{table} thead button").nth(at)

    def numbers() -> list[float]:
        return [float(text.split()[0]) for text in column(view, table, at)]

    whole = numbers()
    button.click()
    assert numbers() == sorted(whole)
    button.focus()
    view.keyboard.press("Enter")
    assert numbers() == sorted(whole, reverse=True)
    assert view.locator(f"#{table} th").nth(at).get_attribute("aria-sort") == "descending"

    view.locator(f'input[data-table="{table.replace(chr(92), "")}"]').fill("magnitude 1/2")
    assert set(column(view, table, 0)) == {"magnitude"} and len(column(view, table, 0)) == 1
    assert complaints == []


def test_a_number_opens_its_record(browser: Any, page: Path) -> None:
    view, complaints = opened(browser, page, 1280, "light")
    view.locator("#all-columns").check()
    view.locator("td details summary").first.click()
    link = view.locator('a[href^="#record-"]').first
    key = link.inner_text()
    link.click()
    assert view.locator(f"#record-{key}").is_visible()
    assert complaints == []


def test_choices_leave_only_the_rows_that_fit(browser: Any, page: Path) -> None:
    view, complaints = opened(browser, page, 1280, "light")
    view.locator("#choose-target").select_option("cifar100")
    assert view.locator("table[data-target=cifar10] tbody tr:visible").count() == 0
    there = view.locator("table[data-target=cifar100]").first.get_attribute("id").replace(".", "\\.")
    assert set(column(view, there, 0)) == {"dense", "random", "magnitude"}
    view.locator("#choose-budget").select_option("1/4 MACs")
    # A network that keeps everything stays for comparison.
    assert set(column(view, there, 2)) == {"1", "1/4 MACs"}
    view.locator("#choose-method").select_option("magnitude")
    assert column(view, there, 0) == ["magnitude"]
    for name in ("method", "budget", "target"):
        view.locator(f"#choose-{name}").select_option("")
    assert len(column(view, there, 0)) == 5
    assert complaints == []


def test_two_methods_are_compared_seed_by_seed(browser: Any, page: Path, store: Store) -> None:
    """The oracle is scipy's paired interval, of the records themselves."""
    view, complaints = opened(browser, page, 1280, "light")
    view.locator("#pair-place").select_option(index=0)
    view.locator("#pair-first").select_option(label="magnitude (reference), 1/2 of the MACs")
    view.locator("#pair-second").select_option(label="dense (reference), all of the MACs")
    values: dict[str, dict[int, float]] = {}
    for record in store.records():
        job = record.job
        if record.accuracy and job.target == "cifar10" and job.budget.keep in (0.5, 1.0):
            values.setdefault(job.method, {})[job.seed] = 100 * record.accuracy.top1
    pairs = [(values["magnitude"][seed], values["dense"][seed]) for seed in sorted(values["dense"])]
    low, high = stats.ttest_rel(*zip(*pairs, strict=True)).confidence_interval(0.95)
    shown = view.locator("#pair-table tbody tr").all_inner_texts()
    assert [row.split("\t")[:3] for row in shown[:-1]] == [
        [str(seed), f"{a:.2f}", f"{b:.2f}"] for seed, (a, b) in enumerate(pairs)
    ]
    outcome = view.locator("#pair-outcome").inner_text()
    assert f"{(low + high) / 2:.2f} points over 3 common seeds, ± {(high - low) / 2:.2f}" in outcome
    assert complaints == []


def test_a_phone_shows_accuracies_without_scrolling_sideways(browser: Any, page: Path) -> None:
    view, _ = opened(browser, page, 390, "light")
    for table in view.locator("table[data-target^=cifar]").all():
        assert table.evaluate("table => table.parentElement.scrollWidth <= table.parentElement.clientWidth")
        assert any(text.startswith("top-1") for text in table.locator("thead th:visible").all_inner_texts())
    view.locator("#all-columns").check()
    assert view.locator("table[data-target=cifar10] thead th:visible").count() > 8
