import tomllib
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import pytest

from stampbench import registry, suite
from stampbench.contract import Start
from stampbench.data import catalogue
from stampbench.data.catalogue import resolve
from stampbench.errors import DataError, SuiteError, UserError
from stampbench.registry import Registry
from stampbench.running.preparing import method_of
from stampbench.running.pretraining import spec_of
from tests.fixtures import factories
from tests.fixtures.toy_suite import toy_suite

SUITES = sorted((Path(suite.__file__).parents[1] / "suites").glob("*.toml"))
SUITE = toy_suite(budgets="[0.5, 0.25]", seeds=3)


@pytest.fixture
def toy_methods(monkeypatch):
    monkeypatch.setattr(registry, "METHODS", Registry("method", factories.TOY_METHODS))


@pytest.fixture
def load(tmp_path):
    """Loads the toy suite with a piece of its text replaced."""

    def loaded(old: str = "", new: str = "", text: str = SUITE) -> suite.Suite:
        assert old in text
        path = tmp_path / "toy.toml"
        path.write_text(text.replace(old, new) if old else text)
        return suite.load(path)

    return loaded


def refusal(load, old: str, new: str) -> str:
    with pytest.raises((SuiteError, DataError)) as refused:
        load(old, new).jobs("quick", "fp32")
    return str(refused.value)


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ("title =", "titel =", "'title'"),
        ("epochs = 2", "epoch = 2", "'epochs'"),
        ("budgets =", "budget =", "'budgets'"),
        ("[presets.quick.protocol]", "[preset.quick.protocol]", "'presets'"),
        ("random = 0.1", "randon = 0.1", "'random'"),
        ('name = "magnitude", options', 'name = "magnitude", option', "'options'"),
        ("epochs = 1 }", "epochs = 1, image = 5 }", "'images'"),
    ],
)
def test_unknown_keys_are_refused_with_a_suggestion(load, toy_methods, old, new, hint):
    message = refusal(load, old, new)
    assert "toy.toml" in message and f"did you mean {hint}" in message


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("epochs = 2", 'epochs = "two"', "presets.quick.protocol.epochs"),
        ("epochs = 2", "epochs = 0", "presets.quick.protocol.epochs"),
        ("seeds = 3", "seeds = 0", "presets.quick.grid.0.seeds"),
        ("seeds = 3", "seeds = 2.5", "presets.quick.grid.0.seeds"),
        ("seeds = 3", "seeds = []", "presets.quick.grid.0.seeds"),
        ("seeds = 3", "seeds = [0, -3]", "presets.quick.grid.0.seeds.list.1"),
        ("seeds = 3", "seeds = [0, 3, 3]", "3 is named twice"),
        ("width = 0.25", "width = -1", "presets.quick.grid.0.width"),
        ("[0.5, 0.25]", "[]", "presets.quick.grid.0.budgets"),
        ("[0.5, 0.25]", "0.5", "presets.quick.grid.0.budgets"),
        ("threads = 1\n", "", "presets.quick.protocol.threads"),
        ("random = 0.1,", "", "learning_rate.random"),
        ('title = "A toy"', "title = 5", "title"),
    ],
)
def test_wrong_values_are_refused_where_they_are(load, toy_methods, old, new, where):
    message = refusal(load, old, new)
    assert "toy.toml" in message and where in message


@pytest.mark.parametrize(
    ("old", "new", "hint"),
    [
        ('"svhn"', '"svnh"', "did you mean 'svhn'?"),
        ('"vgg19"', '"vgg91"', "did you mean 'vgg19'?"),
        ('"random"]', '"randm"]', "did you mean 'random'?"),
        ('scope = "global"', 'scoop = "global"', "did you mean 'scope'?"),
        ("scope =", "rounds =", "rounds"),
        ('"random"]', '{ name = "random", granularity = "weight" }]', "does not prune with weight granularity"),
        ('"random"]', '{ name = "random", start = "targt" }]', "start"),
    ],
)
def test_unknown_names_are_refused_with_a_suggestion(load, toy_methods, old, new, hint):
    assert hint in refusal(load, old, new)


def test_an_unknown_preset_is_refused_with_a_suggestion(load):
    with pytest.raises(SuiteError, match="did you mean 'quick'"):
        load().jobs("quik", "fp32")


def test_a_start_that_the_method_does_not_have_is_refused(load, toy_methods, monkeypatch):
    monkeypatch.setattr(factories.ToyRandom, "starts", frozenset({Start.RANDOM}))
    message = refusal(load, '"random"]', '{ name = "random", start = "target" }]')
    assert "cannot start from target" in message and "random" in message


def test_files_that_are_not_there_or_no_toml(tmp_path):
    (tmp_path / "cifar.toml").write_text("title = ")
    with pytest.raises(SuiteError, match=r"cifar\.toml"):
        suite.load(tmp_path / "cifer.toml")
    with pytest.raises(SuiteError, match="cannot be read as TOML"):
        suite.load(tmp_path / "cifar.toml")


def test_jobs_are_the_product_with_dense_once_a_seed(load, toy_methods):
    jobs = load().jobs("quick", "fp32")
    cells = {(job.method, job.target, job.budget.keep, job.seed) for job in jobs}
    targets, seeds = ("cifar10", "svhn"), range(3)
    dense = {("dense", target, 1.0, seed) for target in targets for seed in seeds}
    pruned = {
        (method, target, keep, seed)
        for method in ("magnitude", "random")
        for target in targets
        for keep in (0.5, 0.25)
        for seed in seeds
    }
    assert cells == dense | pruned
    assert len(jobs) == len({job.key for job in jobs}) == len(cells)


def test_seeds_may_be_listed(load, toy_methods):
    some = load("seeds = 3", "seeds = [0, 2]").jobs("quick", "fp32")
    assert some == [job for job in load().jobs("quick", "fp32") if job.seed != 1]


def test_jobs_come_seed_by_seed_and_methods_as_listed(load, toy_methods):
    jobs = load().jobs("quick", "fp32")
    assert [job.seed for job in jobs] == sorted(job.seed for job in jobs)
    first = [(job.method, job.budget.keep) for job in jobs if (job.target, job.seed) == ("cifar10", 0)]
    expected = [("dense", 1.0), ("magnitude", 0.5), ("random", 0.5), ("magnitude", 0.25), ("random", 0.25)]
    assert first == expected


def test_grids_that_overlap_share_their_jobs(load, toy_methods):
    grid = SUITE[SUITE.index("[[presets.quick.grid]]") :]
    once, twice = load().jobs("quick", "fp32"), load(text=SUITE + grid).jobs("quick", "fp32")
    assert [job.key for job in once] == [job.key for job in twice]


LISTS = """
[methods]
pruned = [{ name = "magnitude", options = { scope = "global" } }, "random"]

[presets.quick.protocol]"""
WRITTEN = '["dense", { name = "magnitude", options = { scope = "global" } }, "random"]'


@pytest.fixture
def load_lists(load):
    """Loads the toy suite with a named list, and with these rows in its grid and this text at its end."""

    def loaded(rows: str, more: str = "") -> suite.Suite:
        return load(text=SUITE.replace("\n[presets.quick.protocol]", LISTS).replace(WRITTEN, rows) + more)

    return loaded


def test_a_named_list_stands_for_its_rows_in_their_order(load, load_lists, toy_methods):
    for rows, written in (
        ('["dense", "@pruned"]', WRITTEN),
        ('["@pruned", "dense"]', '[{ name = "magnitude", options = { scope = "global" } }, "random", "dense"]'),
        ('["@pruned"]', '[{ name = "magnitude", options = { scope = "global" } }, "random"]'),
    ):
        listed, spelled = load_lists(rows), load(text=SUITE.replace(WRITTEN, written))
        assert [job.key for job in listed.jobs("quick", "fp32")] == [job.key for job in spelled.jobs("quick", "fp32")]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ('["@prund"]', "no list of methods is called 'prund'; did you mean 'pruned'?"),
        ('["@pruned", "random"]', "random is named twice"),
        ('["@pruned", "@pruned"]', "twice"),
    ],
)
def test_lists_that_are_unknown_or_repeat_a_row_are_refused(load_lists, rows, words):
    with pytest.raises(SuiteError) as refused:
        load_lists(rows)
    assert "toy.toml" in str(refused.value) and words in str(refused.value)
    assert len(str(refused.value)) < 400


def test_claims_may_name_a_list_and_are_refused_an_unknown_one(load_lists):
    claim = '\n[[claims]]\ntitle = "It wins"\nsubject = "dense"\nagainst = ["@{}"]\n'
    loaded = load_lists('["dense"]', claim.format("pruned"))
    assert [getattr(row, "name", row) for row in loaded.choices(loaded.claims[0].against)] == ["magnitude", "random"]
    with pytest.raises(SuiteError, match="did you mean 'pruned'"):
        load_lists('["dense"]', claim.format("prune"))


def test_without_lists_a_reference_says_where_to_write_one(load):
    with pytest.raises(SuiteError, match=r"'all'; write it under \[methods\]"):
        load(WRITTEN, '["@all"]')


def test_a_list_of_lists_is_refused(load):
    lists = '[methods]\na = ["random"]\nb = ["@a"]\n\n[presets.quick.protocol]'
    with pytest.raises(SuiteError, match="a list holds methods, not other lists"):
        load("[presets.quick.protocol]", lists)


@pytest.mark.parametrize(
    ("point", "words"),
    [
        ("keep = 0.25, accuracy = 1", "did you mean 'accuracy_of'"),
        ('accuracy_of = "random"', "comparison.keep"),
        ("keep = 25", "comparison.keep"),
    ],
)
def test_mistakes_in_the_comparison_are_explained(load, point, words):
    with pytest.raises(SuiteError, match=words):
        load('title = "A toy"', f'title = "A toy"\ncomparison = {{ {point} }}')


def test_jobs_hold_the_options_that_differ_from_the_defaults(load, toy_methods):
    options = {job.method: job.options for job in load().jobs("quick", "fp32")}
    assert options["magnitude"] == {"scope": "global"}


def test_precision_is_the_machines_unless_the_suite_says(load, toy_methods):
    assert {job.protocol.precision for job in load().jobs("quick", "bf16")} == {"bf16"}
    fixed = load("threads = 1", 'threads = 1\nprecision = "fp32"').jobs("quick", "bf16")
    assert {job.protocol.precision for job in fixed} == {"fp32"}


def test_own_datasets_are_known_to_their_suite_alone(load, toy_methods):
    own = '[datasets.pets]\npath = "pets"\nsize = 32\n\n[presets.quick.protocol]'
    text = SUITE.replace("[presets.quick.protocol]", own).replace('"svhn"', '"pets"')
    assert "pets" in {job.target for job in load(text=text).jobs("quick", "fp32")}
    with pytest.raises(DataError, match="unknown dataset 'pets'"):
        load('"svhn"', '"pets"').jobs("quick", "fp32")


JOINT = """
[[claims]]
title = "On more targets"
subject = "random"
against = ["dense"]
suites = ["other"]
"""


@pytest.mark.parametrize(("preset", "targets"), [("quick", {"cifar100"}), ("more", set())])
def test_a_claim_is_about_the_presets_of_the_same_name_in_the_suites_beside_it(load, tmp_path, preset, targets):
    other = SUITE.replace('["cifar10", "svhn"]', '["cifar100"]').replace("[presets.quick", f"[presets.{preset}")
    (tmp_path / "other.toml").write_text(other)
    joint = load(text=SUITE + JOINT)
    assert {job.target for job in joint.jobs_of_claim(joint.claims[0], "quick", "fp32")} == targets
    assert {job.target for job in joint.jobs("quick", "fp32")} == {"cifar10", "svhn"}


def test_a_claim_about_a_suite_that_is_not_there_is_refused(load):
    with pytest.raises(SuiteError, match=r"no suite file .*other\.toml"):
        load(text=SUITE + JOINT)


def test_there_are_suites():
    assert {"demo", "cifar", "svhn", "cars", "aircraft"} <= {path.stem for path in SUITES}


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_every_suite_of_the_project_loads(path):
    loaded = suite.load(path)
    assert loaded.name == path.stem
    for preset in loaded.presets:
        jobs = loaded.jobs(preset, "fp32")
        assert jobs and len({job.key for job in jobs}) == len(jobs)
        for job in jobs:
            assert resolve(job.target, loaded.datasets)
            method = registry.METHODS.load(job.method)
            assert job.method_version == method.version_with(method.Options.model_validate(job.options))


def test_targets_and_schedules_share_what_is_made_on_the_reference_side_and_schedules_a_search():
    """Or STAMP would be meta-trained for each anew, and schedules would not start from the same weights."""
    made = defaultdict(set)
    for name in ("cifar", "svhn", "cars", "time"):
        for job in suite.load(next(path for path in SUITES if path.stem == name)).jobs("quick", "fp32"):
            if job.network == "vgg19":
                for spec in filter(None, [spec_of(job), *method_of(job).artefacts(job)]):
                    made[spec.kind, spec.dataset, spec.seed].add(spec.digest)
    counts = {key: len(digests) for key, digests in made.items()}
    shared = {("pretrained", "tinyimagenet"), ("meta-trained", "tinyimagenet"), ("pruning-net", "cifar10")}
    assert {counts[*of, seed] for of in shared for seed in range(3)} == {1}
    assert counts["pretrained", "cifar10", 0] == 5


@pytest.mark.parametrize("path", SUITES, ids=lambda path: path.stem)
def test_no_suite_of_the_project_names_a_place_of_some_machine(path):
    datasets = tomllib.loads(path.read_text()).get("datasets", {})
    assert not [own for own in datasets.values() if Path(own["path"]).is_absolute()]


def test_the_registry_suggests_and_says_what_cannot_be_loaded():
    known = Registry("method", {"good": "json:dumps", "gone": "no.such:Thing", "wrong": "json:no_such"})
    assert known.load("good")([1]) == "[1]"
    for name in ("gone", "wrong"):
        with pytest.raises(UserError, match=f"method '{name}' cannot be loaded"):
            known.load(name)
    with pytest.raises(UserError, match="did you mean 'good'"):
        known.load("goood")


def test_another_version_of_a_dataset_makes_the_records_of_all_that_read_it_stale(monkeypatch):
    """STAMP's look at a wrong set reads a dataset that is neither its target nor its reference."""
    ablation = suite.load(next(path for path in SUITES if path.stem == "ablation"))
    before = ablation.jobs("quick", "fp32")
    newer = replace(catalogue.DATASETS["svhn"], version=catalogue.DATASETS["svhn"].version + 1)
    monkeypatch.setitem(catalogue.DATASETS, "svhn", newer)
    pairs = list(zip(before, ablation.jobs("quick", "fp32"), strict=True))
    readers = [old for old, _ in pairs if "svhn" in (old.target, old.options.get("look_at"))]
    assert readers and len(readers) < len(pairs)
    assert [old for old, new in pairs if old.key != new.key] == readers
    assert all(old.identity == new.identity for old, new in pairs)
