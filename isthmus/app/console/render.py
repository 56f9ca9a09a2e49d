"""Pages from templates: money, times and states as finance reads them, the same everywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from isthmus import __version__
from isthmus.app.bootstrap import Hub
from isthmus.app.connecting.found import OURS, connector_class
from isthmus.app.console.pages import Look
from isthmus.app.console.why import told
from isthmus.desk.forms import words as label
from isthmus.desk.types import type_of
from isthmus.policies.authority import PERMISSIONS
from isthmus.store.desk_records import Session

THEMES = ("auto", "light", "dark")
THEME_COOKIE = "isthmus_theme"
# title, address, permission, key to go there, icon
NAVIGATION = (
    ("Today", "/console/", "figures.read", "t", "today"),
    ("Cases", "/console/cases", "case.read", "c", "cases"),
    ("Engagements", "/console/engagements", "contract.read", "e", "engagements"),
    ("Invoices", "/console/invoices", "invoice.read", "i", "invoices"),
    ("Runs", "/console/runs", "run.read", "r", "runs"),
    ("Connections", "/console/connections", "connection.read", "n", "connections"),
    ("Rules", "/console/rules", "case.read", "l", "rules"),
    ("Catalog", "/console/catalog", "catalog.read", "g", "catalog"),
    ("Access", "/console/access", "access.read", "s", "access"),
    ("Audit", "/console/audit", "audit.read", "a", "audit"),
)
# State -> tone of its badge. A state that is not here is plain.
TONES = {
    "good": "done active posted paid invoiced approved committed sent resolved found resent carried_out ready_ ok",
    "warn": "waiting parked held deferred over_cap in_review posting partially_paid previewed proposed high paused"
    " in_doubt requested validating provisioning pending",
    "bad": "failed rejected refused critical overdue written_off credited declined",
    "info": "ready on_draft drafted queued running calculated open draft issued intended previewing normal not_sent"
    " not_posted",
}
PORT_NAMES = {
    "Crm": "CRM",
    "Delivery": "Delivery tool",
    "DisputeBoard": "PSA",
    "Erp": "ERP",
    "Esign": "E-signature",
    "ExpenseSource": "Expenses",
    "JournalBook": "ERP",
    "Psa": "PSA",
    "RateBook": "PSA",
    "ReceivableList": "ERP",
    "ScheduleBook": "ERP",
    "TaxEngine": "Tax engine",
    "TimeSource": "PSA",
    "VendorBillBook": "ERP",
}
# What a connection is asked for, where its port is not a system of its own.
FILLS = {
    "Delivery": "delivery",
    "DisputeBoard": "disputes",
    "ExpenseSource": "expenses",
    "JournalBook": "journals",
    "RateBook": "rates",
    "ReceivableList": "receivables",
    "ScheduleBook": "billing schedule",
    "TimeSource": "approved time",
    "VendorBillBook": "suppliers' bills",
}
TONE_OF = {state: tone for tone, states in TONES.items() for state in states.split()}


@cache
def environment() -> Environment:
    """The templates, with what they may use."""
    made = Environment(
        loader=PackageLoader("isthmus.app.console"),
        autoescape=select_autoescape(),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "money": money,
        "amount": amount,
        "when": when,
        "day": day,
        "words": words,
        "figure": figure,
        "plain": plain,
        "verb": verb,
        "system": system,
        "port": lambda name: PORT_NAMES.get(name, name),
        "fills": lambda port: FILLS.get(port) or PORT_NAMES.get(port, port),
        "path": lambda path: label(str(path).removeprefix("dimensions.")),
        "person": lambda name: str(name).partition("@")[0],
        "trace": told,
        "tone": lambda state: TONE_OF.get(str(state), "plain"),
        "kind": lambda exception: type_of(exception),
        "chart": lambda facts: json.dumps(facts, default=str),
        "plural": plural,
    }
    return made


def render(request: Request, template: str, facts: dict[str, Any], *, status: int = 200) -> Response:
    """A page for anybody, such as the door."""
    hub: Hub = request.app.state.hub
    common: dict[str, Any] = {
        "theme": theme_of(request),
        "version": __version__,
        "firm": hub.firm.name,
        "session": None,
        "csrf": "",
        "path": request.url.path,
        "navigation": [],
    }
    return HTMLResponse(environment().get_template(template).render(**{**common, **facts}), status)


def show(look: Look, template: str, facts: Mapping[str, Any], *, status: int = 200) -> Response:
    """A page, or the part of it that htmx asks for: templates decide by ``partial``."""
    session: Session = look.session
    now = look.hub.kernel.clock.now()
    common = {
        "theme": theme_of(look.request),
        "version": __version__,
        "firm": look.hub.firm.name,
        "session": session,
        "actor": look.actor,
        "csrf": session.csrf,
        "path": look.request.url.path,
        "partial": look.partial,
        "now": now,
        "ago": lambda instant: ago(instant, now),
        "may": look.may,
        "desk": look.hub.desk,
        "navigation": [
            {"title": title, "href": href, "key": key, "icon": icon, "here": _is_here(look.request.url.path, href)}
            for title, href, permission, key, icon in NAVIGATION
            if look.actor.may(permission)
        ],
    }
    return HTMLResponse(environment().get_template(template).render(**{**common, **facts}), status)


def _is_here(path: str, href: str) -> bool:
    return path == href or (href != "/console/" and path.startswith(f"{href}"))


def theme_of(request: Request) -> str:
    """light, dark, or auto: as the reader's machine has it."""
    wanted = request.cookies.get(THEME_COOKIE, "auto")
    return wanted if wanted in THEMES else "auto"


# -- as finance reads it ------------------------------------------------------------------------------------------


def amount(value: Any) -> str:
    """An amount with thousands apart; a dash for none."""
    if value is None or value == "":
        return "–"
    return f"{Decimal(str(value)):,}".replace("-", "−")


def figure(value: Any) -> str:
    """A quantity or price: thousands apart, two decimals, more only where there are more."""
    if value is None or value == "":
        return "–"
    exact = Decimal(str(value)).normalize()
    places = max(2, -int(exact.as_tuple().exponent))
    return f"{exact:,.{places}f}".replace("-", "−")


def verb(name: str) -> str:
    """Erp.post_invoice as 'ERP: post invoice'."""
    port, _, act = name.partition(".")
    return f"{PORT_NAMES.get(port, port)}: {words(act)}"


def plain(case: Any) -> str:
    """Why a case is there, without addresses and codes: another system's own words where it has refused."""
    said, who = case.context.get("words"), case.context.get("system")
    return f"{system(who) if who else 'It'} says: {said}" if said else str(case.cause)


@cache
def _vendors() -> dict[str, str]:
    return {name: connector_class(name).read_manifest().system.vendor for name in OURS}


def system(name: Any) -> str:
    """A connection as its vendor writes itself: netsuite as NetSuite; one that is called otherwise, by its own name."""
    known = str(name)
    vendor = _vendors().get(known, "")
    at = vendor.casefold().find(known.casefold())
    own = PORT_NAMES.get(known.capitalize()) or known[:1].upper() + known[1:]
    return vendor[at : at + len(known)] if at >= 0 else vendor or own


def money(value: Any, currency: str = "") -> Markup:
    """An amount and its currency; the currency quieter."""
    told = amount(value)
    if told == "–" or not currency:
        return Markup('<span class="money">{}</span>').format(told)
    return Markup('<span class="money">{} <span class="ccy">{}</span></span>').format(told, currency)


def when(instant: datetime | None) -> Markup:
    """An instant in UTC, for machines too."""
    if instant is None:
        return Markup("–")
    shown = f"{instant.astimezone(UTC):%-d %b %Y, %H:%M}"
    return Markup('<time datetime="{}">{}</time>').format(instant.isoformat(), shown)


def day(value: date | None) -> str:
    """A calendar day."""
    return f"{value:%-d %b %Y}" if value else "–"


def ago(instant: datetime | None, now: datetime) -> Markup:
    """How long ago, or how far ahead: '3 h', 'in 2 days'."""
    if instant is None:
        return Markup("–")
    apart = now - instant
    told = span(abs(apart))
    shown = "just now" if told == "now" else f"in {told}" if apart < timedelta(0) else f"{told} ago"
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        instant.isoformat(), f"{instant.astimezone(UTC):%-d %b %Y, %H:%M}", shown
    )


def span(length: timedelta) -> str:
    """A length of time in its largest unit."""
    seconds = length.total_seconds()
    for size, unit in ((86400, "day"), (3600, "h"), (60, "min")):
        if seconds >= size:
            number = int(seconds // size)
            return f"{number} {unit}{'s' if unit == 'day' and number > 1 else ''}"
    return "now"


def words(name: Any) -> str:
    """over_cap as 'over cap'."""
    return str(name).replace("_", " ")


def plural(number: int, one: str, many: str = "") -> str:
    """'1 case', '3 cases'."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


assert {permission for _, _, permission, _, _ in NAVIGATION} <= set(PERMISSIONS)
