"""Checks a firm folder as a whole: every problem at once, with its file, line and place. Changes nothing.

Structure first; then what only the connectors know: ports they can fill, auth kinds, settings, credentials. A reference
that cannot be read here (another machine's environment) is a warning, unless the check is strict.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ValidationError

from isthmus.app.connecting.found import connector_class
from isthmus.app.firm import FILES, Caller, ConnectionConfig, FirmConfig, PaceConfig
from isthmus.domain.errors import BadInput, IsthmusError, NeedsSetup
from isthmus.domain.money import can_bill_in
from isthmus.domain.objects import LegalEntity
from isthmus.kit.connector import Connector, missing_verbs
from isthmus.kit.references import SEALED, read_secret
from isthmus.policies.approvals import check_matrix
from isthmus.policies.authority import EVERYBODY, ROLES
from isthmus.policies.ownership import OwnershipRule
from isthmus.ports import NEEDED_PORTS, PORTS
from isthmus.runtime.gate import Gate

HOMES = {
    "name": "firm.toml",
    "entities": "firm.toml",
    "pace": "firm.toml",
    "connections": "connections.toml",
    "callers": "access.toml",
    "ownership": "ownership.toml",
    "regions": "firm.toml",
    "console": "access.toml",
    "desk": "desk.toml",
}
LISTS: dict[str, tuple[type[BaseModel], str]] = {
    "entities": (LegalEntity, "code"),
    "connections": (ConnectionConfig, "name"),
    "callers": (Caller, "name"),
    "ownership": (OwnershipRule, "object"),
}
# What each auth kind cannot do without; a test holds this against kit.auth.
CREDENTIALS_NEEDED = {
    "api_key": ("api_key",),
    "bearer": ("token",),
    "basic": ("username", "password"),
    "client_assertion": ("client_id", "certificate", "private_key"),
    "client_credentials": ("client_id", "client_secret"),
    "jwt_bearer": ("consumer_key", "username", "private_key"),
    "m2m": ("client_id", "certificate_id", "private_key"),
    "refresh_token": ("client_id", "client_secret", "refresh_token"),
    "tba": ("account", "consumer_key", "consumer_secret", "token_id", "token_secret"),
}
CREDENTIALS_OPTIONAL = ("algorithm", "audience", "token_url")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong. line is 0 where it is about the whole file."""

    file: str
    line: int
    place: str
    text: str
    level: Literal["error", "warning"] = "error"

    @property
    def told(self) -> str:
        """File, line, place and what is wrong, as compilers say it."""
        where = f"{self.file}:{self.line}" if self.line else self.file
        return f"{where}: {self.place}: {self.text}" if self.place else f"{where}: {self.text}"

    def as_dict(self) -> dict[str, Any]:
        """For machines."""
        return asdict(self)


def check(folder: Path, *, strict: bool = False) -> tuple[FirmConfig | None, list[Problem]]:
    """The firm, when it can be used, and all problems. Only errors make it unusable."""
    return _Check(folder, strict).run()


class _Check:
    def __init__(self, folder: Path, strict: bool) -> None:
        self.folder = folder
        self.strict = strict
        self.texts: dict[str, str] = {}
        self.file_of: dict[str, str] = {}
        self.problems: list[Problem] = []

    def run(self) -> tuple[FirmConfig | None, list[Problem]]:
        if not (self.folder / "firm.toml").exists():
            raise BadInput(
                f"{self.folder} is no firm folder: firm.toml is missing; 'isthmus init DIR' writes a new one"
            )
        content = self._read()
        made = {key: self._valid(content, key, model) for key, (model, _) in LISTS.items()}
        firm = self._structure(content, made)
        for at, entity in made["entities"]:
            self._entity(at, entity)
        owners = {rule.owner for rule in Gate(rule for _, rule in made["ownership"]).rules}
        for at, connection in made["connections"]:
            self._connection(at, connection, owners)
        for at, caller in made["callers"]:
            self._caller(at, caller)
            self._writer("callers", at, caller.writes_as, owners)
        if firm is not None:
            self._whole(firm)
        self.problems.sort(key=lambda p: (FILES.index(p.file) if p.file in FILES else 9, p.line, p.place))
        broken = any(problem.level == "error" for problem in self.problems)
        return (None if broken else firm), self.problems

    # -- reading -----------------------------------------------------------------------------------------------
    def _read(self) -> dict[str, Any]:
        content: dict[str, Any] = {}
        for name in FILES:
            path = self.folder / name
            if not path.exists():
                continue
            try:
                self.texts[name] = path.read_text(encoding="utf-8")
                parsed = tomllib.loads(self.texts[name])
            except tomllib.TOMLDecodeError as wrong:
                line = re.search(r"at line (\d+)", str(wrong))
                self.problems.append(Problem(name, int(line[1]) if line else 0, "", str(wrong)))
                continue
            except (OSError, UnicodeDecodeError) as wrong:
                self.problems.append(Problem(name, 0, "", f"cannot be read: {wrong}"))
                continue
            for key, value in parsed.items():
                if key in content:
                    self._add(key, f"is in {self.file_of[key]} and in {name}: keep one", file=name)
                self.file_of.setdefault(key, name)
                content.setdefault(key, value)
        return content

    def _add(self, key: str, text: str, *loc: int | str, level: str = "error", file: str = "") -> None:
        file = file or self.file_of.get(key, HOMES.get(key, "firm.toml"))
        place, line = self._place(file, key, loc)
        self.problems.append(Problem(file, line, place, text, "warning" if level == "warning" else "error"))

    def _place(self, file: str, key: str, loc: tuple[int | str, ...]) -> tuple[str, int]:
        """(place in words, line): the nth [[key]] table, and the key in it when it can be seen."""
        lines, start, end = self.texts.get(file, "").splitlines(), 0, None
        name = key
        if loc and isinstance(loc[0], int):
            heads = [n for n, line in enumerate(lines) if re.match(rf"\s*\[\[\s*{re.escape(key)}\s*\]\]", line)]
            if loc[0] < len(heads):
                start, end = heads[loc[0]], [*heads, len(lines)][loc[0] + 1]
            name = f"{key}[{loc[0] + 1}]{self._called(key, lines[start:end])}"
        found = start + 1 if end is not None else 0
        for word in (key, *(str(p) for p in loc)):
            pattern = rf'\s*(\[?[\w."]*\b)?"?{re.escape(word)}"?\b[\w."]*\s*(=|\])'
            hits = [n for n in range(start, len(lines) if end is None else end) if re.match(pattern, lines[n])]
            found = hits[0] + 1 if hits else found
        rest = [str(part) for part in (loc[1:] if loc and isinstance(loc[0], int) else loc)]
        return ".".join([name, *rest]), found

    @staticmethod
    def _called(key: str, lines: list[str]) -> str:
        known = LISTS.get(key)
        pattern = rf"""\s*{known[1]}\s*=\s*["']([^"']*)["']""" if known else r"(?!)"
        names = [found[1] for line in lines if (found := re.match(pattern, line))]
        return f" ({names[0]})" if names else ""

    # -- structure ---------------------------------------------------------------------------------------------
    def _structure(self, content: dict[str, Any], made: dict[str, list[tuple[int, Any]]]) -> FirmConfig | None:
        try:
            return FirmConfig.model_validate(content)
        except ValidationError as wrong:
            fields = [error for error in wrong.errors() if error["loc"]]
            for error in fields:
                self._add(str(error["loc"][0]), _in_words(error, str(error["loc"][0])), *error["loc"][1:])
            right = {key: tuple(part for _, part in parts) for key, parts in made.items()}
            broken_entity = any(error["loc"][0] == "entities" for error in fields)
            for told in _disagreements({"name": "", **right} if fields else content):
                if not (broken_entity and told.endswith("which is no entity")):  # it may be the broken one
                    self._whole_problem(told)
        except IsthmusError as wrong:
            self._whole_problem(wrong.message)
        return None

    def _whole_problem(self, told: str) -> None:
        for key in ("connections", "entities", "callers"):
            if told.startswith({"entities": "entity ", "callers": "caller "}.get(key, "\0")):
                self._add(key, told)
                return
        self._add("connections", told)

    @staticmethod
    def _valid(content: dict[str, Any], key: str, model: type[BaseModel]) -> list[tuple[int, Any]]:
        """(place, object) of the tables that are right by themselves, so that they are checked further."""
        made = []
        tables = content.get(key, [])
        for at, row in enumerate(tables if isinstance(tables, list) else []):
            try:
                made.append((at, model.model_validate(row)))
            except (ValidationError, IsthmusError):
                continue  # told by _structure
        return made

    # -- what the parts mean -----------------------------------------------------------------------------------
    def _entity(self, at: int, entity: LegalEntity) -> None:
        for code in {entity.functional_currency, *entity.currencies}:
            if not can_bill_in(code):
                self._add("entities", f"{code!r} is no currency one can bill in (ISO 4217)", at, "currencies")
        if entity.functional_currency not in entity.currencies:
            told = f"bills in {', '.join(entity.currencies) or 'nothing'}, not in its own {entity.functional_currency}"
            self._add("entities", told, at, "currencies", level="warning")
        try:
            ZoneInfo(entity.time_zone)
        except (KeyError, ValueError, OSError):
            told = f"{entity.time_zone!r} is no time zone: write one such as America/New_York"
            self._add("entities", told, at, "time_zone")
        if not re.fullmatch(r"[A-Z]{2}", entity.country):
            self._add("entities", f"{entity.country!r} is no ISO 3166 country code such as US", at, "country")
        for term in sorted(set(entity.payment_days) - set(entity.payment_terms)):
            self._add("entities", f"{term} is not among its payment_terms", at, "payment_days")
        for term in sorted(set(entity.payment_terms) - set(entity.payment_days)):
            self._add("entities", f"{term} has no payment_days: nobody knows when it is due", at, "payment_days")
        for name in ("invoice_approval_limit", "payment_tolerance"):
            if getattr(entity, name) < 0:
                self._add("entities", "cannot be negative", at, name)
        for name in ("days_ahead", "bad_debt_relief_months"):
            if (getattr(entity, name) or 0) < 0:
                self._add("entities", "cannot be negative", at, name)
        for row in entity.approval_matrix:
            if row.role not in EVERYBODY:
                self._add("entities", f"{row.role!r} is no role of this hub", at, "approval_matrix")
        for told in check_matrix(entity.approval_matrix):
            self._add("entities", told, at, "approval_matrix")

    def _caller(self, at: int, caller: Caller) -> None:
        self._reference("callers", at, "token", caller.token)
        for role in caller.roles:
            if role not in ROLES:
                self._add("callers", f"there is no role {role!r}; there are: {', '.join(ROLES)}", at, "roles")
        if caller.requests_per_minute < 1:
            self._add("callers", "must be at least 1", at, "requests_per_minute")

    def _connection(self, at: int, config: ConnectionConfig, owners: set[str]) -> None:
        self._address(at, config)
        self._writer("connections", at, config.writes_as, owners)
        for name, reference in config.secrets.items():
            self._reference("connections", at, f"secrets.{name}", reference)
        self._reference("connections", at, "webhook_secret", config.webhook_secret)
        if config.ca_file and not Path(config.ca_file).is_file():
            self._add("connections", f"{config.ca_file} is not there", at, "ca_file", level=self._elsewhere)
        if config.sweep_seconds <= 0:
            self._add("connections", "must be more than 0", at, "sweep_seconds")
        try:
            kind = connector_class(config.connector)
        except NeedsSetup as unknown:
            self._add("connections", unknown.message, at, "connector")
            return
        for text, name, level in _against_connector(kind, config):
            self._add("connections", text, at, name, level=level)

    @property
    def _elsewhere(self) -> str:
        return "error" if self.strict else "warning"

    def _address(self, at: int, config: ConnectionConfig) -> None:
        parts = urlsplit(config.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "{" in config.base_url:
            self._add("connections", f"{config.base_url!r} is no address such as https://host/path", at, "base_url")
        elif parts.hostname not in LOOPBACK:
            if parts.scheme == "http":
                self._add("connections", "credentials would travel unencrypted: use https", at, "base_url")
            for name, reference in config.secrets.items():
                if reference.startswith("demo:"):
                    told = "is synthetic (demo:) but the address is not on this machine"
                    self._add("connections", told, at, f"secrets.{name}")

    def _reference(self, key: str, at: int, name: str, reference: str) -> None:
        if not reference or reference.startswith(f"{SEALED}:"):
            return  # what is sealed is in the hub's database, which a check of the folder does not open
        try:
            read_secret(reference)
        except NeedsSetup as missing:
            self._add(key, missing.message, at, *name.split("."), level=self._elsewhere)

    def _writer(self, key: str, at: int, writes_as: str, owners: set[str]) -> None:
        if writes_as and writes_as not in owners:
            told = f"{writes_as!r} owns nothing by the ownership rules; owners: {', '.join(sorted(owners))}"
            self._add(key, told, at, "writes_as")

    def _whole(self, firm: FirmConfig) -> None:
        if not firm.entities:
            self._add("entities", "a firm has at least one legal entity")
        for entity in firm.entities:
            served = {p for c in firm.connections for p in c.fills if not c.entities or entity.code in c.entities}
            own_rates = {"TaxEngine"} if entity.tax_rates else set()  # the hub works its tax out itself
            for port in sorted(NEEDED_PORTS - served - own_rates):
                told = f"nothing fills {port} for {entity.code}: its runs will stop at the first step that needs it"
                self._add("connections", told, level="warning")
        if not firm.callers:
            self._add("callers", "nobody may call the API", level="warning")
        for name in PaceConfig.model_fields:
            if getattr(firm.pace, name) <= 0:
                self._add("pace", "must be more than 0", name)


def _disagreements(content: dict[str, Any]) -> list[str]:
    """What does not hang together between parts that are right by themselves."""
    try:
        FirmConfig.model_validate(content)
    except ValidationError as wrong:
        return [told for e in wrong.errors() for told in e["msg"].removeprefix("Value error, ").split("; ")]
    return []


def _in_words(error: Any, section: str) -> str:
    """A validation error as a person would say it."""
    kind, given = error["type"], error.get("input")
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        model = LISTS[section][0] if section in LISTS else PaceConfig if section == "pace" else FirmConfig
        return f"is unknown; known: {', '.join(model.model_fields)}"
    told = str(error["msg"]).removeprefix("Value error, ")
    secret = "secret" in error["loc"] or "secrets" in error["loc"] or "token" in error["loc"]
    return told if secret or not isinstance(given, str | int | float) else f"{told} (it says {given!r})"


def _against_connector(kind: type[Connector], config: ConnectionConfig) -> Iterator[tuple[str, str, str]]:
    """(what is wrong, at which key, level) of a connection by what its connector says of itself."""
    manifest = kind.read_manifest()
    for port in config.fills:
        if port in PORTS and port not in manifest.system.ports:
            yield f"{config.connector} does not fill {port}; it fills {', '.join(manifest.system.ports)}", "fills", ""
        elif port in PORTS and (missing := missing_verbs(kind, port)):
            yield f"{config.connector} as {port} does not offer {', '.join(missing)}", "fills", ""
    if config.auth not in manifest.auth.kinds:
        yield (
            f"{config.connector} does not offer {config.auth!r}; it offers {', '.join(manifest.auth.kinds)}",
            "auth",
            "",
        )
    for name in CREDENTIALS_NEEDED.get(config.auth, ()):
        if name not in config.secrets:
            yield f"{config.auth} needs the credential {name}", "secrets", ""
    for name in sorted(
        set(config.secrets) - {*manifest.auth.credentials, *manifest.auth.optional, *CREDENTIALS_OPTIONAL}
    ):
        known = ", ".join(manifest.auth.credentials)
        yield f"{config.connector} knows no credential {name}; it knows {known}", "secrets", "warning"
    try:
        kind(config.settings)
    except NeedsSetup as wrong:
        yield wrong.message, "settings", ""
