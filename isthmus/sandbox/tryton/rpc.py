"""Tryton's JSON-RPC, as its own clients speak it: a session, models, buttons and wizards.

Source: trytond 8.2, trytond/protocols/dispatcher.py and jsonrpc.py.
"""

from __future__ import annotations

import base64
from datetime import date
from decimal import Decimal
from typing import Any

import httpx

# Of a server on loopback that lives as long as the process that started it, with synthetic data in it.
LOGIN, PASSWORD = "admin", "synthetic-administrator"
DATABASE = "psa"


class Refused(RuntimeError):
    """Tryton refused a call; its words."""


class Office:
    """A session of the administrator."""

    def __init__(self, url: str) -> None:
        """url: of the server, without the database."""
        self._client = httpx.Client(base_url=f"{url}/{DATABASE}", timeout=120, trust_env=False)
        self._headers: dict[str, str] = {}
        self.context: dict[str, Any] = {}
        self._sign_in()
        self.learn()

    def _sign_in(self) -> None:
        self._headers = {}
        user, token, *_ = self._ask("common.db.login", (LOGIN, {"password": PASSWORD}, "en")).json()["result"]
        session = base64.b64encode(f"{LOGIN}:{user}:{token}".encode()).decode()
        self._headers = {"Authorization": f"Session {session}"}

    def learn(self) -> None:
        """The context of the user: its company, once there is one."""
        self.context = self.call("model.res.user.get_preferences", True, {})

    def close(self) -> None:
        """Close what is open towards the server."""
        self._client.close()

    def call(self, method: str, *params: Any) -> Any:
        """The result of a method. Refused with what Tryton says."""
        answer = self._ask(method, params)
        if answer.status_code == 401:  # a session that nothing is asked of ends after some minutes
            self._sign_in()
            answer = self._ask(method, params)
        answer.raise_for_status()
        body = answer.json()
        if isinstance(body, dict) and body.get("error"):
            raise Refused(f"{method}: {body['error']!r:.600}")
        return body["result"] if isinstance(body, dict) and "result" in body else body

    def _ask(self, method: str, params: tuple[Any, ...]) -> httpx.Response:
        asked = {"id": 1, "method": method, "params": params}
        return self._client.post("/rpc/", json=asked, headers=self._headers)

    def on(self, model: str, method: str, *params: Any) -> Any:
        """The result of a method of a model, in the user's context."""
        return self.call(f"model.{model}.{method}", *params, self.context)

    def create(self, model: str, **values: Any) -> int:
        """Make a record; its id."""
        return int(self.on(model, "create", [values])[0])

    def rows(self, model: str, domain: list[Any], *fields: str) -> list[dict[str, Any]]:
        """Records by a domain, by id."""
        found: list[dict[str, Any]] = self.on(model, "search_read", domain, 0, None, [["id", "ASC"]], list(fields))
        return found

    def only(self, model: str, *domain: Any) -> int:
        """The id of the first record of a domain."""
        return int(self.rows(model, list(domain), "id")[0]["id"])

    def wizard(self, name: str, about: tuple[str, int] | None = None) -> Wizard:
        """Begin a wizard. about: model and id of the record it is called on."""
        return Wizard(self, name, about)


class Wizard:
    """A dialogue that the server keeps between calls."""

    def __init__(self, office: Office, name: str, about: tuple[str, int] | None) -> None:
        self._office, self._name = office, f"wizard.{name}"
        self._context = {**office.context}
        if about:
            self._context |= {"active_model": about[0], "active_id": about[1], "active_ids": [about[1]]}
        self._session = office.call(f"{self._name}.create", self._context)[0]

    def go(self, state: str, values: dict[str, Any], following: str) -> dict[str, Any]:
        """Fill in the form of a state and go on to another; what is shown then."""
        filled = {state: values} if state else {}
        shown: dict[str, Any] = self._office.call(
            f"{self._name}.execute", self._session, filled, following, self._context
        )
        return shown

    def end(self) -> None:
        """Leave it."""
        self._office.call(f"{self._name}.delete", self._session, self._context)


def amount(value: Decimal | str | int) -> dict[str, str]:
    """A decimal number in Tryton's typed JSON."""
    return {"__class__": "Decimal", "decimal": str(value)}


def day(value: date | str) -> dict[str, Any]:
    """A day in Tryton's typed JSON."""
    found = value if isinstance(value, date) else date.fromisoformat(value)
    return {"__class__": "date", "year": found.year, "month": found.month, "day": found.day}


def content(text: str) -> dict[str, str]:
    """The content of a file in Tryton's typed JSON."""
    return {"__class__": "bytes", "base64": base64.b64encode(text.encode()).decode()}


def plain(value: Any) -> Any:
    """Typed JSON as plain JSON: numbers and days as text, spans as seconds."""
    if isinstance(value, list):
        return [plain(each) for each in value]
    if not isinstance(value, dict):
        return value
    kind = value.get("__class__")
    if kind == "Decimal":
        return value["decimal"]
    if kind in ("date", "datetime"):
        return f"{value['year']:04}-{value['month']:02}-{value['day']:02}"
    if kind == "timedelta":
        return value["seconds"]
    return {name.rstrip("."): plain(each) for name, each in value.items()}
