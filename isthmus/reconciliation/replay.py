"""INV-28: the events alone, replayed from the first, give the balances that the books have."""

from __future__ import annotations

from decimal import Decimal

from isthmus.domain.part_events import changes_of
from isthmus.reconciliation.findings import Finding
from isthmus.reconciliation.view import ContractBooks
from isthmus.store.records import OutboxEvent
from isthmus.store.tx import Tx


def check_replay(tx: Tx, books: ContractBooks) -> list[Finding]:
    """Every part, its state, money and quantity; each event begins where the one before it ended."""
    events = tx.find(OutboxEvent, aggregate=f"contract:{books.contract_no}", order=("sequence",))
    if events and events[0].sequence != 1:
        return []  # the first ones are in the archive: from the middle nothing can be replayed
    told: dict[str, tuple[str, Decimal, Decimal]] = {}
    findings = []
    for event, fact in ((e, fact) for e in events for fact in changes_of(e.type, e.payload)):
        before = told[fact["part"]][0] if fact["part"] in told else ""
        if before != fact["from"]:
            problem = f"{event.event_id} begins at {fact['from'] or 'nothing'}, the part was {before or 'not there'}"
            findings.append(_finding(fact["part"], problem, Decimal(fact["net"]), fact["currency"]))
        told[fact["part"]] = (fact["to"], Decimal(fact["net"]), Decimal(fact["quantity"]))
    known = {p.part_id: (str(p.state), p.net, p.quantity) for p in books.parts}
    for part_id in sorted({*told, *known}):
        if told.get(part_id) != known.get(part_id):
            problem = f"{_words(told.get(part_id))} by its events, {_words(known.get(part_id))} in the books"
            net = (known.get(part_id) or told[part_id])[1]
            findings.append(_finding(part_id, problem, net, books.terms.currency))
    return findings


def _words(fact: tuple[str, Decimal, Decimal] | None) -> str:
    return f"{fact[1]} {fact[0]}" if fact else "nothing"


def _finding(part_id: str, problem: str, net: Decimal, currency: str) -> Finding:
    return Finding("INV-28", part_id, problem, "integration", abs(net), currency)
