"""One contract of the quick way: evidence, parts and invoice, worked out in memory and not yet written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import ContractVersion, Invoice
from isthmus.domain.states import Composition, PartState, move
from isthmus.policies.anomalies import Review, duplicates
from isthmus.policies.caps import Placement, Share, place
from isthmus.policies.composition import InvoicePlan, plan_invoices
from isthmus.policies.layouts import Evidence, compose
from isthmus.policies.tax_decision import decide_tax
from isthmus.processes.work.bulk.fitting import why_ordinary
from isthmus.processes.work.bulk.kinds import ITEM, Kind, Kinds, approved
from isthmus.processes.work.bulk.reading import Case, Month
from isthmus.processes.work.drafting import invoice_for
from isthmus.processes.work.evidence import is_capped
from isthmus.processes.work.invoicing import issued_on, rule_of
from isthmus.processes.work.partition import Group, NewPart, Way
from isthmus.processes.work.taxing import taxed_by
from isthmus.runtime.books import Books

READY, OVER = PartState.READY, PartState.OVER_CAP
BILLED: Way = (PartState.READY, PartState.ON_DRAFT, PartState.INVOICED)
WITHIN, BEYOND = (BILLED, "", ""), (OVER,)
NET = ITEM["net"]
FACTS = (
    "role",
    "unit_price",
    "contract_no",
    "contract_version",
    "line_uid",
    "project_code",
    "task_code",
    "person",
    "payer",
    "po_number",
    "tax_category",
    "source_type",
    "expense_class",
    "description",
)


@dataclass
class Made:
    """What a contract comes to: items and parts as rows, the invoice in its three stages, the last without a number.

    placed: shares and placements under its caps, for the events about them.
    """

    case: Case
    items: list[list[object]] = field(default_factory=list)
    parts: dict[Group, list[NewPart]] = field(default_factory=dict)
    shares: list[Share] = field(default_factory=list)
    placements: list[Placement] = field(default_factory=list)
    draft: Invoice | None = None
    approved: Invoice | None = None
    issued: Invoice | None = None


def make(books: Books, month: Month, case: Case) -> Made | None:
    """None for a contract that has to take the ordinary way; one with nothing to bill is made of nothing."""
    books.tx.lock(f"contract:{case.contract_no}")  # held already: a sign of life, for the server hangs up on who idles
    if why_ordinary(month, case):
        return None
    made = Made(case)
    if not case.entries:
        return made
    kinds = Kinds(case)
    if not _priced(made, kinds):
        return None
    plan = _the_one_plan(kinds, case.versions)
    return made if plan and _invoiced(books, month, made, kinds, plan) else None


def _priced(made: Made, kinds: Kinds) -> bool:
    """False when the price of an hour needs a person: in the ordinary way that hour goes alone."""
    try:
        if is_capped(made.case.versions[-1]):
            _place(made, kinds)
        else:
            _all_ready(made, kinds)
    except NeedsDecision:
        return False
    return True


def _all_ready(made: Made, kinds: Kinds) -> None:
    """Without a cap every hour that is charged is ready as it is."""
    items, ready = made.items, list[NewPart]()
    orders: dict[object, str] = {}
    for row in made.case.entries:
        key, kind, at = f"{row[0]}:{row[1]}", kinds.of(row), row[16]
        item = kind.evidence(key, row)
        items.append(item)
        if kind.item.billable:
            told = orders.get(at)
            if told is None:
                told = orders[at] = approved(at)
            part_id, net, day, hours = f"{key}#1/1", item[NET], row[7], row[8]
            ready.append((part_id, f"{key}#1", hours, net, day, f"{day}|{told}|{key}|1"))
            kind.bill(part_id, day, net, hours)
    made.parts[WITHIN] = ready


def _place(made: Made, kinds: Kinds) -> None:
    """Under caps: who fills them first follows from the order of all hours of the contract."""
    version = made.case.versions[-1]
    of: dict[str, tuple[Kind, Share]] = {}
    for row in made.case.entries:
        key, kind = f"{row[0]}:{row[1]}", kinds.of(row)
        item = kind.evidence(key, row)
        made.items.append(item)
        if kind.item.billable:
            of[f"{key}#1"] = (
                kind,
                _share(f"{key}#1", f"{row[7]}|{approved(row[16])}|{key}|1", kind, item, row[7], row[8]),
            )
    made.shares = [share for _, share in of.values()]
    made.placements = place(made.shares, version, [])
    numbers: dict[str, int] = {}
    for at in made.placements:
        kind, share = of[at.item_id]
        number = numbers[at.item_id] = numbers.get(at.item_id, 0) + 1
        part_id, day = f"{at.item_id}/{number}", share.service_date
        assert day is not None and at.state in (READY, OVER)
        way = BILLED if at.state is READY else BEYOND
        part = (part_id, at.item_id, at.quantity, at.net, day, share.order_key)
        made.parts.setdefault((way, at.cap_id, at.reason), []).append(part)
        if at.state is READY:
            kind.bill(part_id, day, at.net, at.quantity)


def _share(item_id: str, order_key: str, kind: Kind, item: list[object], day: object, hours: Decimal) -> Share:
    like = kind.item
    return Share(
        item_id=item_id,
        line_uid=like.line_uid,
        order_key=order_key,
        quantity=hours,
        net=item[NET],  # type: ignore[arg-type]
        payer=like.payer,
        po_number=like.po_number,
        task_code=like.task_code,
        role=like.role,
        phase=like.phase,
        expense_class=like.expense_class,
        service_date=day,  # type: ignore[arg-type]
    )


# -- the invoice -----------------------------------------------------------------------------------------------


def _the_one_plan(kinds: Kinds, versions: Sequence[ContractVersion]) -> InvoicePlan | None:
    """The plan of the contract's only invoice, None for several, none, or one that waits or is too large."""
    terms = versions[-1].invoicing
    each = terms.layout == "detailed" or terms.maximum is not None or bool(terms.attachments)
    each = each or "period" in terms.group_by
    evidence = [piece for kind in kinds.known.values() if kind.part_ids for piece in _evidence(kind, each)]
    plans = plan_invoices(evidence, versions)
    return plans[0] if len(plans) == 1 and not plans[0].hold and not plans[0].above_maximum else None


def _evidence(kind: Kind, each: bool) -> list[Evidence]:
    """What an invoice shows of a kind: as one piece where every layout adds its parts up anyway, else part by part."""
    facts = {name: getattr(kind.item, name) for name in FACTS}
    if not each:
        net, hours = sum(kind.nets, Decimal(0)), sum(kind.hours, Decimal(0))
        return [Evidence(kind.part_ids[0], net=net, quantity=hours, service_date=kind.days[0], **facts)]
    parts = zip(kind.part_ids, kind.nets, kind.hours, kind.days, strict=True)
    return [Evidence(i, net=net, quantity=hours, service_date=day, **facts) for i, net, hours, day in parts]


def _invoiced(books: Books, month: Month, made: Made, kinds: Kinds, plan: InvoicePlan) -> bool:
    """Compose, approve by rule, tax by the entity's rates, issue. False where a person has to approve, or decide."""
    case, entity, version = made.case, month.entity, made.case.versions[-1]
    lines = compose(plan.evidence, case.versions, plan.layout)
    whole = {kind.part_ids[0]: kind.part_ids for kind in kinds.known.values() if kind.part_ids}
    if sum(map(len, whole.values())) != len(plan.evidence):  # pieces stand for many parts
        of = [tuple(sorted(part for piece in line.part_ids for part in whole[piece])) for line in lines]
        lines = tuple(line.model_copy(update={"part_ids": ids}) for line, ids in zip(lines, of, strict=True))
    project, invoice_id = case.projects[0].project_code, month.invoice_id(case.contract_no)
    draft = invoice_for(plan, lines, version, project, month.cutoff, invoice_id, month.prepared_by)
    limit = entity.invoice_approval_limit
    decision = decide_tax(entity, case.client or version.client, [line.tax_category for line in lines], month.today)
    if draft.net <= 0 or (limit and draft.net > limit) or decision.hold or entity.tax_point != "issue":
        return False
    review = Review(draft, (), month.today, history=case.history)
    if any(anomaly.check in review.habits.waits for anomaly in duplicates(review)):
        return False
    rule = {"approved_by": rule_of(entity)}
    made.draft, made.approved = draft, move(draft, "composition", Composition.APPROVED).model_copy(update=rule)
    taxed = taxed_by(made.approved, entity, decision)
    made.issued = issued_on(books, taxed, entity, month.today, month.booked)
    return True
