"""Steps that change what may be billed: an accepted change order, an approved write-off."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.objects import BillablePart, Cap, ContractVersion, Engagement, Project
from isthmus.domain.states import EngagementState, PartState
from isthmus.policies import readiness
from isthmus.policies.billing import write_off_order
from isthmus.policies.caps import below_billed
from isthmus.policies.payers import with_terms
from isthmus.processes.work import prepaying
from isthmus.processes.work.evidence import on_paper, place_contract, with_orders
from isthmus.processes.work.onboarding import planned_project
from isthmus.processes.work.partition import move_parts, split_parts
from isthmus.runtime.books import Books
from isthmus.store.desk_records import ClientAlias
from isthmus.store.records import Case


@dataclass(frozen=True)
class CapChange:
    """A change order the client has accepted: by how much (in the cap's own measure) which cap changes.

    cap_id: the cap, or PO and a number for the amount of a purchase order; empty is the contract's own cap.
    """

    number: str
    delta: Decimal
    accepted_on: date
    evidence: str
    cap_id: str = ""


@dataclass(frozen=True)
class WriteOff:
    """Unbilled evidence to be given up: how much of which state and why; cap_id: only what is over this cap."""

    amount: Decimal
    state: str
    reason: str
    cap_id: str = ""


def new_version(books: Books, contract_no: str, change: CapChange) -> ContractVersion:
    """A new contract version with a cap changed as accepted; the earlier version stays as it is.

    NeedsDecision EX-CAP-BELOW-BILLED when the new cap would lie below what is invoiced: never a silent credit.
    """
    books.tx.lock(f"contract:{contract_no}")
    current = books.tx.find(ContractVersion, contract_no=contract_no, order=("-version",), limit=1)
    if not current:
        raise BadInput(f"no contract {contract_no}")
    latest = current[0]
    engagement = books.tx.get(Engagement, contract_no)
    if engagement is None or engagement.state is not EngagementState.ACTIVE:
        state = engagement.state if engagement else "unknown"
        raise BadInput(f"the engagement of contract {contract_no} is {state}: only an active one can be changed")
    cap = cap_of(latest, change.cap_id)
    if cap is None:
        raise BadInput(f"contract {latest.key} has no cap {change.cap_id}".rstrip() + " to change")
    limit = cap.limit + change.delta
    version = latest.model_copy(
        update={
            **_with_limit(latest, cap, limit),
            "version": latest.version + 1,
            "signed_on": change.accepted_on,
            "change_order": change.number,
            "document_ref": change.evidence,
        }
    )
    _refuse_cap_below_billed(books, version, cap.cap_id)
    books.tx.insert(version)
    payload = {"change_order": change.number, "version": version.key, "cap": str(limit), "delta": str(change.delta)}
    payload |= {"cap_id": cap.cap_id} if change.cap_id else {}
    books.emit("change_order.accepted", f"contract:{contract_no}", payload, entity=version.entity)
    books.audit(
        "contract.amend",
        f"contract:{version.key}",
        reason=change.evidence,
        before={"cap": str(cap.limit)},
        after=payload,
    )
    return version


def cap_of(version: ContractVersion, cap_id: str) -> Cap | None:
    """The cap with this id, the amount of a purchase order among them; the contract's own where none is named."""
    caps = with_orders(version).caps
    return next((c for c in caps if (c.cap_id == cap_id if cap_id else c.scope == "contract")), None)


def _with_limit(version: ContractVersion, cap: Cap, limit: Decimal) -> dict[str, object]:
    """The terms of a version in which this cap, or purchase order, has another limit."""
    if cap in version.caps:
        return {"caps": tuple(c.model_copy(update={"limit": limit}) if c == cap else c for c in version.caps)}
    orders = version.purchase_orders
    changed = (po.model_copy(update={"amount": limit}) if po.po_number == cap.po_number else po for po in orders)
    return {"purchase_orders": tuple(changed)}


def keep_amended(books: Books, contract: ContractVersion) -> ContractVersion:
    """P4.3: the amended version as it was handed in, after the one in force; the earlier ones stay as they are.

    NeedsDecision EX-AMENDMENT when it names another client or legal entity; EX-CAP-BELOW-BILLED when a cap would lie
    below what is billed within it: never a silent credit; EX-DEPOSIT-MODE when a deposit would be of another mode, or
    none, while something of it is not drawn or not paid.
    """
    contract_no = contract.contract_no
    books.tx.lock(f"contract:{contract_no}")
    engagement = books.tx.get(Engagement, contract_no)
    if engagement is None or engagement.state is not EngagementState.ACTIVE:
        state = engagement.state if engagement else "unknown"
        raise BadInput(f"the engagement of contract {contract_no} is {state}: only an active one can be amended")
    before = books.tx.find(ContractVersion, contract_no=contract_no, order=("-version",), limit=1)[0]
    readiness.check_same_parties(contract, before, _known_as(books, before), books.answers)
    readiness.check_same_currency(contract, before)
    readiness.check_quota_begins(contract, before)
    terms = readiness.amended_payment_terms(contract, before, books.entity(before.entity), books.answers)
    facts = {
        "client": before.client,
        "client_no": before.client_no,
        "dimensions": before.dimensions | contract.dimensions,
        "entity": before.entity,
        "payment_terms": terms,
        "payers": with_terms(contract.payers, terms),
    }
    agreed = contract.model_copy(update=facts)
    if before.version < contract.version:
        _refuse_cap_below_billed(books, agreed)
        _refuse_stranded_deposits(books, before, agreed)
        books.tx.insert(agreed)
        payload = {"from": before.key, "to": agreed.key, "effective_from": str(agreed.effective_from)}
        books.emit("contract.amended", f"contract:{contract_no}", payload, entity=agreed.entity)
        books.audit("contract.amend", f"contract:{agreed.key}", reason=agreed.document_ref, after=payload)
    return agreed


def _known_as(books: Books, before: ContractVersion) -> set[str]:
    """Other names of the contract's client and legal entity: those that people have said to be these, once and for all
    or in a case of this contract. Its source goes on naming them as it always has.
    """
    aliases = books.tx.find(ClientAlias, canonical_no=before.client_no)
    names = {alias.client_no for alias in aliases if alias.active}
    numbers = range(1, before.version + 1)
    runs = [
        f"{process}/{before.contract_no}@{n}" for process in ("contract_to_project", "amend_contract") for n in numbers
    ]
    for case in books.tx.find(Case, run_id=tuple(runs), exception=("EX-CLIENT-DUP", "EX-LE", "EX-AMENDMENT")):
        answer = (case.resolution or {}).get("action")
        if answer in ("link", "merge"):
            names.add(str(case.context.get("offered", {}).get("client_no", "")))
        elif answer == "choose":
            names.add(str(case.context.get("given", "")))
        elif answer == "keep":
            names |= {str(told["named"]) for told in case.context.get("parties", {}).values()}
    return names


def _refuse_cap_below_billed(books: Books, version: ContractVersion, only: str = "") -> None:
    for use in below_billed(with_orders(version), on_paper(books, version)):
        if only not in ("", use.cap_id):
            continue
        raise NeedsDecision(
            "EX-CAP-BELOW-BILLED",
            f"contract {version.key} sets cap {use.cap_id} to {use.limit}, but {use.consumed} is billed",
            queue="contract-operations",
            money=(use.consumed - use.limit, version.currency),
            context={"contract": version.key, "cap": use.cap_id},
            actions=("retry", "cancel"),
        )


def _refuse_stranded_deposits(books: Books, before: ContractVersion, version: ContractVersion) -> None:
    """An advance was taxed, or was not, by the mode it was asked for in: no later invoice can draw it in the other."""
    now = {line.line_uid: line.deposit.mode if line.deposit else "none" for line in version.lines}
    for line in before.lines:
        mode = now.get(line.line_uid, "none")
        if line.deposit is None or mode == line.deposit.mode:
            continue
        left, numbers = prepaying.not_drawn(books, version.contract_no, line.line_uid)
        if left:
            named = f"invoice {', '.join(numbers)}" if numbers else "its ledger"
            raise NeedsDecision(
                "EX-DEPOSIT-MODE",
                f"contract {version.key} makes the deposit of line {line.line_uid} {mode}, but {left}"
                f" {version.currency} of {named} is {line.deposit.mode} and not drawn: credit the advance,"
                " or let invoices draw it, and retry",
                queue="billing",
                money=(left, version.currency),
                context={"contract": version.key, "line": line.line_uid, "advances": list(numbers)},
                actions=("retry", "cancel"),
            )


def evaluate_caps_again(books: Books, contract_no: str) -> str:
    """Over-cap parts become ready oldest first, as far as the new room goes."""
    placements = place_contract(books, contract_no)
    ready = sum((p.net for p in placements if p.state is PartState.READY), Decimal(0))
    over = sum((p.net for p in placements if p.state is PartState.OVER_CAP), Decimal(0))
    told = f"ready {ready}, over cap {over}"
    books.emit("cap.raised", f"contract:{contract_no}", {"contract": contract_no, "now": told})
    return told


def project_as_amended(books: Books, version: ContractVersion) -> Project:
    """The project with the budget, rates and tasks of the amended terms: tasks are added, never taken away."""
    project = books.tx.find(Project, contract_no=version.contract_no, limit=1)[0]
    planned = planned_project(version)
    known = {task.code for task in planned.tasks}
    tasks = planned.tasks + tuple(task for task in project.tasks if task.code not in known)
    rates = tuple(rate for line in version.lines for rate in line.rates)
    changes = {"budget": planned.budget, "tasks": tasks, "rates": rates, "contract_version": version.version}
    changed = project.model_copy(update=changes)
    books.tx.update(changed)
    return changed


def project_under(books: Books, version: ContractVersion) -> Project:
    """The project with the new version's budget, for PSA and ERP."""
    project = books.tx.find(Project, contract_no=version.contract_no, limit=1)[0]
    budget = next((cap.limit for cap in version.caps if cap.scope == "contract"), project.budget)
    changed = project.model_copy(update={"budget": budget, "contract_version": version.version})
    books.tx.update(changed)
    return changed


def ask_for_write_off(books: Books, contract_no: str, wanted: WriteOff, requested_by: str) -> Decimal:
    """Another person than the one who asks approves a write-off. BadInput when there is not that much to write off."""
    answer, amount, reason = books.answers.get("EX-WRITE-OFF", {}), wanted.amount, wanted.reason
    parts = _candidates(books, contract_no, wanted)
    available = sum((part.net for part in parts), Decimal(0))
    if amount <= 0 or amount > available:
        raise BadInput(f"contract {contract_no} has {available} {wanted.state}; {amount} cannot be written off")
    if answer.get("action") != "approve":
        raise NeedsDecision(
            "EX-WRITE-OFF",
            f"{requested_by} asks to write off {amount} {parts[0].currency} of contract {contract_no}: {reason}",
            queue="finance",
            money=(amount, parts[0].currency),
            context={"contract": contract_no, "prepared_by": requested_by, "reason": reason},
            actions=("approve", "cancel"),
        )
    return amount


def _candidates(books: Books, contract_no: str, wanted: WriteOff) -> list[BillablePart]:
    parts = books.tx.find(BillablePart, contract_no=contract_no, state=PartState(wanted.state))
    mine = [part for part in parts if wanted.cap_id in ("", part.cap_id)]
    return sorted(mine, key=lambda part: (part.order_key, part.part_id))


def write_off(books: Books, contract_no: str, wanted: WriteOff) -> str:
    """Newest evidence first. A part that is larger than what is left to write off is split exactly."""
    books.tx.lock(f"contract:{contract_no}")
    amount, reason = wanted.amount, wanted.reason
    parts = {part.part_id: part for part in _candidates(books, contract_no, wanted)}
    for part_id, net in write_off_order([(p.part_id, p.net) for p in parts.values()], amount):
        part = parts[part_id]
        if net < part.net:
            part = split_parts(books, part, net)
        move_parts(books, [part], PartState.WRITTEN_OFF, reason=reason)
    place_contract(books, contract_no)  # what was ready and is given up leaves room under its caps
    books.emit("write_off.approved", f"contract:{contract_no}", {"amount": str(amount), "reason": reason})
    books.audit("part.write_off", f"contract:{contract_no}", reason=reason, after={"amount": str(amount)})
    return f"{amount} written off"
