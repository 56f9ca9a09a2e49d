"""The desk's clock: what is past its service level is flagged, then handed over; what waited long enough goes on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from isthmus.desk.config import DeskConfig
from isthmus.desk.filing import escalation_at
from isthmus.desk.notes import change
from isthmus.desk.types import SEVERITIES, Severity
from isthmus.desk.work import go_on
from isthmus.domain.states import CaseState
from isthmus.runtime.books import Books
from isthmus.runtime.kernel import Kernel
from isthmus.store.records import Case

AT_ONCE = 200


def tick(kernel: Kernel, config: DeskConfig) -> int:
    """Do what is due; the number of cases. May run in every worker: each case is locked and looked at anew."""
    now = kernel.clock.now()
    with kernel.store.transaction() as tx:
        soonest = tx.find(Case, state=CaseState.OPEN, order=("escalate_at",), limit=AT_ONCE)
    due = [case.case_no for case in soonest if case.escalate_at is not None and case.escalate_at <= now]
    for case_no in due:
        with kernel.store.transaction() as tx:
            tx.lock(f"case:{case_no}")
            case = tx.get(Case, case_no)
            if case is not None and case.state is CaseState.OPEN and case.escalate_at and case.escalate_at <= now:
                _due(kernel.books(tx, key=f"desk/{case_no}", actor="hub"), case, config)
    return len(due)


def _due(books: Books, case: Case, config: DeskConfig) -> None:
    if case.waiting_for:
        go_on(books, case, config, f"{case.waiting_for} has not answered in time")
        return
    level = case.escalation
    step = config.escalation[level]
    due = case.due_at or case.opened_at
    started = due - _allowed(case, config)
    facts: dict[str, Any] = {"escalation": level + 1, "escalate_at": escalation_at(config, started, due, level + 1)}
    receiver = config.queues[case.queue].escalates_to if case.queue in config.queues else ""
    if step.does == "hand_over" and receiver:
        facts |= {"queue": receiver, "assignee": ""}
        told = f"not decided by {config.queue_title(case.queue)} in time: handed over to {config.queue_title(receiver)}"
    else:
        told = f"overdue since {due:%Y-%m-%d %H:%M} UTC"
    changed = change(books, case, "escalate", told, **facts)
    payload = {"case": case.case_no, "level": level + 1, "queue": changed.queue, "told": told}
    books.emit("case.escalated", f"case:{case.case_no}", payload, entity=case.entity)


def _allowed(case: Case, config: DeskConfig) -> timedelta:
    """The service level of the case, from its severity."""
    severity: Severity = next((one for one in SEVERITIES if one == case.severity), "normal")
    return timedelta(hours=config.service[severity])
