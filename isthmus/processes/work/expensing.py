"""Takes approved expenses in: priced by the terms of their line, held where a receipt is missing, under its caps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

from pydantic import ValidationError

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.money import round_rate
from isthmus.domain.objects import BillableItem, ContractLine, ContractVersion, Engagement, Expense, Project
from isthmus.domain.periods import FxRate
from isthmus.domain.states import EngagementState
from isthmus.domain.terms import ExpenseTerms
from isthmus.policies.chargeability import chargeable
from isthmus.policies.charges import Charge, items_of
from isthmus.policies.expenses import currency_of, price_expense, published
from isthmus.policies.fx import rate_day
from isthmus.policies.rates import version_in_force
from isthmus.policies.tax_decision import OUTSIDE
from isthmus.processes.work import ahead
from isthmus.processes.work.charging import bring_to, chains_of
from isthmus.processes.work.closing import flag_prior_period
from isthmus.processes.work.evidence import place
from isthmus.processes.work.exchange import rates_between
from isthmus.runtime import inbox
from isthmus.runtime.books import Books
from isthmus.store.records import InboxMessage, MessageState

SAME_CONTENT = (
    "project_code",
    "task_code",
    "person",
    "category",
    "expense_date",
    "gross",
    "tax",
    "tax_recoverable",
    "personal",
    "currency",
    "card_rate",
    "receipt_ref",
    "receipt_hash",
    "location",
    "per_diem_day",
    "meals_provided",
    "distance",
    "billable",
)
SAME_SPENDING = ("project_code", "person", "category", "expense_date", "gross", "currency", "per_diem_day", "distance")


def capture(books: Books, source: str, message_id: str) -> list[BillableItem]:
    """The priced evidence of a message with one expense; empty when it says nothing new or cannot be read."""
    message = books.tx.get(InboxMessage, source, message_id)
    assert message is not None
    try:
        carried = [Expense.model_validate(one) for one in json.loads(message.raw)["expenses"]]
    except (ValidationError, KeyError, TypeError, ValueError) as wrong:
        inbox.settle(books, [message], MessageState.QUARANTINED, reason=str(wrong))
        return []
    items = [item for expense in carried for item in _captured(books, expense)]
    inbox.settle(books, [message], MessageState.APPLIED)
    return items


def _captured(books: Books, expense: Expense) -> list[BillableItem]:
    books.tx.lock(f"expense:{expense.key}")
    known = books.tx.find(Expense, source=expense.source, source_id=expense.source_id, order=("-revision",), limit=1)
    new = _as_new_revision(books, expense, known[0] if known else None)
    if new is None:
        return []
    version, line, project = _place_of(books, new)
    if new.gross:
        what, money = f"expense {new.key} of {new.person} for {new.category}", (new.gross, new.currency)
        ahead.refuse(books, books.entity(version.entity), what, new.key, new.expense_date, money)
    wanted = items_of(charge(books, new, version, line, project))
    books.tx.lock(f"contract:{version.contract_no}")
    chains = chains_of(books.tx.find(BillableItem, entry_key=new.key))
    items = flag_prior_period(books, bring_to(books, wanted, chains), "expense")
    books.tx.insert(new)
    books.tx.insert_many(items)
    place(books, items)
    facts = {"expense": new.key, "revision": new.revision, "gross": str(new.gross), "currency": new.currency}
    books.emit("expense.approved", f"expense:{new.key}", facts, entity=version.entity)
    return items


def _as_new_revision(books: Books, expense: Expense, known: Expense | None) -> Expense | None:
    if known is None:
        _refuse_a_twin(books, expense)
        return expense.model_copy(update={"revision": 1})
    if all(getattr(known, name) == getattr(expense, name) for name in SAME_CONTENT):
        books.quiet("duplicate", f"expense:{expense.key}", f"revision {known.revision} has this content already")
        return None
    if expense.approved_at < known.approved_at:
        books.quiet("stale", f"expense:{expense.key}", f"approved {expense.approved_at}, before {known.approved_at}")
        return None
    return expense.model_copy(update={"revision": known.revision + 1})


def _refuse_a_twin(books: Books, expense: Expense) -> None:
    """The same spending under another id is suspected to be reported twice."""
    same = books.tx.find(Expense, project_code=expense.project_code, expense_date=expense.expense_date)
    twins = [
        other
        for other in latest_expenses(books, same).values()
        if other.key != expense.key and all(getattr(other, n) == getattr(expense, n) for n in SAME_SPENDING)
    ]
    if twins and books.answers.get("EX-DUP-SUSPECT", {}).get("action") != "accept":
        raise NeedsDecision(
            "EX-DUP-SUSPECT",
            f"expense {expense.key}: {expense.gross} {expense.currency} of {expense.person} for {expense.category} on"
            f" {expense.expense_date} is there as {twins[0].key}",
            queue="pmo",
            money=(expense.gross, expense.currency),
            context={"entry": expense.key, "twin": twins[0].key},
            actions=("accept", "cancel"),
        )


def latest_expenses(books: Books, kept: Sequence[Expense]) -> dict[str, Expense]:
    """The latest revision kept of each expense: it may have moved it to another day or project."""
    ids = tuple(sorted({expense.source_id for expense in kept}))
    known = books.tx.find(Expense, source_id=ids, order=("revision",)) if ids else []
    latest, keys = {expense.key: expense for expense in known}, {expense.key for expense in kept}
    return {key: expense for key, expense in latest.items() if key in keys}


def _place_of(books: Books, expense: Expense) -> tuple[ContractVersion, ContractLine, Project]:
    """Version, line and project of an expense: the line of its task, else the one line with terms for expenses."""
    project = books.tx.get(Project, expense.project_code)
    if project is None:
        cause = f"expense {expense.key} is on project {expense.project_code or '(none)'}, which is not known"
        raise NeedsDecision("EX-UNKNOWN-PROJECT", cause, queue="pmo", context={"entry": expense.key})
    engagement = books.tx.get(Engagement, project.contract_no)
    if engagement is None or engagement.state is not EngagementState.ACTIVE:
        state = engagement.state if engagement else "unknown"
        cause = f"expense {expense.key}: engagement {project.contract_no} is {state}, not active"
        raise NeedsDecision("EX-NOT-READY", cause, queue="pmo", context={"entry": expense.key})
    versions = books.tx.find(ContractVersion, contract_no=project.contract_no, order=("version",))
    version = version_in_force(versions, expense.expense_date)
    told = books.answers.get("EX-NO-CONTRACT-LINE", {}).get("line_uid", "")
    task = next((task for task in project.tasks if task.code == expense.task_code), None)
    named = [line for line in version.lines if line.line_uid == (told or (task.line_uid if task else ""))]
    fitting = named or [line for line in version.lines if line.expenses is not None]
    if len(fitting) != 1:
        raise NeedsDecision(
            "EX-NO-CONTRACT-LINE",
            f"expense {expense.key} fits {len(fitting)} lines of contract {version.key}",
            queue="contract-operations",
            context={"entry": expense.key, "lines": [line.line_uid for line in fitting]},
            actions=("assign", "retry", "cancel"),
        )
    return version, fitting[0], project


def charge(
    books: Books,
    expense: Expense,
    version: ContractVersion,
    line: ContractLine,
    project: Project,
    fx_until: str = "",
) -> Charge:
    """What the expense is billed at, with how it came about. fx_until: the last day whose exchange rates count."""
    terms = line.expenses
    yes, why = chargeable(line, evidence_class="expense", role="", task_code=expense.task_code, task_billable=True)
    base = Charge(
        key=expense.key,
        entry_key=expense.key,
        entry_revision=expense.revision,
        source_type="expense",
        version=version,
        line=line,
        service_date=expense.expense_date,
        quantity=Decimal(1) if expense.gross or expense.distance or expense.per_diem_day else Decimal(0),
        unit_price=Decimal(0),
        extended=Decimal(0),
        billable=False,
        description=expense.note or expense.category,
        project_code=project.project_code,
        task_code=expense.task_code,
        person=expense.person,
        expense_class=expense.category,
        trace={"policy": "expenses/1", "reason": why},
        approved_by=expense.approved_by,
        approved_at=expense.approved_at,
    )
    if terms is None or not yes or not expense.billable:
        return base
    spent_in = currency_of(expense, terms, version.currency)
    rate = _rate(books, expense, terms, spent_in, version.currency, fx_until)
    priced = price_expense(expense, terms, version.currency, rate)
    return replace(
        base,
        quantity=priced.quantity if priced.net else base.quantity,
        unit_price=priced.net if priced.quantity == 1 else round_rate(priced.net / priced.quantity),
        extended=priced.net,
        billable=priced.billable,
        hold=priced.hold,
        tax_category=OUTSIDE if priced.disbursement else "",
        trace=priced.trace | ({"receipt": expense.receipt_ref} if expense.receipt_ref else {}),
    )


def _rate(
    books: Books, expense: Expense, terms: ExpenseTerms, spent_in: str, currency: str, until: str
) -> FxRate | None:
    """The published rate of the day the terms ask for; none where there is none, or the terms or the card bring one."""
    policy = published(terms.fx)
    if spent_in == currency or policy.rate_type == "fixed" or (terms.fx.rate_type == "card" and expense.card_rate):
        return None
    day = rate_day(policy, service_date=expense.expense_date, expense_date=expense.expense_date)
    return rates_between(books, spent_in, currency, until=until).lookup(spent_in, currency, day, policy)
