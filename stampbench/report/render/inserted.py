"""Tables inside a document such as docs/results.md, between marks that name the tables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from stampbench.errors import UserError
from stampbench.registry import suggestion
from stampbench.report.model import Table
from stampbench.report.render import markdown

_PLACE = re.compile(r"<!-- table: (?P<name>[A-Za-z0-9.-]+) -->\n.*?<!-- /table -->", re.DOTALL)


def insert(document: str, tables: Iterable[Table]) -> str:
    """Return the document with the table NAME, as it is now, between `<!-- table: NAME -->` and `<!-- /table -->`.

    Raises `UserError` for a name that no table has.
    """
    known: Mapping[str, Table] = {table.name: table for table in tables}

    def filled(place: re.Match[str]) -> str:
        name = place["name"]
        if name not in known:
            raise UserError(f"no table is called {name!r}{suggestion(name, known)}")
        return f"<!-- table: {name} -->\n{markdown.table(known[name])}\n<!-- /table -->"

    return _PLACE.sub(filled, document)
