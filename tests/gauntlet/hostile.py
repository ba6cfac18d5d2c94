"""Good content made bad at random: hostile values, keys lost or doubled, bytes cut, flipped or put in."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

from hypothesis import strategies as st


class Raw(str):
    """Text that stands in a file as it is."""


# Values at which parsers, numbers, paths, tables and pages have stumbled; TOML has no null, so there it is no value.
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1.5, 5e-324, 1e308, 1e400, -1e400),
    *(float("nan"), Raw("1" + "0" * 5000), Raw("1" + "0" * 400 + ".5"), Raw("1979-05-27T07:32:00Z"), Raw("0x10")),
    *("", " ", "0", "nan", "true", "\0", "\n", "\t", "\x1b[31m", "\x7f", "\u202e", "\u2028", "é", "e\u0301", "\ufeff"),
    *(
        "x" * 5000,
        "../../escaped",
        "/proc/nothing",
        "~",
        "=1+1",
        "$\\frac{1$",
        "\\input{x}",
        "<script>",
        "[red]",
        "%s{0}",
    ),
    *("😀", Raw('"\\ud800"'), "@all", "dense", "cifar10", "a|b", "a,b;c\r\n"),
    *([], {}, [[]], [None], {"": {}}, {"name": "x"}, [0] * 1000, Raw("[" * 500 + "]" * 500), Raw("{}" * 3)),
]
# A slash could begin a path, and whoever runs the tests may be allowed to write anywhere: /proc alone refuses all.
TEXT = st.text(st.characters(exclude_characters="/"), max_size=20)
ANY = st.sampled_from(VALUES) | TEXT | st.integers() | st.floats()
Path = tuple[str | int, ...]


def places(content: Any, path: Path = ()) -> Iterator[Path]:
    """Yield the path of everything in the content: inner nodes and leaves, but not the root."""
    inside = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in inside:
        yield (*path, key)
        yield from places(value, (*path, key))


def written(value: Any, toml: bool) -> str:
    """Return a value as JSON, or as an inline value of TOML."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Mapping):
        joint = " = " if toml else ": "
        return "{" + ", ".join(f"{json.dumps(key)}{joint}{written(item, toml)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(written(item, toml) for item in value) + "]"
    if isinstance(value, float) and toml:
        return repr(value)
    return json.dumps(value)


def document(content: Mapping[str, Any], toml: bool) -> str:
    """Return a whole file."""
    if not toml:
        return written(content, toml)
    return "".join(f"{json.dumps(key)} = {written(value, toml)}\n" for key, value in content.items())


@st.composite
def mistaken(draw: st.DrawFn, good: Mapping[str, Any], toml: bool) -> bytes:
    """Return the content with one to three values replaced, lost or doubled."""
    content = copy.deepcopy(dict(good))
    for _ in range(draw(st.integers(1, 3))):
        if not (found := list(places(content))):
            break
        *way, last = draw(st.sampled_from(found))
        inside: Any = content
        for step in way:
            inside = inside[step]
        what = draw(st.sampled_from(["replaced", "replaced", "lost", "doubled", "added"]))
        if what == "lost":
            del inside[last]
        elif what == "added" and isinstance(inside, dict):
            inside[draw(TEXT)] = draw(ANY)
        elif what == "doubled" and isinstance(inside, dict):
            again = written({last: draw(ANY)}, toml)[1:-1]
            inside[last] = Raw(f"{written(inside[last], toml)}{', ' if way or not toml else chr(10)}{again}")
        elif what == "doubled":
            inside.append(inside[last])
        else:
            inside[last] = draw(ANY)
    return document(content, toml).encode(errors="surrogatepass")


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """Return the bytes cut short, or with some of them flipped, removed or put in."""
    at = draw(st.integers(0, len(good) - 1))
    what = draw(st.sampled_from(["cut", "flipped", "removed", "put in"]))
    if what == "cut":
        return good[:at]
    if what == "flipped":
        return good[:at] + bytes([good[at] ^ draw(st.integers(1, 255))]) + good[at + 1 :]
    if what == "removed":
        return good[:at] + good[at + draw(st.integers(1, 50)) :]
    return good[:at] + draw(st.binary(min_size=1, max_size=8)) + good[at:]


def bad(good: Mapping[str, Any], toml: bool) -> st.SearchStrategy[bytes]:
    """Return what draws bad files, each from the same good one."""
    return mistaken(good, toml) | damaged(document(good, toml).encode())
