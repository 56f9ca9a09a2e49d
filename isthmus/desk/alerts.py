"""Who is told of which case, and in what words: by weight, which grows with money and age. Sending is the app's.

A receiver is told of a case once for each weight it reaches from the receiver's own on. Cases of one cause that are
due at the same moment are told together, so that one bad mapping is one message and not three hundred.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from isthmus.desk.config import DeskConfig, Receiver
from isthmus.desk.types import type_of
from isthmus.desk.weight import weight_of, weight_sql
from isthmus.domain.objects import Client, Invoice
from isthmus.domain.states import CaseState
from isthmus.runtime.books import Books
from isthmus.store.desk_records import Alert, AlertState
from isthmus.store.records import Case
from isthmus.store.tables import TABLES
from isthmus.store.tx import Tx

AT_ONCE = 500
NAMED_MAX = 20
Weighed = tuple[Case, int]


def raise_alerts(books: Books, config: DeskConfig, base_url: str = "") -> int:
    """Write down whom to tell what; how many messages that makes. base_url: where people reach the console."""
    made = 0
    for receiver in config.receivers:
        books.tx.lock(f"alerts:{receiver.name}")
        groups: dict[str, list[Weighed]] = defaultdict(list)
        for case, weight in _due(books.tx, receiver, config, books.now):
            groups[case.group_key or case.case_no].append((case, weight))
        for due in groups.values():
            _write(books, receiver, due, config, base_url)
        made += len(groups)
    return made


def _due(tx: Tx, receiver: Receiver, config: DeskConfig, now: datetime) -> list[Weighed]:
    """Open cases of the receiver that have reached a weight it has not been told of, the heaviest first."""
    least = max(receiver.from_weight, 1)
    if tx.raw is not None:
        return _asked(tx, receiver, config, now, least)
    told = {(one.case_no, one.weight) for one in tx.find(Alert, receiver=receiver.name)}
    reached = dict(sorted(told))
    found = [(case, weight_of(case, config, now)) for case in tx.find(Case, state=CaseState.OPEN, order=("case_no",))]
    mine = [
        (case, weight)
        for case, weight in found
        if weight >= least and weight > reached.get(case.case_no, 0) and _is_for(receiver, case)
    ]
    return sorted(mine, key=lambda one: (-one[1], one[0].case_no))[:AT_ONCE]


def _is_for(receiver: Receiver, case: Case) -> bool:
    of_queue = not receiver.queues or case.queue in receiver.queues
    return of_queue and (not receiver.entities or case.entity in receiver.entities)


def _asked(tx: Tx, receiver: Receiver, config: DeskConfig, now: datetime, least: int) -> list[Weighed]:
    """The same, asked of the database: ten thousand open cases are not read to find the few that are due."""
    case, alert = TABLES[Case], TABLES[Alert]
    weight = weight_sql(config, now)
    told = sa.select(sa.func.max(alert.c.weight)).where(
        alert.c.case_no == case.c.case_no, alert.c.receiver == receiver.name
    )
    where = [case.c.state == CaseState.OPEN, weight >= least]
    where += [weight > sa.func.coalesce(told.scalar_subquery(), 0)]
    where += [case.c.queue.in_(receiver.queues)] if receiver.queues else []
    where += [case.c.entity.in_(receiver.entities)] if receiver.entities else []
    query = sa.select(case, weight.label("weight")).where(*where).order_by(weight.desc(), case.c.case_no).limit(AT_ONCE)
    found = []
    for row in tx.raw.execute(query).mappings():
        facts = dict(row)
        reached = int(facts.pop("weight"))
        found.append((Case.model_validate(facts), reached))
    return found


def _write(books: Books, receiver: Receiver, due: list[Weighed], config: DeskConfig, base_url: str) -> None:
    """One message for all of them, kept with the heaviest; the others are told with it."""
    (first, weight), *others = due
    body = _body(books.tx, due, config, base_url, books.now)
    alert = _alert(books, receiver, first, weight)
    books.tx.insert(alert.model_copy(update={"text": body["text"], "body": body}))
    told = {"state": AlertState.SENT, "sent_at": books.now, "reason": f"told with {first.case_no}"}
    books.tx.insert_many([_alert(books, receiver, case, each).model_copy(update=told) for case, each in others])


def _alert(books: Books, receiver: Receiver, case: Case, weight: int) -> Alert:
    return Alert(
        alert_id=f"{receiver.name}/{case.case_no}/{weight}",
        receiver=receiver.name,
        case_no=case.case_no,
        weight=weight,
        text="",
        body={},
        state=AlertState.PENDING,
        next_at=books.now,
    )


# -- in words ---------------------------------------------------------------------------------------------------------


def _body(tx: Tx, due: list[Weighed], config: DeskConfig, base_url: str, now: datetime) -> dict[str, Any]:
    """What a program reads, with a text for people: what, whose, worth what, why, until when, and where to decide."""
    case, weight = due[0]
    client = tx.get(Client, case.client_no) if case.client_no else None
    invoice = tx.get(Invoice, case.invoice_id) if case.invoice_id else None
    page = f"groups/{case.group_key}" if len(due) > 1 else f"cases/{case.case_no}"
    data: dict[str, Any] = {
        "case": case.case_no,
        "title": type_of(case.exception).title,
        "cause": case.cause,
        "weight": weight,
        "severity": case.severity,
        "owner": config.queue_title(case.queue),
        "assignee": case.assignee,
        "cases": [one.case_no for one, _ in due][:NAMED_MAX],
        "count": len(due),
        "at_stake": {currency: str(amount) for currency, amount in _sums(due).items()},
        "client": client.legal_name if client else str(case.context.get("client", "")),
        "contract": case.contract_no,
        "invoice": invoice.number if invoice else "",
        "entity": case.entity,
        "opened_at": case.opened_at.isoformat(),
        "due_at": case.due_at.isoformat() if case.due_at else "",
        "overdue": bool(case.due_at and case.due_at < now and not case.waiting_for),
        "waits_for": case.waiting_for,
        "link": f"{base_url.rstrip('/')}/console/{page}" if base_url else "",
    }
    return {"type": "case.alert", "timestamp": now.isoformat(), "text": _text(data, case), "data": data}


def _sums(due: list[Weighed]) -> dict[str, Decimal]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for case, _ in due:
        if case.amount:
            sums[case.currency] += case.amount
    return dict(sorted(sums.items()))


def _text(data: dict[str, Any], case: Case) -> str:
    """Short lines, the most important first."""
    worth = " and ".join(f"{Decimal(amount):,} {currency}" for currency, amount in data["at_stake"].items())
    about = ", ".join(f"{what} {data[what]}" for what in ("contract", "invoice", "entity") if data[what])
    due = f"{case.due_at:%Y-%m-%d %H:%M} UTC" if case.due_at else ""
    lines = [
        data["title"] + (f": {data['client']}" if data["client"] else ""),
        f"{worth} at stake" if worth else "",
        f"{data['count']} cases of one cause, {case.case_no} among them" if data["count"] > 1 else case.case_no,
        data["cause"],
        about,
        f"{data['owner']}{f', {case.assignee}' if case.assignee else ''}"
        + (f", {'overdue since' if data['overdue'] else 'to decide by'} {due}" if due else "")
        + (f", waits for {case.waiting_for}" if case.waiting_for else ""),
        f"weight {data['weight']} of 10",
        data["link"],
    ]
    return "\n".join(line for line in lines if line)
