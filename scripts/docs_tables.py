"""Write docs/lookup/tables.md: every table of the hub, from the models and their keys in isthmus/store/tables.py.

.venv/bin/python scripts/docs_tables.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import BaseModel

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from isthmus.store.tables import SCHEMA, SPECS, TABLES, Spec  # noqa: E402

PAGE = ROOT / "docs/lookup/tables.md"
HEAD = f"""# Tables

What the hub keeps, one table per object, in the schema `{SCHEMA}` of its database. This page is made by
`scripts/docs_tables.py` from the models; the schema itself is made by the migrations (docs/operate/schema.md).

A column is filled unless it says *may be empty*. Amounts are exact numbers, instants carry a time zone, days do not;
text sorts by code point. A table marked **only grows** refuses every change and removal of a row, and a state moves
only as [states](states.md) allows: triggers guard both, whoever connects.
"""
WORDS = {
    "Text": "text",
    "BigInteger": "whole number",
    "Numeric": "exact number",
    "Date": "day",
    "DateTime": "instant",
    "Boolean": "yes or no",
    "JSONB": "JSON",
}


def page() -> str:
    """The text of the page."""
    index = [f"| [{spec.table}](#{spec.table}) | {_sentence(model)} |" for model, spec in SPECS.items()]
    parts = [HEAD, "\n".join(["| Table | Keeps |", "|---|---|", *index])]
    parts += [_section(model, spec) for model, spec in SPECS.items()]
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _sentence(model: type[BaseModel]) -> str:
    """The first paragraph of the model's docstring, on one line."""
    return " ".join((model.__doc__ or "").split("\n\n")[0].split())


def _section(model: type[BaseModel], spec: Spec) -> str:
    table = TABLES[model]
    facts = [f"Key: {_names(spec.key)}"]
    facts += [f"unique: {_names(group)}" for group in spec.unique]
    facts += [f"indexed: {', then '.join(_names(group) for group in spec.index)}"] if spec.index else []
    facts += [f"guarded states: {_names(spec.tracks)}"] if spec.tracks else []
    text = [f"## {spec.table}", _sentence(model), "; ".join(facts) + "."]
    if spec.growing:
        seal = f", but for {_names(spec.seal)}, set once when the entry is sealed" if spec.seal else ""
        text.append(f"**Only grows**{seal}.")
    rows = [f"| `{column.name}` | {_kind(column)} |" for column in table.columns]
    text.append("\n".join(["| Column | Type |", "|---|---|", *rows]))
    return "\n\n".join(text)


def _names(group: tuple[str, ...]) -> str:
    return " + ".join(f"`{name}`" for name in group)


def _kind(column: sa.Column[Any]) -> str:
    kind = WORDS[type(column.type).__name__]
    numbered = ", numbered by the database" if column.identity is not None else ""
    return kind + numbered + (", may be empty" if column.nullable else "")


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"{PAGE.relative_to(ROOT)}: {len(SPECS)} tables")
