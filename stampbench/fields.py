"""The fields of a pydantic model in words: the type, bounds and default of each, as suite files write them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

REQUIRED, NOT_GIVEN = "required", "not given"
_PLAIN = {bool: "true or false", int: "integer", float: "number", str: "text", Path: "path", Any: "any value"}
# The signs of pydantic's bounds, by the attribute that holds the bound.
_SIGNS = {"gt": ">", "ge": "≥", "lt": "<", "le": "≤"}


class FieldInWords(NamedTuple):
    """A field: its name, its type with its bounds, and its default as TOML, or that it is required."""

    name: str
    type: str
    default: str


def fields_in_words(model: type[BaseModel]) -> list[FieldInWords]:
    """Return the fields of a model in words, in the model's order."""
    return [FieldInWords(name, _type(field), _default(field)) for name, field in model.model_fields.items()]


def _type(field: FieldInfo) -> str:
    return _bounded(_words(field.annotation), field.metadata)


def _words(kind: Any) -> str:
    origin, inner = get_origin(kind), get_args(kind)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if origin is Annotated:
        return _bounded(_words(inner[0]), _metadata(inner[1:]))
    if origin is Literal:
        return _either([_value(value) for value in inner])
    if origin in (Union, UnionType):
        return _either([words for part in inner if part is not NoneType for words in _words(part).split(" or ")])
    if origin is list:
        return "list of " + re.sub("(integer|number|text|table)", r"\1s", _words(inner[0]))
    if origin in (dict, Mapping) or issubclass(kind, BaseModel):
        return "table"
    assert issubclass(kind, Enum), kind
    return _either([_value(member) for member in kind])


def _bounded(words: str, metadata: list[Any]) -> str:
    return " ".join([words, ", ".join(_bounds(metadata))]).rstrip()


def _bounds(metadata: list[Any]) -> Iterator[str]:
    for entry in metadata:
        for attribute, sign in _SIGNS.items():
            if (bound := getattr(entry, attribute, None)) is not None:
                yield f"{sign} {bound:,}"


def _metadata(annotations: tuple[Any, ...]) -> list[Any]:
    """Return what annotates a type, with the bounds of pydantic's `Field` in place of the field."""
    return [entry for part in annotations for entry in (part.metadata if isinstance(part, FieldInfo) else [part])]


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return REQUIRED
    default = field.get_default(call_default_factory=True, validated_data={})
    # TOML has no null: a key without a value is left out.
    return NOT_GIVEN if default is None else _value(default)


def _value(value: Any) -> str:
    """Return a value as TOML writes it."""
    return json.dumps(value.value if isinstance(value, Enum) else value, ensure_ascii=False)
