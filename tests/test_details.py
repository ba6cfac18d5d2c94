"""The fields of models in words, and what `list KIND NAME` tells about each thing that has a name."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from stampbench import cli, registry
from stampbench.contract import Options, Start
from stampbench.details import DETAILS
from stampbench.fields import fields_in_words
from stampbench.listing import LISTINGS, Listable


class Inner(BaseModel):
    a: int


class Model(BaseModel):
    must: int
    switch: bool = False
    count: int = Field(3000, ge=1)
    share: float = Field(0.5, gt=0, le=1)
    large: int = Field(128, ge=2, le=2**16)
    name: str = "x"
    scope: Literal["layer", "global"] = "layer"
    maybe: int | None = Field(None, gt=0)
    start: Start | None = None
    budgets: list[Annotated[float, Field(gt=0, le=1)]]
    epochs: list[Annotated[int, Field(gt=0)]] | None = None
    mixed: str | Inner = "y"
    path: Path
    options: dict[str, Any] = Field(default_factory=dict)


def test_fields_are_told_by_type_bounds_and_default():
    assert [tuple(field) for field in fields_in_words(Model)] == [
        ("must", "integer", "required"),
        ("switch", "true or false", "false"),
        ("count", "integer ≥ 1", "3000"),
        ("share", "number > 0, ≤ 1", "0.5"),
        ("large", "integer ≥ 2, ≤ 65,536", "128"),
        ("name", "text", '"x"'),
        ("scope", '"layer" or "global"', '"layer"'),
        ("maybe", "integer > 0", "not given"),
        ("start", '"random", "reference" or "target"', "not given"),
        ("budgets", "list of numbers > 0, ≤ 1", "required"),
        ("epochs", "list of integers > 0", "not given"),
        ("mixed", "text or table", '"y"'),
        ("path", "path", "required"),
        ("options", "table", "{}"),
    ]


@pytest.fixture
def listed(capsys):
    """The printed listing of one kind."""

    def call(*arguments: str) -> str:
        with pytest.raises(SystemExit) as stopped:
            cli.main(["list", *arguments])
        assert not stopped.value.code
        return capsys.readouterr().out

    return call


@pytest.mark.parametrize("name", registry.METHODS.targets())
def test_a_method_is_told_with_its_card_and_every_option(name, listed):
    method, said = registry.METHODS.load(name), listed("methods", name)
    assert method.card.strip() in said and method.default_start in said
    rows = [line.split() for line in said.partition("Options, set by")[2].splitlines()]
    for option, field in method.Options.model_fields.items():
        default = str(field.get_default(call_default_factory=True)).lower()
        (row,) = [row for row in rows if row[:1] == [option]]
        assert row[-1].strip('"') == default
    # Inherited options are explained where they are declared.
    for kind in method.Options.__mro__:
        if issubclass(kind, Options) and kind is not Options:
            assert kind.__doc__.split("\n")[0] in said


def test_a_method_without_options_says_so(listed):
    assert "It has no options." in listed("methods", "dense")


@pytest.mark.parametrize("kind", list(Listable))
def test_everything_that_is_listed_has_details(kind):
    for row in LISTINGS[kind]()[1]:
        details = DETAILS[kind](str(row[0]))
        assert row[0] in details.facts.values()
        assert details.text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["networks", "vgg19"],
            ["stampbench.networks.vgg:vgg19", "VGG-19 with batch norm", "overrides the multiplier"],
        ),
        (["executors", "ray"], ["Ray cluster", "`gpus_per_job`"]),
        (["resources", "latency"], ["Seconds of inference with a batch of 1."]),
        (["datasets", "svhn"], ["73257", "26032", "flipped in training  no", "Netzer"]),
        (["suites", "demo"], ["handwritten digits", "vgg19 × 0.25"]),
    ],
)
def test_others_are_told_by_their_docstrings_and_facts(arguments, words, listed):
    said = listed(*arguments)
    assert all(word in said for word in words)
