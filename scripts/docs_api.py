"""Write the list of endpoints in docs/lookup/api.md from the OpenAPI description that the API serves.

.venv/bin/python scripts/docs_api.py
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from fastapi import FastAPI  # noqa: E402

import isthmus.app.api.application  # noqa: E402, F401  (declares every endpoint)
from isthmus.app.api.access import ROUTES  # noqa: E402
from isthmus.app.api.endpoints import add_all  # noqa: E402

PAGE = ROOT / "docs/lookup/api.md"
BEGIN, END = "<!-- endpoints: made by scripts/docs_api.py -->", "<!-- end of endpoints -->"
LAYERS = {
    "system": "System: what the hub holds",
    "process": "Process: what people and systems hand in, start and decide",
    "experience": "Experience: answers across systems",
}
HEAD = """## Every endpoint

Made from `/openapi.json` by `scripts/docs_api.py`. *Asks for* names path and query parameters and fields of the body;
what is in bold is required. Roles and owners: [who may do what](access.md)."""


def described() -> dict[str, Any]:
    """The OpenAPI document of all declared endpoints."""
    app = FastAPI(title="isthmus")
    add_all(app)
    return app.openapi()


def section() -> str:
    """The generated part of the page, markers included."""
    spec = described()
    parts = [BEGIN, HEAD]
    for layer, title in LAYERS.items():
        rows = [_row(spec, route) for route, access in ROUTES.items() if access.layer == layer]
        table = ["| Endpoint | What it does | Asks for | Answers |", "|---|---|---|---|", *rows]
        parts += [f"### {title}", "\n".join(table)]
    return "\n\n".join([*parts, END])


def _row(spec: dict[str, Any], route: str) -> str:
    method, path = route.split(" ")
    told = next(one for name, one in spec["paths"].items() if _plain(name) == path)[method.lower()]
    fields = [_named(p["name"], bool(p.get("required"))) for p in told.get("parameters", []) if p["in"] != "header"]
    fields += _body(spec, told.get("requestBody", {}))
    answers = " or ".join(_answer(status, one) for status, one in told["responses"].items() if status < "300")
    cells = (f"`{route}`", told["summary"], ", ".join(fields) or "nothing", answers)
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _plain(path: str) -> str:
    """An address without its converters: {key:path} is {key}."""
    return path.replace(":path}", "}")


def _named(name: str, required: bool) -> str:
    return f"**`{name}`**" if required else f"`{name}`"


def _body(spec: dict[str, Any], body: dict[str, Any]) -> list[str]:
    """The fields of a JSON body; a file is said to be one."""
    kinds = body.get("content", {})
    if "application/json" not in kinds:
        return ["**the file**"] if "text/csv" in kinds else ["**the message**"] if kinds else []
    schema = kinds["application/json"]["schema"]
    found = spec["components"]["schemas"][schema["$ref"].rsplit("/", 1)[-1]] if "$ref" in schema else schema
    required = set(found.get("required", ()))
    return [_named(name, name in required) for name in found.get("properties", {})]


def _answer(status: str, told: dict[str, Any]) -> str:
    schema = next(iter(told.get("content", {}).values()), {}).get("schema", {})
    name = _schema_name(schema)
    return f"{status} {name}".strip()


def _schema_name(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = str(schema["$ref"].rsplit("/", 1)[-1])
        page = name.removeprefix("Page_").removesuffix("_") if name.startswith("Page_") else ""
        return f"a page of `{page}`" if page else f"`{name}`"
    if schema.get("type") == "array":
        return f"a list of {_schema_name(schema['items'])}"
    return ""


def page() -> str:
    """The text of the page with the generated part as it is now."""
    text = PAGE.read_text(encoding="utf-8")
    if BEGIN not in text:
        return f"{text.rstrip()}\n\n{section()}\n"
    before, rest = text.split(BEGIN, 1)
    return f"{before}{section()}{rest.split(END, 1)[1]}"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {len(ROUTES)} endpoints")
