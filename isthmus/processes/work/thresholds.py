"""Steps that watch registration thresholds: sales by state from issued invoices, and an alert to the tax desk."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.lending import TaxThreshold
from isthmus.domain.money import round_half_away
from isthmus.domain.objects import Client, Invoice, LegalEntity
from isthmus.domain.states import InvoiceLife
from isthmus.policies.deposits import on_account
from isthmus.policies.nexus import Sale, Standing, Threshold, standings
from isthmus.runtime.books import Books

WINDOW_DAYS = 366  # no window reaches further back


def standings_of(books: Books, entity: str, on: date) -> list[Standing]:
    """How near an entity is to each threshold the tax desk has kept for it, nearest first."""
    kept = books.tx.find(TaxThreshold, entity=entity, order=("state",))
    return standings(_sales(books, entity, on), [_as_threshold(one) for one in kept], on) if kept else []


def _as_threshold(kept: TaxThreshold) -> Threshold:
    return Threshold(kept.state, kept.amount, kept.count, kept.both, kept.window, kept.services)


def _sales(books: Books, entity: str, on: date) -> Iterable[Sale]:
    """Issued invoices and credit memos by the state of the client's address, in the entity's own currency."""
    living = (InvoiceLife.ISSUED, InvoiceLife.CREDITED)
    own = books.entity(entity)
    states = {client.client_no: state_of(client) for client in books.tx.find(Client)}
    for invoice in books.tx.find(Invoice, entity=entity, life=living, order=("number",)):
        day = invoice.issue_date
        if day is None or day <= on - timedelta(days=WINDOW_DAYS) or on_account(invoice):
            continue
        net = _own_net(invoice, own)
        yield Sale(entity, states.get(invoice.client_no, ""), day, -net if invoice.kind == "credit" else net)


def state_of(client: Client) -> str:
    """The state a client's sales count in: of the United States the state, elsewhere the country."""
    return client.address.region if client.country == "US" else client.country


def _own_net(invoice: Invoice, entity: LegalEntity) -> Decimal:
    if invoice.currency == entity.functional_currency or invoice.fx_rate is None:
        return invoice.net
    return round_half_away(invoice.net * invoice.fx_rate, entity.functional_currency)


def due(books: Books) -> list[tuple[str, str, str]]:
    """(entity, state, level) of every threshold that is near or crossed today."""
    entities = sorted({one.entity for one in books.tx.find(TaxThreshold)})
    return [
        (standing.entity, standing.threshold.state, standing.level)
        for entity in entities
        for standing in standings_of(books, entity, books.today(entity))
        if standing.level != "below"
    ]


def alert_key(books: Books, entity: str, state: str, level: str) -> str:
    """An alert is given once a year for each level."""
    return f"{entity}/{state}/{level}/{books.today(entity).year}"


def tell_tax_desk(books: Books, entity: str, state: str, level: str) -> str:
    """EX-NEXUS until the tax desk has seen to it: registered there, or decided that it need not."""
    answer = books.answers.get("EX-NEXUS", {})
    if answer.get("action") in ("registered", "noted"):
        facts = {"state": state, "level": level, "note": str(answer.get("note", ""))}
        books.audit("nexus.answer", f"entity:{entity}", after=facts, reason=str(answer["action"]))
        return str(answer["action"])
    standing = next(s for s in standings_of(books, entity, books.today(entity)) if s.threshold.state == state)
    limit = standing.threshold
    wanted = [f"{limit.amount}"] if limit.amount is not None else []
    wanted += [f"{limit.count} sales"] if limit.count is not None else []
    crossed = "has crossed" if level == "crossed" else "comes near"
    currency = books.entity(entity).functional_currency
    raise NeedsDecision(
        "EX-NEXUS",
        f"{entity} {crossed} the threshold of {state} ({(' and ' if limit.both else ' or ').join(wanted)}):"
        f" {standing.amount} {currency} in {standing.count} sales since {standing.since}, {standing.percent:.0f} %",
        queue="tax",
        money=(standing.amount, currency),
        context={"entity": entity, "state": state, "level": level, "percent": f"{standing.percent:.1f}"},
        actions=("registered", "noted"),
    )
