"""Steps that change what may be billed: an accepted change order, an approved write-off."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.money import round_quantity
from isthmus.domain.objects import BillablePart, ContractVersion, Engagement, Project
from isthmus.domain.states import EngagementState, PartState
from isthmus.policies.billing import write_off_order
from isthmus.processes.work.evidence import place_contract
from isthmus.processes.work.partition import add_parts, move_parts
from isthmus.runtime.books import Books


def new_version(
    books: Books, contract_no: str, change_order: str, cap_delta: Decimal, accepted_on: date, evidence: str
) -> ContractVersion:
    """A new contract version with the contract's cap changed by cap_delta; the earlier version stays as it is.

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
    caps = [cap for cap in latest.caps if cap.scope == "contract"]
    if not caps:
        raise BadInput(f"contract {latest.key} has no cap to change")
    invoiced = books.tx.find(BillablePart, contract_no=contract_no, state=(PartState.INVOICED, PartState.ON_DRAFT))
    billed = sum((part.net for part in invoiced), Decimal(0))
    limit = caps[0].limit + cap_delta
    if limit < billed:
        raise NeedsDecision(
            "EX-CAP-BELOW-BILLED",
            f"change order {change_order} would set the cap of {latest.key} to {limit}, but {billed} is billed",
            queue="contract-operations",
            money=(billed - limit, latest.currency),
            actions=("retry", "cancel"),
        )
    raised = tuple(cap.model_copy(update={"limit": limit}) if cap == caps[0] else cap for cap in latest.caps)
    version = latest.model_copy(
        update={
            "version": latest.version + 1,
            "caps": raised,
            "signed_on": accepted_on,
            "change_order": change_order,
            "document_ref": evidence,
        }
    )
    books.tx.insert(version)
    payload = {"change_order": change_order, "version": version.key, "cap": str(limit), "delta": str(cap_delta)}
    books.emit("change_order.accepted", f"contract:{contract_no}", payload, entity=version.entity)
    books.audit(
        "contract.amend", f"contract:{version.key}", reason=evidence, before={"cap": str(caps[0].limit)}, after=payload
    )
    return version


def evaluate_caps_again(books: Books, contract_no: str) -> str:
    """Over-cap parts become ready oldest first, as far as the new room goes."""
    placements = place_contract(books, contract_no)
    ready = sum((p.net for p in placements if p.state is PartState.READY), Decimal(0))
    over = sum((p.net for p in placements if p.state is PartState.OVER_CAP), Decimal(0))
    told = f"ready {ready}, over cap {over}"
    books.emit("cap.raised", f"contract:{contract_no}", {"contract": contract_no, "now": told})
    return told


def project_under(books: Books, version: ContractVersion) -> Project:
    """The project with the new version's budget, for PSA and ERP."""
    project = books.tx.find(Project, contract_no=version.contract_no, limit=1)[0]
    budget = next((cap.limit for cap in version.caps if cap.scope == "contract"), project.budget)
    changed = project.model_copy(update={"budget": budget, "contract_version": version.version})
    books.tx.update(changed)
    return changed


def ask_for_write_off(
    books: Books, contract_no: str, amount: Decimal, state: str, requested_by: str, reason: str
) -> Decimal:
    """Another person than the one who asks approves a write-off. BadInput when there is not that much to write off."""
    answer = books.answers.get("EX-WRITE-OFF", {})
    parts = _candidates(books, contract_no, state)
    available = sum((part.net for part in parts), Decimal(0))
    if amount <= 0 or amount > available:
        raise BadInput(f"contract {contract_no} has {available} {state}; {amount} cannot be written off")
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


def _candidates(books: Books, contract_no: str, state: str) -> list[BillablePart]:
    parts = books.tx.find(BillablePart, contract_no=contract_no, state=PartState(state))
    return sorted(parts, key=lambda part: (part.order_key, part.part_id))


def write_off(books: Books, contract_no: str, amount: Decimal, state: str, reason: str) -> str:
    """Newest evidence first. A part that is larger than what is left to write off is split exactly."""
    books.tx.lock(f"contract:{contract_no}")
    parts = {part.part_id: part for part in _candidates(books, contract_no, state)}
    for part_id, net in write_off_order([(p.part_id, p.net) for p in parts.values()], amount):
        part = parts[part_id]
        if net < part.net:
            part = split_off(books, part, net)
        move_parts(books, [part], PartState.WRITTEN_OFF, reason=reason)
    place_contract(books, contract_no)  # what was ready and is given up leaves room under its caps
    books.emit("write_off.approved", f"contract:{contract_no}", {"amount": str(amount), "reason": reason})
    books.audit("part.write_off", f"contract:{contract_no}", reason=reason, after={"amount": str(amount)})
    return f"{amount} written off"


def split_off(books: Books, part: BillablePart, net: Decimal) -> BillablePart:
    """Replace one part by two that add up to it; returns the one with the given net."""
    quantity = round_quantity(part.quantity * net / part.net)
    move_parts(books, [part], PartState.SUPERSEDED)
    count = len(books.tx.find(BillablePart, item_id=part.item_id))
    first = part.model_copy(update={"part_id": f"{part.item_id}/{count + 1}", "net": net, "quantity": quantity})
    rest = part.model_copy(
        update={
            "part_id": f"{part.item_id}/{count + 2}",
            "net": part.net - net,
            "quantity": part.quantity - quantity,
        }
    )
    add_parts(books, [first, rest])
    return first
