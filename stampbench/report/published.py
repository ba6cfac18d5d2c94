"""Published numbers as `published.toml` in this folder states them, and what decides whether ours are comparable."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from stampbench.contract import Granularity, Start
from stampbench.errors import UserError
from stampbench.report.words import resource_label
from stampbench.suite import mistakes

FILE = "published.toml"


def _known_resource(name: str) -> str:
    try:
        resource_label(name)
    except UserError as error:
        raise ValueError(str(error)) from error
    return name


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PublishedSetting(_Part):
    """The setting of a published number, which decides whether ours is comparable; None where the source is silent.

    `network` is a registered name if the paper's network is the same. `reported` says which epoch's accuracy counts:
    the best on test images, the last, or unknown. `differs` says in words what else differs from this project.
    """

    network: str
    width: float | None = Field(None, gt=0)
    epochs: int | None = Field(None, gt=0)
    train_images: int | None = Field(None, gt=0)
    reported: Literal["best", "last", "unknown"] = "unknown"
    differs: str | None = None


class Number(_Part):
    """One top-1 accuracy in percent, with its standard deviation; `keep` is None if the share kept is not stated."""

    method: str
    target: str
    keep: float | None = Field(None, gt=0, le=1)
    top1: float = Field(ge=0, le=100)
    sd: float | None = Field(None, ge=0)


class Source(_Part):
    """The numbers of one source on one network. `family` is the most similar network of this project, if there is one.

    `kept_of` is the resource that a share kept refers to. Numbers that are `second_hand` come from a document that
    quotes the original; numbers that are `unverified` are never printed.
    """

    source: str
    second_hand: bool = False
    unverified: bool = False
    network: str
    family: str | None = None
    granularity: Granularity
    kept_of: Annotated[str, AfterValidator(_known_resource)]
    start: Start
    setting: PublishedSetting
    numbers: tuple[Number, ...] = Field(min_length=1)

    @property
    def citation(self) -> str:
        """The source, marked if its numbers are second-hand."""
        return f"{self.source} (second-hand)" if self.second_hand else self.source


class Published(_Part):
    """The content of the file `published.toml`."""

    table: tuple[Source, ...]


@cache
def load() -> tuple[Source, ...]:
    """Return the sources of the project's own file. Raises `UserError` as `parse` does."""
    return parse((files("stampbench.report") / FILE).read_text(encoding="utf-8"))


def parse(text: str) -> tuple[Source, ...]:
    """Return the sources that the text of a file states. Raises `UserError` that names the mistake in a wrong one."""
    try:
        return Published.model_validate(tomllib.loads(text)).table
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"{FILE} cannot be read as TOML: {error}") from error
    except ValidationError as error:
        models = (Published, Source, PublishedSetting, Number)
        lines = mistakes(error, {field for model in models for field in model.model_fields})
        raise UserError(f"{FILE} is refused; correct it:\n{lines}") from error
