import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stampbench.job import PROTOCOL_VERSION, ArtefactSpec, Job, LearningRates, Protocol, Reference, Start
from tests.fixtures import factories
from tests.fixtures.examples import examples

OTHER_VALUES = {
    "train_images": st.integers(1, 10**6),
    "validation_images": st.integers(1, 10**6),
    "epochs": st.integers(1, 1000),
    "batch_size": st.integers(2, 4096),
    "learning_rate": st.builds(LearningRates, random=st.floats(0.2, 1), reference=st.just(0.05), target=st.just(0.05)),
    "momentum": st.floats(0, 0.99),
    "weight_decay": st.floats(0, 1),
    "label_smoothing": st.floats(0, 0.99),
    "mode": st.just("fast"),
    "warmup_epochs": st.floats(0, 100),
    "precision": st.sampled_from(["fp32", "bf16"]),
    "threads": st.integers(1, 256),
    "round_to": st.integers(1, 64),
    "floor": st.floats(0, 0.99),
    "head_steps": st.integers(0, 1000),
    "reference": st.builds(
        Reference,
        dataset=st.sampled_from(["a", "b"]),
        epochs=st.integers(1, 99),
        images=st.none() | st.integers(1, 10**6),
        validation_images=st.none() | st.integers(1, 10**6),
    ),
}


def test_every_field_of_the_protocol_is_varied_below():
    assert set(OTHER_VALUES) == set(Protocol.model_fields)


@given(st.data())
def test_every_field_of_the_protocol_changes_the_key(data):
    field = data.draw(st.sampled_from(sorted(OTHER_VALUES)))
    value = data.draw(OTHER_VALUES[field])
    same = getattr(factories.protocol(), field) == value
    changed = factories.job(protocol=factories.protocol(**{field: value}))
    assert (changed.key == factories.job().key) is same


OTHER_FIELDS = [
    {"target": "cifar100"},
    {"network": "resnet18"},
    {"width": 0.5},
    {"method": "random"},
    {"method_version": "2"},
    {"options": {"scope": "global"}},
    {"start": Start.TARGET},
    {"granularity": "weight"},
    {"budget": {"keep": 0.5}},
    {"budget": {"resource": "params", "keep": 0.25}},
    {"seed": 1},
    {"protocol_version": 99},
    {"data_versions": {"cifar10": 2, "tinyimagenet": 1}},
]


def test_every_field_of_the_job_is_varied_here_or_above():
    assert {name for changes in OTHER_FIELDS for name in changes} == set(Job.model_fields) - {"protocol"}


@pytest.mark.parametrize("changes", OTHER_FIELDS, ids=str)
def test_every_field_of_the_job_changes_the_key(changes):
    assert factories.job(**changes).key != factories.job().key


words = st.text("abcé×_", max_size=5)
scalars = st.none() | st.booleans() | st.integers() | words
json_values = scalars | st.lists(scalars, max_size=3) | st.dictionaries(words, scalars, max_size=3)


def reversed_throughout(value):
    if not isinstance(value, dict):
        return value
    return {name: reversed_throughout(inner) for name, inner in reversed(value.items())}


@examples(50)
@given(st.dictionaries(words, json_values, max_size=4))
def test_the_key_does_not_depend_on_the_order_of_options(options):
    assert factories.job(options=options).key == factories.job(options=reversed_throughout(options)).key


def test_the_key_survives_json():
    job = factories.job(options={"b": 1, "a": [0.1, None]})
    shuffled = dict(reversed(json.loads(job.model_dump_json()).items()))
    again = Job.model_validate_json(json.dumps(shuffled))
    assert again == job and again.key == job.key


def test_versions_change_the_key_but_not_the_identity():
    old, new = factories.job(method_version="1"), factories.job(method_version="2")
    assert old.identity == new.identity and old.key != new.key
    assert factories.job(seed=1).identity != old.identity


def test_the_key_is_sha256_of_versions_and_of_what_differs_from_the_defaults():
    """Spelled out by hand: should this ever fail, all stored records are orphans."""
    expected = {
        "budget": {"keep": 0.25},
        "data_versions": {"cifar10": 1, "tinyimagenet": 1},
        "method": "magnitude",
        "method_version": "1",
        "network": "vgg19",
        "protocol": {
            "epochs": 2,
            "learning_rate": {"random": 0.1, "reference": 0.05, "target": 0.05},
            "precision": "fp32",
            "reference": {"dataset": "tinyimagenet", "epochs": 1},
            "threads": 1,
            "train_images": 1000,
            "validation_images": 100,
        },
        "protocol_version": 1,
        "seed": 3,
        "start": "reference",
        "target": "cifar10",
        "width": 0.25,
    }
    text = json.dumps(expected, sort_keys=True, separators=(",", ":"))
    job = factories.job(seed=3, protocol_version=1)
    assert job.key == hashlib.sha256(text.encode()).hexdigest()[:16]
    for name in ("protocol_version", "method_version", "data_versions"):
        del expected[name]
    text = json.dumps(expected, sort_keys=True, separators=(",", ":"))
    assert job.identity == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_whole_numbers_and_enumerations_may_be_written_either_way():
    job = factories.job(width=1.0, budget={"keep": 1.0}, start=Start.TARGET)
    assert factories.job(width=1, budget={"keep": 1}, start="target").key == job.key


def test_keys_are_hexadecimal_and_differ():
    keys = {factories.job(seed=seed, keep=keep).key for seed in range(50) for keep in (0.125, 0.25)}
    assert len(keys) == 100 and all(len(key) == 16 and int(key, 16) >= 0 for key in keys)


@pytest.mark.parametrize("changes", [{"sed": 1}, {"seed": -1}, {"width": 0}, {"budget": {"keep": 1.5}}])
def test_nonsense_is_refused(changes):
    with pytest.raises(ValidationError):
        factories.job(**changes)


def test_learning_rates_belong_to_starts():
    rates = LearningRates(random=0.1, reference=0.2, target=0.3)
    assert [rates.of(start) for start in (Start.RANDOM, Start.REFERENCE, Start.TARGET)] == [0.1, 0.2, 0.3]


def test_the_label_names_what_tells_jobs_apart():
    label = factories.job(seed=3).label
    assert all(part in label for part in ("magnitude", "reference", "cifar10", "vgg19", "0.25", "seed 3"))


def test_what_equals_its_default_is_not_in_the_key_but_versions_always_are():
    job = factories.job()
    assert "batch_size" not in job.canonical["protocol"] and "granularity" not in job.canonical
    assert job.canonical["protocol_version"] == PROTOCOL_VERSION and job.canonical["method_version"] == "1"
    spelled_out = factories.job(protocol=factories.protocol(batch_size=128, mode="strict"))
    assert spelled_out.key == job.key


def test_a_new_field_with_a_default_changes_no_key():
    class LaterProtocol(Protocol):
        colour: str = "blue"

    class LaterJob(Job):
        protocol: LaterProtocol
        shade: int = 3

    job = factories.job()
    later = LaterJob.model_validate(job.model_dump())
    assert later.key == job.key and later.identity == job.identity
    darker = later.model_copy(update={"protocol": later.protocol.model_copy(update={"colour": "red"})})
    assert darker.key != job.key


def test_an_artefact_keeps_its_name_when_a_recipe_is_spelled_out():
    short, full = (
        ArtefactSpec.of(factories.job(protocol=factories.protocol(**changes)), "pretrained", "target", 3)
        for changes in ({}, {"momentum": 0.9, "warmup_epochs": 1.0})
    )
    assert short.digest == full.digest and "momentum" not in short.recipe
    assert short.settings["momentum"] == Protocol.model_fields["momentum"].default
    other = ArtefactSpec.of(factories.job(protocol=factories.protocol(momentum=0.5)), "pretrained", "target", 3)
    assert other.digest != short.digest and other.settings["momentum"] == 0.5


def test_fast_mode_is_in_the_key_and_in_artefacts():
    strict, fast = (factories.job(protocol=factories.protocol(mode=mode)) for mode in ("strict", "fast"))
    assert strict.key == factories.job().key != fast.key
    assert Job.model_validate_json(fast.model_dump_json()) == fast
    specs = [ArtefactSpec.of(job, "pretrained", "reference", 1) for job in (strict, fast)]
    assert [spec.recipe.get("mode") for spec in specs] == [None, "fast"]
