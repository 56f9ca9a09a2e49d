"""Write docs/lookup/access.md: roles, permissions, queues and routes, from policies/authority.py and app/api/access.py.

.venv/bin/python scripts/docs_access.py
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from isthmus.app.api.access import ROUTES  # noqa: E402
from isthmus.policies.authority import EVERYBODY, PERMISSIONS, QUEUES, ROLES, deciders, matrix  # noqa: E402

PAGE = ROOT / "docs/lookup/access.md"
HEAD = """# Who may do what

One authorisation for API tokens, console sessions and the desk: roles have permissions, a permission is
`object.action`. This page is made by `scripts/docs_access.py` from `isthmus/policies/authority.py` and
`isthmus/app/api/access.py`; `isthmus access` prints the same table, the console shows it under Access.

Three rules come on top:

- **Legal entities.** Whoever is limited to legal entities or regions sees and does nothing in others. What has no legal
  entity yet (an hour on a project nobody knows) is firm-wide.
- **Two persons.** Who prepares never approves, whatever the roles. Money at stake, waivers and write-offs need a second
  person by the case's type and the approval matrix ([the desk](../operate/desk.md)).
- **Need to know.** Cost rates of people are shown only with `cost_rate.read`.

A denied attempt is answered with 403, says what would be needed, and is kept in the audit.
"""


def page() -> str:
    """The text of the page."""
    roles = ["## Roles", _table(("Role", "What for"), [(f"`{role}`", words) for role, words in ROLES.items()])]
    queues = [(f"`{queue}`", ", ".join(sorted(deciders(queue)))) for queue in QUEUES]
    decided = ["## Queues", "A case is decided by the roles of its queue:", _table(("Queue", "Decided by"), queues)]
    rows = [(f"`{name}`", *("●" if cells[role] else "" for role in ROLES)) for name, cells in matrix()]
    cells = ["## Matrix", _table(("", *(f"`{role}`" for role in ROLES)), rows[: len(PERMISSIONS)])]
    return "\n\n".join([HEAD.strip(), *roles, *decided, *cells, *_routes()]) + "\n"


def _routes() -> list[str]:
    rows = [
        (f"`{route}`", one.layer, one.owner, f"`{one.permission}`" if one.permission else "open", _who(route))
        for route, one in ROUTES.items()
    ]
    told = '"Everybody" is every role. "Open" needs no token: the signature of a webhook is its permission; health and'
    return [
        "## API",
        f"{told}\nmetrics hold no names and no amounts.",
        _table(("Endpoint", "Layer", "Owner", "Permission", "Roles"), rows),
    ]


def _who(route: str) -> str:
    roles = ROUTES[route].roles
    return "everybody" if roles == EVERYBODY else ", ".join(sorted(roles))


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE.relative_to(ROOT)}: {len(PERMISSIONS)} permissions, {len(ROUTES)} routes")
