"""Today: where work is stalled, what it is worth, how old it is and whose it is; one page per role, one read model."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any

from starlette.responses import Response

from isthmus.app import figures
from isthmus.app.api.reading import reading
from isthmus.app.console.login import next_page
from isthmus.app.console.pages import Look, page, to
from isthmus.app.console.render import THEME_COOKIE, THEMES, show
from isthmus.domain.objects import Client, Engagement
from isthmus.runtime.clock import local_day
from isthmus.store.postgres import PostgresTx

# view -> title, whose it is by default
VIEWS: dict[str, tuple[str, frozenset[str]]] = {
    "finance": ("Finance", frozenset({"finance", "billing", "tax"})),
    "controller": ("Controller", frozenset({"controller"})),
    "pmo": ("PMO", frozenset({"project_manager"})),
    "sales": ("Sales operations", frozenset({"sales", "steward"})),
    "integration": ("Integration", frozenset({"integration", "admin"})),
    "executive": ("Executive", frozenset({"executive", "reader"})),
}
# What each view shows, in its order.
SHOWN: dict[str, tuple[str, ...]] = {
    "finance": ("stalls", "unbilled", "owners", "invoices", "longest", "exceptions"),
    "controller": ("stalls", "unbilled", "invoices", "billed", "owners", "exceptions"),
    "pmo": ("stalls", "unbilled", "longest", "engagements", "owners"),
    "sales": ("stalls", "engagements", "longest", "owners"),
    "integration": ("stalls", "systems", "lanes", "owners"),
    "executive": ("stalls", "billed", "unbilled", "invoices", "owners", "engagements"),
}


@page("/", "figures.read")
def today(look: Look) -> Response:
    """The first page, by role; any view may be chosen, every number is the same on all of them."""
    view = look.query("view")
    view = view if view in VIEWS else _own_view(look)
    with reading(look.hub) as tx:
        facts = gather(tx, look, SHOWN[view])
        facts["names"] = _names(tx, [one.contract_no for one in facts["longest"]])
    return show(look, "today.html", {"view": view, "views": VIEWS, "shown": SHOWN[view], **facts})


def _own_view(look: Look) -> str:
    """Of several that fit, the one fewest people have: a controller of finance is shown the controller's."""
    fitting = [name for name in ("controller", *VIEWS) if VIEWS[name][1] & look.actor.roles]
    return fitting[0] if fitting else "executive"


def gather(tx: PostgresTx, look: Look, shown: Container[str]) -> dict[str, Any]:
    """Every figure that is shown, once, from one snapshot."""
    now, actor = look.hub.kernel.clock.now(), look.actor
    day = local_day(now, look.hub.firm.entities[0].time_zone)
    loads, aged = figures.case_load(tx, actor, now), figures.unbilled_by_age(tx, actor, day)
    parts: dict[str, Callable[[], Any]] = {
        "stalls": lambda: figures.stalls(tx, actor, now),
        "billed": lambda: figures.billed_by_month(tx, actor, day),
        "longest": lambda: figures.longest_unbilled(tx, actor, day),
        "engagements": lambda: figures.engagements_by_state(tx, actor),
        "systems": lambda: figures.backlog_by_system(tx, actor),
        "lanes": lambda: figures.runs_by_lane(tx, actor),
        "exceptions": lambda: figures.case_load(tx, actor, now, about="invoice"),
    }
    asks_hours = "exceptions" in shown
    return {
        "as_of": now,
        "loads": loads,
        "at_risk": figures.at_risk(loads),
        "open_cases": sum(load.cases for load in loads),
        "overdue": sum(load.overdue for load in loads),
        "aged": aged,
        "unbilled": _unbilled(aged),
        "invoices": figures.invoice_figures(tx, actor, day),
        "hours_to_decide": figures.hours_to_decide(tx, actor, now, about="invoice") if asks_hours else None,
        "ages": [age for age, _ in figures.AGES],
        "months": figures.MONTHS,
        "titles": [look.hub.desk.queue_title(load.queue) for load in loads],
        **{name: ask() if name in shown else [] for name, ask in parts.items()},
    }


def _unbilled(aged: list[figures.Aged]) -> figures.Sums:
    total: figures.Sums = {}
    for one in aged:
        total[one.currency] = total.get(one.currency, one.net * 0) + one.net
    return dict(sorted(total.items(), key=lambda pair: -pair[1]))


def _names(tx: PostgresTx, contract_nos: list[str]) -> dict[str, str]:
    """Client names by contract."""
    engagements = tx.find(Engagement, contract_no=tuple(contract_nos)) if contract_nos else []
    clients = tuple({one.client_no for one in engagements})
    named = {one.client_no: one.legal_name for one in tx.find(Client, client_no=clients)} if clients else {}
    return {one.contract_no: named.get(one.client_no, one.client_no) for one in engagements}


@page("/theme", "figures.read", method="POST")
def choose_theme(look: Look) -> Response:
    """Light, dark, or as the machine has it."""
    response = to(next_page(look.form.get("next", "")))
    theme = look.form.get("theme", "auto")
    response.set_cookie(
        THEME_COOKIE, theme if theme in THEMES else "auto", max_age=365 * 86400, path="/console", samesite="lax"
    )
    return response
