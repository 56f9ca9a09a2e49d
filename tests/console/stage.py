"""A hub with the console in front and people who may log in: what the tests of the console stand on."""

from __future__ import annotations

import re
from typing import Any

import httpx
from fastapi.testclient import TestClient

from isthmus.app.api import create_app
from isthmus.app.console_config import ConsoleConfig, LocalPerson
from isthmus.app.desk_tasks import desk_subscribers
from isthmus.app.firm import FirmConfig
from isthmus.desk.config import desk_config
from isthmus.runtime import outbox
from isthmus.runtime.clock import HandClock, SystemClock
from tests.app.stage import PEOPLE, Stage, firm
from tests.processes.hub import ENTITY

LOCAL = "http://127.0.0.1:8700"
GB01 = ENTITY.model_copy(update={"code": "GB01", "name": "Narrows Ltd", "country": "GB", "functional_currency": "GBP"})
REGIONS = {"AMERICAS": ("US01",), "EMEA": ("GB01",)}
# Beside one person per role: people limited to legal entities or regions.
LIMITED = {
    "ursula": {"roles": ("finance",), "entities": ("US01",)},
    "gus": {"roles": ("finance",), "entities": ("GB01",)},
    "emma": {"roles": ("controller",), "regions": ("EMEA",)},
    "nora": {"roles": ("reader",), "entities": ("GB01",)},
}


def people() -> tuple[LocalPerson, ...]:
    """One per role as for the API, a second of finance, and the limited ones."""
    everybody: dict[str, dict[str, Any]] = {name: {"roles": (role,)} for name, role in PEOPLE.items()}
    everybody |= {"fay": {"roles": ("finance",)}, **LIMITED}
    return tuple(LocalPerson(name=name, password=f"demo:{name}-word", **facts) for name, facts in everybody.items())


def console_firm(**console: Any) -> FirmConfig:
    """The firm of the API's tests with a second legal entity, and people."""
    config = ConsoleConfig(people=people(), **console)
    return firm().model_copy(update={"entities": (ENTITY, GB01), "regions": REGIONS, "console": config})


class ConsoleStage(Stage):
    """The stage of the API with the console, and a clock of the machine that may be moved."""

    def __init__(self, url: str, config: FirmConfig | None = None) -> None:
        super().__init__(url, config or console_firm())
        self.machine = HandClock(SystemClock().now())
        self.app = create_app(self.hub, self.machine)
        self.client = TestClient(self.app, raise_server_exceptions=False)
        self.kernel.subscribers = desk_subscribers(desk_config())

    def visit(self, name: str = "", *, base: str = LOCAL, address: str = "127.0.0.1") -> Visitor:
        """A browser; logged in when somebody is named."""
        visitor = Visitor(self.app, base, address)
        if name:
            assert visitor.log_in(name).status_code == 303
        return visitor

    def hand_on(self) -> None:
        """Events to the desk, and what follows."""
        for name in self.kernel.subscribers:
            while outbox.dispatch(self.kernel, name):
                pass
        self.go()


class Visitor:
    """A browser without scripts: cookies, forms with the page's token."""

    def __init__(self, app: Any, base: str, address: str) -> None:
        self.client = TestClient(
            app, base_url=base, client=(address, 40000), follow_redirects=False, raise_server_exceptions=False
        )
        self.csrf = ""

    def log_in(self, name: str, password: str | None = None, **more: str) -> httpx.Response:
        """By a local account."""
        form = {"name": name, "password": f"{name}-word" if password is None else password, **more}
        answer = self.client.post("/console/login", data=form)
        if answer.status_code == 303:
            self.csrf = token_in(self.get("/console/catalog").text)
        return answer

    def get(self, path: str, **headers: str) -> httpx.Response:
        """A page."""
        return self.client.get(path, headers=headers)

    def post(self, path: str, csrf: str | None = None, **form: str) -> httpx.Response:
        """A form of a page."""
        return self.client.post(path, data={"csrf": self.csrf if csrf is None else csrf, **form})


def token_in(page: str) -> str:
    """The session's token as its pages carry it."""
    found = re.search(r'name="csrf" value="([^"]+)"', page)
    assert found, page[:400]
    return found[1]


def text_of(page: str) -> str:
    """What people read of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)).strip()
