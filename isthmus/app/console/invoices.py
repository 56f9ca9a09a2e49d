"""Invoices: where each stands on its five tracks, and for every line why it has its amount."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import sqlalchemy as sa
from starlette.responses import Response

from isthmus.app.api.ledger import invoice_by
from isthmus.app.api.reading import page as some
from isthmus.app.api.reading import reading
from isthmus.app.console.pages import Look, page
from isthmus.app.console.render import show
from isthmus.app.console.why import why
from isthmus.app.scope import demand_sight, within
from isthmus.domain.errors import NotFound
from isthmus.domain.objects import Allocation, Client, Invoice
from isthmus.domain.states import CaseState, InvoiceLife, Posting, Settlement
from isthmus.processes.work.reading import contracts_on
from isthmus.store.postgres import PostgresTx
from isthmus.store.read_once import ReadOnce
from isthmus.store.records import Case, Effect, RunRow
from isthmus.store.shared import bills
from isthmus.store.tables import TABLES

PAGE = 50
TRACKS = (
    ("Composition", "composition", ("drafted", "in_review", "approved")),
    ("Tax", "tax_track", ("pending", "calculated", "committed")),
    ("Posting", "posting", ("not_posted", "posting", "posted")),
    ("Delivery", "delivery", ("not_sent", "sent")),
    ("Settlement", "settlement", ("open", "partially_paid", "paid", "written_off")),
)
WHERE: dict[str, Any] = {
    "draft": lambda i: i.c.life == InvoiceLife.DRAFT,
    "not_posted": lambda i: sa.and_(i.c.life == InvoiceLife.ISSUED, i.c.posting != Posting.POSTED),
    "open": lambda i: sa.and_(i.c.life == InvoiceLife.ISSUED, i.c.open != 0),
    "paid": lambda i: i.c.settlement == Settlement.PAID,
}


@page("/invoices", "invoice.read")
def invoices(look: Look) -> Response:
    """Invoices and drafts, the newest number first."""
    invoice = TABLES[Invoice]
    asked = {name: look.query(name) for name in ("where", "client_no", "contract_no") if look.query(name)}
    where = [*within(look.actor, Invoice)]
    where += [WHERE[asked["where"]](invoice)] if asked.get("where") in WHERE else []
    where += [bills(asked["contract_no"])] if "contract_no" in asked else []
    with reading(look.hub) as tx:
        wanted: dict[str, Any] = {"client_no": asked.get("client_no", "")}
        rows, more = some(tx, Invoice, limit=PAGE, cursor=look.query("after"), where=where, **wanted)
        names = _names(tx, rows)
    link = f"/console/invoices?{urlencode({**asked, 'after': more})}" if more else ""
    return show(
        look,
        "invoices.html",
        {"rows": rows, "names": names, "contracts_on": contracts_on, "asked": asked, "more": link},
    )


def _names(tx: PostgresTx, rows: list[Invoice]) -> dict[str, str]:
    numbers = tuple({row.client_no for row in rows})
    return {one.client_no: one.legal_name for one in tx.find(Client, client_no=numbers)} if numbers else {}


@page("/invoices/{key:path}", "invoice.read")
def invoice(look: Look) -> Response:
    """One invoice; ?line=N opens the lineage of a line."""
    with reading(look.hub) as tx:
        found = invoice_by(tx, look.path("key"))
        if found is None:
            raise NotFound(f"no invoice {look.path('key')}")
        demand_sight(look.actor, tx, found)
        number = int(look.query("line")) if look.query("line").isdigit() else 0
        start = int(look.query("start")) if look.query("start").isdigit() else 0
        books = look.hub.kernel.books(ReadOnce(tx), key="why", actor=look.actor.name)
        reason = why(books, found, number, start, sees_cost=look.may("cost_rate.read")) if number else None
        if look.partial and reason is not None:
            return show(look, "why.html", {"invoice": found, "why": reason})
        facts = {
            "invoice": found,
            "contracts": contracts_on(found),
            "client": tx.get(Client, found.client_no),
            "tracks": [(title, states, str(getattr(found, name))) for title, name, states in TRACKS],
            "why": reason,
            "allocations": tx.find(Allocation, invoice_id=found.invoice_id, order=("allocation_id",)),
            "effects": _effects(tx, found),
            "cases": tx.find(Case, invoice_id=found.invoice_id, state=CaseState.OPEN),
            "run": tx.get(RunRow, f"bill_contract/{found.invoice_id}"),
        }
    return show(look, "invoice.html", facts)


def _effects(tx: PostgresTx, found: Invoice) -> list[Effect]:
    """What was written about the invoice in other systems."""
    keys = (found.invoice_id, f"{found.invoice_id}:commit", f"{found.invoice_id}:void")
    numbered = (found.number, f"{found.project_code}:{found.number}") if found.number else ()
    return tx.find(Effect, business_key=(*keys, *numbered), order=("created_at",))
