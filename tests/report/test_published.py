from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stampbench.contract import Granularity
from stampbench.errors import UserError
from stampbench.report import published
from stampbench.report.model import Table
from stampbench.report.published import Source, parse
from stampbench.report.remarks import paper_sizes
from stampbench.report.render import latex, markdown
from stampbench.report.sections import suite_sections
from stampbench.report.tables.published import published_tables, same_budget
from stampbench.report.write import write_report
from stampbench.store import Store
from stampbench.suite import Suite
from tests.fixtures import factories
from tests.fixtures import reports as making
from tests.fixtures.reports import suite_data

MakeSuite = Callable[..., Suite]

# Settings of the toy suite: vgg19 × 0.25, 2 epochs, 900 training images, reference weights, the last epoch.
SAME = 'network = "vgg19", width = 0.25, epochs = 2, train_images = 900, reported = "last"'
NUMBER = '{ method = "magnitude", target = "cifar10", keep = 0.25, top1 = 93.3, sd = 0.14 }'


def source(numbers: str = NUMBER, setting: str = SAME, **fields: str) -> str:
    values = {
        "source": '"A paper, table 2"',
        "checked": '"the paper"',
        "network": '"VGG-19"',
        "family": '"vgg19"',
        "granularity": '"channel"',
        "kept_of": '"macs"',
        "start": '"reference"',
    } | fields
    lines = [f"{key} = {value}" for key, value in values.items()]
    return "\n".join(["[[table]]", *lines, f"setting = {{ {setting} }}", f"numbers = [{numbers}]", ""])


@pytest.fixture
def published_beside(make_suite: MakeSuite, store: Store) -> Callable[..., Table | None]:
    """The table of one magnitude cell (three seeds, 69, 70 and 71 %) beside what such a file states."""

    def table(text: str) -> Table | None:
        suite = make_suite(methods=["magnitude"])
        for seed, job in enumerate(suite.jobs("quick", "fp32")):
            store.put(factories.record(job, top1=0.69 + seed / 100))
        tables = published_tables(replace(suite_data(suite, store), published=parse(text)))
        return tables[0] if tables else None

    return table


def texts(table: Table | None) -> list[list[str]]:
    assert table is not None
    return making.texts(table)


def test_the_same_setting_is_called_so(published_beside: Callable[..., Table | None]) -> None:
    table = published_beside(source())
    assert texts(table) == [
        ["magnitude", "channel", "cifar10", "VGG-19", "25 % of MACs", "93.30 ± 0.14", "yes", "70.00 ± 1.00", "same"]
    ]
    assert table is not None
    assert table.notes == (
        "A paper, table 2",
        "checked against the paper",
        "ours: magnitude, reference weights at the start, n = 3",
    )


def test_a_value_that_was_not_checked_says_so(published_beside: Callable[..., Table | None]) -> None:
    table = published_beside(source(checked='"no"'))
    (row,) = texts(table)
    assert row[5:7] == ["93.30 ± 0.14", "no"]
    assert table is not None and table.notes[1] == "not checked: its source was not at hand"


@pytest.mark.parametrize(
    ("stated", "shown"), [("72.0, decimals = 1", "72.0"), ("72.0", "72.00"), ("72.04, decimals = 2", "72.04")]
)
def test_no_decimal_is_made_up(stated: str, shown: str, published_beside: Callable[..., Table | None]) -> None:
    (row,) = texts(published_beside(source(NUMBER.replace("93.3, sd = 0.14", stated))))
    assert row[5] == shown


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (source(setting=SAME.replace("epochs = 2", "epochs = 160")), "160 epochs against 2"),
        (source(setting=SAME.replace("= 900", "= 50_000")), "50,000 images against 900"),
        (source(setting=SAME.replace("0.25", "1.0")), "width 1 against 0.25"),
        (source(setting=SAME.replace("vgg19", "vgg16")), "network vgg16 against vgg19"),
        (source(setting=SAME.replace("last", "best")), "best test epoch against the last"),
        (source(setting=SAME.replace("epochs = 2, ", "")), "epochs not stated"),
        (source(setting=SAME + ', differs = "L2 norm"'), "L2 norm"),
        (source(start='"target"'), "target weights at the start against reference"),
    ],
)
def test_every_difference_is_named(changed: str, words: str, published_beside: Callable[..., Table | None]) -> None:
    (row,) = texts(published_beside(changed))
    assert row[-2:] == ["70.00 ± 1.00", f"different recipe: {words}"]


@pytest.mark.parametrize("keep", ["keep = 0.1, ", ""])
def test_another_budget_has_no_number_of_ours(keep: str, published_beside: Callable[..., Table | None]) -> None:
    (row,) = texts(published_beside(source(NUMBER.replace("keep = 0.25, ", keep))))
    assert row[-2:] == ["–", "different recipe: budget not in this suite"]
    assert row[4] == ("10 % of MACs" if keep else "not stated")


def test_a_share_of_weights_is_no_share_of_macs(published_beside: Callable[..., Table | None]) -> None:
    (row,) = texts(published_beside(source(kept_of='"params"')))
    assert row[-2:] == ["–", "different recipe: budget not in this suite"]


@pytest.mark.parametrize(
    "other",
    [
        source(NUMBER.replace("magnitude", "snip")),
        source(NUMBER.replace("cifar10", "cifar100")),
        source(family='"resnet18"'),
        source(granularity='"weight"'),
        source(unverified="true", checked='"no"'),
    ],
)
def test_what_does_not_concern_the_suite_is_not_shown(
    other: str, published_beside: Callable[..., Table | None]
) -> None:
    assert published_beside(other) is None


def test_second_hand_numbers_say_so(published_beside: Callable[..., Table | None]) -> None:
    table = published_beside(source(second_hand="true"))
    assert table is not None and table.notes[0] == "A paper, table 2 (second-hand)"


def test_the_cell_of_the_same_start_stands_beside(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(methods=["magnitude", {"name": "magnitude", "start": "target"}], seeds=1)
    for job in suite.jobs("quick", "fp32"):
        store.put(factories.record(job, top1=0.8 if job.start == "target" else 0.6))
    stated = parse(source(start='"target"'))
    (table,) = published_tables(replace(suite_data(suite, store), published=stated))
    (row,) = texts(table)
    assert row[-2:] == ["80.00", "same"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (source(grannularity='"channel"'), "did you mean 'granularity'"),
        (source(NUMBER.replace("93.3", "933")), "less than or equal to 100"),
        (source(kept_of='"mac"'), "unknown resource 'mac'; did you mean 'macs'"),
        (source().replace('checked = "the paper"\n', ""), "table.0.checked: Field required"),
        (source(checked="true"), "table.0.checked: Input should be a valid string"),
        (source(checked='"yes"'), "say what the values were checked against, or 'no'"),
        (source(checked='" NO"'), "say what the values were checked against, or 'no'"),
        (source(unverified="true"), "unverified cannot have been checked; write checked = 'no'"),
        (source(unverified='"true"'), "table.0.unverified: Input should be a valid boolean"),
        (source(second_hand="1"), "table.0.second_hand: Input should be a valid boolean"),
        (source(granularity='"pixel"'), "table.0.granularity: Input should be 'channel' or 'weight'"),
        (source(numbers=""), "table.0.numbers: Value error, there must be at least one number"),
        (source(f"{NUMBER}, {NUMBER}"), "stated twice: A paper, table 2, VGG-19, channel, magnitude, cifar10, 0.25"),
        (source() + source(), "stated twice"),
        ("table = 3", "table: Input should be a valid tuple"),
        ("", "table: Field required"),
        ("[[table", "cannot be read as TOML"),
        ("table = " + 2000 * "[" + 2000 * "]", "nested too deep"),
        ("table = " + 5000 * "1", "cannot be read as TOML: Exceeds the limit"),
    ],
)
def test_mistakes_are_explained(text: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        parse(text)


NO_NUMBERS = ["nan", "inf", "-inf", "-1", "true", '"93"', "[1]", "{}", "1979-05-27", "1" + 400 * "0"]


@pytest.mark.parametrize("value", NO_NUMBERS)
@pytest.mark.parametrize("key", ["top1", "sd", "keep", "decimals", "width", "epochs", "train_images"])
def test_what_is_no_number_of_its_kind_is_refused(key: str, value: str) -> None:
    """A number that a table could not print, or whose type is another, is named with its place in the file."""
    if key in ("width", "epochs", "train_images"):
        text = source(setting=f'network = "vgg19", {key} = {value}')
    else:
        fields = {"keep": "0.25", "top1": "93.3", "sd": "0.14"} | {key: value}
        stated = ", ".join(f"{name} = {stated}" for name, stated in fields.items())
        text = source(f'{{ method = "magnitude", target = "cifar10", {stated} }}')
    with pytest.raises(UserError, match=f"published.toml is refused; correct it:\n  table.0.*{key}: "):
        parse(text)


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)"])
@pytest.mark.parametrize("key", ["network", "source", "checked"])
def test_no_cell_can_begin_like_a_formula(key: str, text: str) -> None:
    """Spreadsheets run such a cell of a CSV file."""
    with pytest.raises(UserError, match=f"table.0.{key}: .*which spreadsheets take for a formula"):
        parse(source(**{key: f'"{text}"'}))


@pytest.mark.parametrize("text", ["", "  ", "a\\nb", "a\\tb", "\\u0000", "\\u202Ea", 301 * "x"])
@pytest.mark.parametrize("key", ["network", "source", "checked"])
def test_words_are_one_printable_line(key: str, text: str) -> None:
    with pytest.raises(UserError, match=f"table.0.{key}: .*one line of 1 to 300 printable characters"):
        parse(source(**{key: f'"{text}"'}))


@pytest.mark.parametrize("name", ["", "two words", "=1", "a/b", "../a", "$x$"])
@pytest.mark.parametrize("key", ["method", "target", "family", "setting.network"])
def test_names_are_plain(key: str, name: str) -> None:
    texts = {
        "method": source(NUMBER.replace("magnitude", name)),
        "target": source(NUMBER.replace("cifar10", name)),
        "family": source(family=f'"{name}"'),
        "setting.network": source(setting=f'network = "{name}"'),
    }
    with pytest.raises(UserError, match=f"table.0.*{key}: .*letters, digits, hyphens and underscores"):
        parse(texts[key])


@pytest.mark.parametrize("name", ["$\\\\frac{1$", "<b>&</b>", "a | b", "50 % # _ ^ ~", "`x` [y](z)"])
def test_any_printable_name_comes_through_every_form(name: str, published_beside: Callable[..., Table | None]) -> None:
    table = published_beside(source(network=f'"{name}"'))
    plain = name.replace("\\\\", "\\")
    assert texts(table)[0][3] == plain
    assert table is not None
    written = next(line for line in latex.table(table).splitlines() if line.startswith("magnitude"))
    cells = re.split(r"(?<!\\)&", written)
    assert len(cells) == len(table.columns)
    assert written.isascii() and not re.search(r"(?<!\\)[%#_$|<>]", cells[3])
    written = next(line for line in markdown.table(table).splitlines() if line.startswith("| magnitude"))
    assert len(re.findall(r"(?<!\\)\|", written)) == len(table.columns) + 1


@pytest.mark.parametrize("form", ["md", "latex"])
def test_reports_hold_it_wherever_the_records_lie(
    form: str, real_published: None, make_suite: MakeSuite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The project's own numbers on VGG-19: they travel with the package, and not with a results folder."""
    monkeypatch.chdir(tmp_path)
    suite = make_suite(methods=[{"name": "magnitude", "granularity": "weight"}])
    monkeypatch.setattr(factories.ToyMagnitude, "granularities", frozenset(Granularity))
    elsewhere = Store(tmp_path / "elsewhere")
    for job in suite.jobs("quick", "fp32"):
        elsewhere.put(factories.record(job))
    (path,) = write_report([suite], elsewhere, [form], tmp_path / "out")
    text = path.read_text(encoding="utf-8")
    assert "Published numbers beside ours" in text and "GraNet" in text


def test_the_projects_own_file_holds_what_its_sources_say(real_published: None) -> None:
    sources = published.load()
    found = {
        (n.method, n.target, s.network, n.keep): (n.top1, n.sd)
        for s in sources
        if not s.unverified and s.granularity is Granularity.WEIGHT
        for n in s.numbers
    }
    assert found["grasp", "cifar10", "VGG-19", 0.02] == (92.19, 0.12)
    assert found["synflow", "cifar100", "VGG-16-BN", 0.001] == (41.38, None)
    assert found["grasp", "cifar100", "WRN-18", 0.001] == (13.35, None)
    assert found["snip", "cifar100", "VGG-16-BN", 0.001] == (16.11, None)
    assert found["snip", "cifar100", "VGG-19", 0.02] == (58.46, None)
    assert found["synflow", "cifar10", "ResNet-18", 0.01] == (90.36, 0.30)
    assert found["magnitude", "cifar10", "ResNet-18", 0.03162] == (10.0, None)
    assert {s.family for s in sources} == {"vgg19", "resnet18", None}
    assert not any("rethinking" in s.source for s in sources)


def test_shares_are_one_over_the_speed_up(real_published: None) -> None:
    """Torch-Pruning states 2.12, 2.11 and 8.87 times; MetaPruning states FLOPs before and after."""
    expected = {
        ("magnitude", 92.93): 1 / 2.12,
        ("magnitude", 93.46): 1 / 2.11,
        ("magnitude", 67.6): 1 / 8.87,
        ("metapruning", 66.1): 142 / 569,
        ("metapruning", 68.2): 140 / 585,
        ("metapruning", 75.4): 2.0 / 4.1,
        ("metapruning", 73.4): 1.0 / 4.1,
    }
    own = [(n.method, n.top1, n.keep) for s in published.load() for n in s.numbers if "Flow" not in s.source]
    found = {(method, top1): keep for method, top1, keep in own if (method, top1) in expected}
    assert found == {key: pytest.approx(share, abs=5e-4) for key, share in expected.items()}


def test_every_value_says_whether_it_was_checked(real_published: None) -> None:
    """The repositories could be read; the tables of the GraSP, GraNet and SNIP papers could not."""
    sources = published.load()
    repositories = ("Torch-Pruning", "PruningBench", "Synaptic-Flow", "MetaPruning")
    for each in sources:
        papers = any(paper in each.source for paper in ("GraNet", "SNIP paper", "GraSP p"))
        assert papers != each.source.startswith(repositories)
        if papers:
            assert not each.was_checked or "2606.12278" in each.checked
        else:
            assert each.was_checked


def test_what_differs_in_the_sources_is_named(real_published: None) -> None:
    def differs(method: str, source: str) -> set[str]:
        return {
            s.setting.differs or ""
            for s in published.load()
            if s.source.startswith(source) and s.numbers[0].method == method
        }

    assert all("eval mode" in words and "−0.02 to 0.15" in words for words in differs("grasp", "Synaptic-Flow"))
    assert all("rounding up" in words for words in differs("synflow", "Synaptic-Flow"))
    for method in ("magnitude", "random"):
        assert all("all groups" in words and "10 %" in words for words in differs(method, "PruningBench"))
    assert all("all groups" in w and "batch norm and consumers" in w for w in differs("magnitude", "Torch-Pruning"))
    best = {
        (s.network, s.numbers[0].target)
        for s in published.load()
        if "Flow" in s.source and s.setting.reported == "best"
    }
    assert best == {("VGG-16-BN", "cifar100")}


def test_the_size_of_the_papers_search_is_told_from_the_notes(make_suite: MakeSuite, store: Store) -> None:
    suite = make_suite(methods=["magnitude"], seeds=2)
    notes = {"evaluations": 40, "paper_evaluations": 1000, "paper_search": "50 candidates, 20 iterations"}
    for job, each in zip(suite.jobs("quick", "fp32"), (0.25, 0.75), strict=True):
        store.put(factories.record(job, notes=notes | {"evaluation_s": each}))
    (section,) = suite_sections(suite, store)
    assert (
        "magnitude on cifar10, vgg19 × 0.25: the search at the size of its paper (50 candidates, 20 iterations: up to "
        "1,000 evaluations) would take 500 s at the measured 0.5 s per evaluation; in this preset it took 40 "
        "evaluations and 20.0 s (mean of 2 jobs)."
    ) in section.remarks


def test_notes_without_the_papers_size_say_nothing() -> None:
    record = factories.record(notes={"evaluations": 40, "evaluation_s": 0.5})
    assert paper_sizes([record]) == []


def test_papers_roundings_are_the_same_budget() -> None:
    fields = {
        "source": "x",
        "checked": "z",
        "network": "y",
        "granularity": "weight",
        "kept_of": "weights",
        "start": "random",
    }
    number = {"method": "snip", "target": "cifar10", "keep": 0.03162, "top1": 93}
    whole = Source.model_validate(fields | {"setting": {"network": "vgg19"}, "numbers": (number,)})
    for resource, keep, same in [("weights", 0.03125, True), ("params", 0.03125, False), ("weights", 0.0325, False)]:
        assert same_budget({"resource": resource, "keep": keep}, whole, whole.numbers[0]) is same
