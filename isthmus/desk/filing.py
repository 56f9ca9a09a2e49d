"""Filing a new case: whose it is, how urgent, until when, what it is about, and which others have the same cause."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta

from isthmus.desk.config import DeskConfig
from isthmus.desk.types import CaseType, correctable, facts_of, type_of
from isthmus.domain.objects import BillableItem, Engagement, Invoice, TimeEntry
from isthmus.runtime.edits import EDIT
from isthmus.runtime.hashing import content_hash
from isthmus.store.records import Case
from isthmus.store.tx import Tx

# The business record a case is about, by the process that opened it: its later success closes the case.
RECORDS: dict[str, str] = {
    "capture_time": "time",
    "contract_to_project": "contract",
    "bill_contract": "invoice",
    "invoice_to_cash": "payment",
    "connection": "connection",
}
_KEYS = re.compile(r"\S*\d\S*")


def filer(config: DeskConfig) -> Callable[[Tx, Case], Case]:
    """The kernel's hook: completes a case before it is kept."""

    def file(tx: Tx, case: Case) -> Case:
        kind = type_of(case.exception)
        about = _about(tx, case)
        entity = case.entity or about["entity"]
        queue = _queue(config, kind, case, entity)
        due = case.opened_at + timedelta(hours=config.service[kind.severity])
        facts = {"entity": entity, "severity": kind.severity, "queue": queue, "due_at": due}
        filed = case.model_copy(
            update={
                **facts,
                "contract_no": about["contract_no"],
                "client_no": about["client_no"],
                "invoice_id": about["invoice_id"],
                "record": record_of(case, about["contract_no"]),
                "actions": _actions(kind, case),
                "escalate_at": escalation_at(config, case.opened_at, due, 0),
            }
        )
        return filed.model_copy(update={"group_key": group_key(filed)})

    return file


def _queue(config: DeskConfig, kind: CaseType, case: Case, entity: str) -> str:
    """The first route that fits, else what the code says, else the type's own."""
    routed = next((route.queue for route in config.routes if route.fits(case.exception, entity)), "")
    return routed or case.queue or kind.queue


def _actions(kind: CaseType, case: Case) -> list[str]:
    """What the process offers, and what the desk adds; correcting only where there is something to correct."""
    verb = str(case.context.get("verb", ""))
    added = [a for a in kind.adds if a not in case.actions and (a != EDIT or correctable(verb))]
    return [*added, *case.actions]


def escalation_at(config: DeskConfig, opened: datetime, due: datetime, level: int) -> datetime | None:
    """When the case moves to the level after this one; None when there is none."""
    if level >= len(config.escalation):
        return None
    return opened + (due - opened) * config.escalation[level].after


# -- what it is about ---------------------------------------------------------------------------------------------


def _about(tx: Tx, case: Case) -> dict[str, str]:
    """Contract, client, invoice and legal entity, as far as the case's context and the books tell."""
    contract_no = _contract_of(tx, case)
    engagement = tx.get(Engagement, contract_no) if contract_no else None
    invoice = _invoice_of(tx, case)
    if invoice is not None and not contract_no:
        contract_no = invoice.contract_no
    return {
        "contract_no": contract_no,
        "client_no": engagement.client_no if engagement else (invoice.client_no if invoice else ""),
        "invoice_id": invoice.invoice_id if invoice else "",
        "entity": engagement.entity if engagement else (invoice.entity if invoice else ""),
    }


def _contract_of(tx: Tx, case: Case) -> str:
    if case.correlation_id.startswith("contract:"):
        return case.correlation_id.removeprefix("contract:")
    named = str(case.context.get("contract", "")).partition("@")[0]
    if named:
        return named
    source, _, source_id = str(case.context.get("entry", "")).partition(":")
    if source_id:
        items = tx.find(BillableItem, source_key=f"{source}:{source_id}", limit=1)
        if items:
            return items[0].contract_no
        known = tx.find(TimeEntry, source=source, source_id=source_id, limit=1)
        engagements = tx.find(Engagement, project_code=known[0].project_code, limit=1) if known else []
        return engagements[0].contract_no if engagements else ""
    return ""


def _invoice_of(tx: Tx, case: Case) -> Invoice | None:
    named = str(case.context.get("invoice", "")) or (case.subject if case.run_id.startswith("bill_contract/") else "")
    if not named:
        return None
    by_number = tx.find(Invoice, number=named, limit=1)
    return by_number[0] if by_number else tx.get(Invoice, named)


def record_of(case: Case, contract_no: str = "") -> str:
    """The business record of a case, such as time:psa:77, contract:K-1 or invoice:K-1:2026-03."""
    process = case.run_id.partition("/")[0]
    entry = str(case.context.get("entry", ""))
    if process == "capture_time":
        return f"time:{entry or case.subject.partition('<')[0]}"
    if process == "contract_to_project":
        return f"contract:{contract_no or case.subject.partition('@')[0]}"
    return f"{RECORDS.get(process, process)}:{case.subject}"


# -- the same cause -----------------------------------------------------------------------------------------------


def cause_facts(case: Case) -> dict[str, str]:
    """The facts that make the cause: those the type groups by, or the words of the cause without keys and numbers."""
    known = {
        **facts_of(case.context),
        "entity": case.entity,
        "contract": case.contract_no,
        "client": str(case.context.get("client", "") or case.client_no),
        "step": case.tried,
    }
    wanted = type_of(case.exception).group_by
    facts = {name: known[name] for name in wanted if known.get(name)}
    return facts or {"cause": " ".join(_KEYS.sub("…", case.cause).split())}


def group_key(case: Case) -> str:
    """The same for all cases of one cause."""
    return f"{case.exception}:{content_hash(cause_facts(case))[:12]}"
