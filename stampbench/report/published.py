"""Published numbers as `published.toml` in this folder states them, and what decides whether ours are comparable."""

from __future__ import annotations

import re
import tomllib
from collections import Counter
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)

from stampbench.contract import Granularity, Start
from stampbench.errors import UserError
from stampbench.mistakes import mistakes
from stampbench.report.words import resource_label

FILE = "published.toml"
UNCHECKED = "no"
LONGEST = 300


def _known_resource(name: str) -> str:
    try:
        resource_label(name)
    except UserError as error:
        raise ValueError(str(error)) from error
    return name


def _words(text: str) -> str:
    """Return the text if every table can show it: one printable line that no spreadsheet takes for a formula."""
    if not text.strip() or len(text) > LONGEST or not text.isprintable():
        raise ValueError(f"write one line of 1 to {LONGEST} printable characters")
    if text.startswith(("=", "+", "-", "@")):
        raise ValueError(f"it may not begin with {text[0]!r}, which spreadsheets take for a formula")
    return text


def _name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", text):
        raise ValueError("a name has letters, digits, hyphens and underscores")
    return text


def _checked(text: str) -> str:
    if text != UNCHECKED and text.strip().lower() in {"no", "yes", "true", "false", "none", "unknown"}:
        raise ValueError(f"say what the values were checked against, or {UNCHECKED!r}")
    return text


Words = Annotated[str, AfterValidator(_words)]
Name = Annotated[str, AfterValidator(_name)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PublishedSetting(_Part):
    """The setting of a published number, which decides whether ours is comparable; None where the source is silent.

    `network` is a registered name if the paper's network is the same. `reported` says which epoch's accuracy counts:
    the best on test images, the last, or unknown. `differs` says in words what else differs from this project.
    """

    network: Name
    width: float | None = Field(None, gt=0, le=64, strict=True)
    epochs: StrictInt | None = Field(None, gt=0, le=100_000)
    train_images: StrictInt | None = Field(None, gt=0, le=10**10)
    reported: Literal["best", "last", "unknown"] = "unknown"
    differs: Words | None = None


class Number(_Part):
    """One top-1 accuracy in percent, with its standard deviation; `keep` is None if the share kept is not stated.

    `decimals` is the number of decimals that the accuracy is known to.
    """

    method: Name
    target: Name
    keep: float | None = Field(None, gt=0, le=1, strict=True)
    top1: float = Field(ge=0, le=100, strict=True)
    decimals: StrictInt = Field(2, ge=1, le=2)
    sd: float | None = Field(None, ge=0, le=100, strict=True)


class Source(_Part):
    """The numbers of one source on one network. `family` is the most similar network of this project, if there is one.

    `kept_of` is the resource that a share kept refers to. `checked` says what every value was compared with, or "no" if
    there was nothing to compare it with. Numbers that are `second_hand` come from a document that quotes the original;
    numbers that are `unverified` are never printed.
    """

    source: Words
    checked: Annotated[Words, AfterValidator(_checked)]
    second_hand: StrictBool = False
    unverified: StrictBool = False
    network: Words
    family: Name | None = None
    granularity: Granularity
    kept_of: Annotated[str, AfterValidator(_known_resource)]
    start: Start
    setting: PublishedSetting
    numbers: tuple[Number, ...]

    @field_validator("numbers")
    @classmethod
    def _some(cls, numbers: tuple[Number, ...]) -> tuple[Number, ...]:
        if not numbers:
            raise ValueError("there must be at least one number")
        return numbers

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.unverified and self.was_checked:
            raise ValueError(f"numbers that are unverified cannot have been checked; write checked = {UNCHECKED!r}")
        return self

    @property
    def was_checked(self) -> bool:
        """Whether the values were compared with their source."""
        return self.checked != UNCHECKED

    @property
    def citation(self) -> str:
        """The source, marked if its numbers are second-hand."""
        return f"{self.source} (second-hand)" if self.second_hand else self.source


class Published(_Part):
    """The content of the file `published.toml`."""

    table: tuple[Source, ...]

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        """Refuse a number that one source states twice; without a share kept, two may belong to different shares."""
        stated = Counter(
            (source.source, source.network, source.granularity.value, n.method, n.target, n.keep)
            for source in self.table
            for n in source.numbers
            if n.keep is not None
        )
        if twice := [key for key, count in stated.items() if count > 1]:
            raise ValueError(f"stated twice: {', '.join(str(part) for part in twice[0])}; remove one of the two")
        return self


@cache
def load() -> tuple[Source, ...]:
    """Return the sources of the project's own file. Raises `UserError` if it cannot be read, and as `parse` does."""
    try:
        text = (files("stampbench.report") / FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{FILE} cannot be read, so install stampbench again: {error}") from error
    return parse(text)


def parse(text: str) -> tuple[Source, ...]:
    """Return the sources that the text of a file states. Raises `UserError` that names the mistake in a wrong one."""
    try:
        content = tomllib.loads(text)
    except RecursionError as error:
        raise UserError(f"{FILE} cannot be read as TOML: it is nested too deep") from error
    except ValueError as error:
        raise UserError(f"{FILE} cannot be read as TOML: {error}") from error
    try:
        return Published.model_validate(content).table
    except ValidationError as error:
        models = (Published, Source, PublishedSetting, Number)
        lines = mistakes(error, {field for model in models for field in model.model_fields})
        raise UserError(f"{FILE} is refused; correct it:\n{lines}") from error
