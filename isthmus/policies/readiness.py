"""The checks an approved contract must pass before anything is set up: P1 steps 1 to 6, one function each.

Each returns what the next step needs or raises NeedsDecision with the exception type and queue of the process table.
answers: what people have decided for this run, by exception type.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

from rapidfuzz import fuzz

from isthmus.domain.envelopes import EnvelopeFacts
from isthmus.domain.errors import NeedsDecision
from isthmus.domain.money import can_bill_in, is_exact_amount
from isthmus.domain.objects import BillingType, Client, ContractLine, ContractVersion, LegalEntity
from isthmus.policies.caps import check_cap
from isthmus.policies.charges import BY_THE_HOUR
from isthmus.policies.discounts import VOLUME, check_discounts
from isthmus.policies.fx import check_policy
from isthmus.policies.rates import check_rates
from isthmus.policies.signatories import approvers, is_evidence, missing_approvals
from isthmus.policies.splits import check_payers
from isthmus.policies.tax_decision import decide_tax

Answers = Mapping[str, Mapping[str, Any]]
SAME_NAME_SCORE = 88
IS_ONE_OF_OURS = ("link", "merge", "create")  # what a steward may say about a client that resembles another


# What a line of a type cannot be billed without, and terms that only lines of some types are billed by.
NEEDED = {
    BillingType.FIXED_PERCENT: ("price",),
    BillingType.RETAINER: ("retainer",),
    BillingType.COST_PLUS: ("cost_plus",),
}
ONLY_OF = {
    "milestones": (BillingType.FIXED_MILESTONE,),
    "cost_plus": (BillingType.COST_PLUS,),
    "retainer": (BillingType.RETAINER,),
}


def _stake(contract: ContractVersion) -> tuple[Decimal, str] | None:
    caps = [cap.limit for cap in contract.caps if cap.scope == "contract"]
    value = contract.transaction_price or (caps[0] if caps else None)
    return (value, contract.currency) if value is not None else None


def case_about(
    contract: ContractVersion, exception: str, cause: str, queue: str, *actions: str, **context: Any
) -> NeedsDecision:
    """What a person must decide about a contract, with all that depends on it as its money."""
    return NeedsDecision(
        exception,
        f"contract {contract.key}: {cause}",
        queue=queue,
        money=_stake(contract),
        context={"contract": contract.key, "client": contract.client.legal_name, **context},
        actions=(*actions, "retry", "cancel"),
    )


def check_approvals(
    contract: ContractVersion, envelopes: Sequence[EnvelopeFacts] = (), actions: Sequence[str] = ()
) -> ContractVersion:
    """P1.1: legal and finance have both approved, and not the same person for both.

    envelopes: those about this version that ended. Who signed a completed one has approved in that role, and what was
    signed is the contract's document where it names none. actions: what a person may do about it beside waiting.
    """
    found = approvers({"legal": contract.legal_approved_by, "finance": contract.finance_approved_by}, envelopes)
    missing = missing_approvals(found)
    if missing:
        cause = f"not approved by {' and '.join(missing)}"
        if all(found.values()):
            cause = f"{found['legal']} has approved for legal and for finance; it takes two persons"
        refused = [envelope for envelope in envelopes if envelope.state in ("declined", "voided")]
        cause += "".join(f"; envelope {e.envelope_id} was {e.state}: {e.reason}" for e in refused)
        facts = {"missing": missing, "approved": found}
        raise case_about(contract, "EX-APPROVAL-INCOMPLETE", cause, "contract-operations", *actions, **facts)
    agreed = contract.model_copy(update={"legal_approved_by": found["legal"], "finance_approved_by": found["finance"]})
    signed = [envelope for envelope in envelopes if is_evidence(envelope)]
    if not signed or contract.document_ref or contract.document_hash:
        return agreed
    document = {"document_ref": signed[-1].document_ref, "document_hash": signed[-1].document_hash}
    return agreed.model_copy(update=document)


def check_terms(contract: ContractVersion) -> ContractVersion:
    """P1.2: every line can be billed, caps are sane, dates make sense, milestones add up to the price."""
    wrong = [problem for line in contract.lines for problem in _line_problems(line)]
    wrong += [problem for line in contract.lines for problem in check_rates(line, contract.currency)]
    wrong += _twice("line", [line.line_uid for line in contract.lines])
    if not contract.lines:
        wrong.append("it has no lines")
    if contract.effective_to is not None and contract.effective_to <= contract.effective_from:
        wrong.append(f"it ends on {contract.effective_to}, before it begins on {contract.effective_from}")
    wrong += _cap_problems(contract)
    wrong += _milestone_problems(contract)
    if wrong:
        raise case_about(contract, "EX-MAP-TERMS", "; ".join(wrong), "contract-operations", problems=wrong)
    return contract


def _milestone_problems(contract: ContractVersion) -> list[str]:
    """Milestones add up to the price of their line, and fixed prices to that of a contract that has nothing else."""
    problems, total, every_line = [], Decimal(0), True
    for line in contract.lines:
        if not line.milestones:
            every_line = False
            continue
        fixed = sum(
            (m.amount or (line.price or Decimal(0)) * (m.percent or Decimal(0)) / 100 for m in line.milestones),
            Decimal(0),
        )
        total += fixed
        if line.price is not None and fixed != line.price:
            problems.append(f"the milestones of line {line.line_uid} add up to {fixed:f}, its price is {line.price}")
    if total and every_line and contract.transaction_price is not None and total != contract.transaction_price:
        problems.append(f"its milestones add up to {total:f}, its price is {contract.transaction_price}")
    return problems


def _line_problems(line: ContractLine) -> list[str]:
    problems = []
    if line.billing_type is BillingType.TM and not line.rates:
        problems.append(f"line {line.line_uid} is time and materials but has no rate")
    if line.billing_type is BillingType.FIXED_MILESTONE and not line.milestones:
        problems.append(f"line {line.line_uid} is a fixed fee but has no milestone")
    problems += [f"line {line.line_uid} {problem}" for problem in _idle_terms(line)]
    problems += [f"line {line.line_uid}: {problem}" for problem in check_payers(line.payers)]
    problems += [f"line {line.line_uid}: {problem}" for problem in check_discounts(line.discounts)]
    exchanged = [policy for policy in (line.fx, line.expenses.fx if line.expenses else None) if policy is not None]
    problems += [f"line {line.line_uid}: {problem}" for policy in exchanged for problem in check_policy(policy)]
    problems += [f"line {line.line_uid} has the rate {r.bill_rate}" for r in line.rates if r.bill_rate <= 0]
    problems += [
        f"line {line.line_uid} has the rate {r.bill_rate} per {r.unit}, but time comes in hours"
        for r in line.rates
        if r.unit != "hour"
    ]
    return problems


def _idle_terms(line: ContractLine) -> list[str]:
    """Terms that a line of its type has no use for, and those it cannot be billed without: neither goes unsaid."""
    kind = line.billing_type
    problems = [f"is {kind}, and {name} is not given" for name in NEEDED.get(kind, ()) if not getattr(line, name)]
    idle = {name for name, kinds in ONLY_OF.items() if getattr(line, name) and kind not in kinds}
    problems += [f"is {kind}, and its {name.replace('_', ' ')} would do nothing" for name in sorted(idle)]
    if kind not in BY_THE_HOUR:
        taken = [d.kind for d in line.discounts if d.kind == "percent" or d.kind in VOLUME]
        problems += [f"is {kind}, and a {name.replace('_', ' ')} discount is taken off hours" for name in taken]
    return problems


def _cap_problems(contract: ContractVersion) -> list[str]:
    """A cap that binds nothing, or that two rules share, would let money through without a word."""
    lines, currency = {line.line_uid for line in contract.lines}, contract.currency
    problems = _twice("cap", [cap.cap_id for cap in contract.caps])
    for cap in contract.caps:
        problems += check_cap(cap)
        if cap.limit <= 0:
            problems.append(f"cap {cap.cap_id} is {cap.limit}")
        elif cap.measure == "amount" and can_bill_in(currency) and not is_exact_amount(cap.limit, currency):
            problems.append(f"cap {cap.cap_id} is {cap.limit}, which {currency} cannot hold")
        if cap.line_uid and cap.line_uid not in lines:
            problems.append(f"cap {cap.cap_id} is for line {cap.line_uid}, which the contract does not have")
    return problems


def _twice(what: str, names: Sequence[str]) -> list[str]:
    return [f"there are {count} of {what} {name}" for name, count in Counter(names).items() if count > 1]


def resolve_client(contract: ContractVersion, known: Sequence[Client], answers: Answers) -> Client:
    """P1.3: the client of the contract among those the hub knows: by number, else a person links or creates.

    A new number whose tax id or name resembles a known client is EX-CLIENT-DUP; a client nobody resembles is created
    without asking. A person's answer {"action": "link", "client_no": …} (or "merge", which is remembered) or
    {"action": "create"} decides; one to EX-CLIENT-NEW gives the number and the name that are missing.
    """
    told = answers.get("EX-CLIENT-NEW", {})
    given = {name: str(told[name]) for name in ("client_no", "legal_name") if told.get(name)}
    offered = contract.client.model_copy(update=given)
    by_number = {client.client_no: client for client in known}
    if not offered.client_no or not offered.legal_name:
        raise case_about(contract, "EX-CLIENT-NEW", "the client has no number or no name", "data-steward", "create")
    decision = answers.get("EX-CLIENT-DUP", {})
    if decision.get("action") in ("link", "merge"):
        if decision.get("client_no") not in by_number:
            raise case_about(
                contract, "EX-CLIENT-DUP", f"no client {decision.get('client_no')}", "data-steward", *IS_ONE_OF_OURS
            )
        return by_number[str(decision["client_no"])]
    if offered.client_no in by_number or decision.get("action") == "create":
        return offered
    likely = look_alikes(offered, known)
    if likely:
        names = "; ".join(f"{c['client_no']} {c['name']} ({c['reason']})" for c in likely)
        cause = f"client {offered.legal_name} resembles {names}"
        raise case_about(
            contract,
            "EX-CLIENT-DUP",
            cause,
            "data-steward",
            *IS_ONE_OF_OURS,
            candidates=likely,
            offered=_facts(offered),
        )
    return offered


def look_alikes(offered: Client, known: Sequence[Client]) -> list[dict[str, Any]]:
    """Known clients of the same tax id, or of a like name in the same country, with what they are compared by."""
    return [one for one in (_candidate(offered, client) for client in known) if one]


def _facts(client: Client) -> dict[str, str]:
    """What a person compares clients by."""
    place = {"city": client.address.city, "region": client.address.region, "country": client.country}
    return {"client_no": client.client_no, "name": client.legal_name, "tax_id": client.tax_id, **place}


def _candidate(offered: Client, known: Client) -> dict[str, Any] | None:
    score = fuzz.token_sort_ratio(offered.legal_name.lower(), known.legal_name.lower())
    same_tax_id = bool(offered.tax_id) and offered.tax_id == known.tax_id
    if same_tax_id or (score >= SAME_NAME_SCORE and offered.country == known.country):
        reason = "same tax id" if same_tax_id else f"name {score:.0f} % alike, same country"
        return {**_facts(known), "score": round(score), "reason": reason}
    return None


def check_entity(contract: ContractVersion, entities: Mapping[str, LegalEntity], answers: Answers) -> LegalEntity:
    """P1.4a: the selling entity exists and is active."""
    code = str(answers.get("EX-LE", {}).get("entity", contract.entity))
    entity = entities.get(code)
    if entity is None or not entity.active:
        known = ", ".join(sorted(e.code for e in entities.values() if e.active))
        cause = f"legal entity {code or '(none)'} is not an active entity; there are: {known}"
        raise case_about(contract, "EX-LE", cause, "finance-master-data", "choose", given=code, known=known)
    return entity


def check_currency(contract: ContractVersion, entity: LegalEntity) -> str:
    """P1.4b: the entity may invoice in the contract's currency."""
    if not can_bill_in(contract.currency):
        cause = f"{contract.currency!r} is not an ISO 4217 currency one can bill in"
        raise case_about(contract, "EX-CCY", cause, "finance-master-data", currency=contract.currency)
    if contract.currency not in entity.currencies:
        cause = f"{entity.code} does not invoice in {contract.currency} (it does in {', '.join(entity.currencies)})"
        context = {"currency": contract.currency, "entity": entity.code}
        raise case_about(contract, "EX-CCY", cause, "finance-master-data", "add", **context)
    return contract.currency


def check_dimensions(contract: ContractVersion, entity: LegalEntity, answers: Answers) -> dict[str, str]:
    """P1.4c: every financial dimension the entity requires has a value. A missing one is never defaulted.

    An answer is read for the required dimensions only: what else it says (who decided, why) is no dimension.
    """
    told = answers.get("EX-DIM", {})
    given = {**contract.dimensions, **{name: str(told[name]) for name in entity.dimensions_required if told.get(name)}}
    missing = [name for name in entity.dimensions_required if not given.get(name)]
    if missing:
        cause = f"financial dimension {' and '.join(missing)} missing"
        raise case_about(contract, "EX-DIM", cause, "finance-master-data", "fill", missing=missing, given=given)
    return given


def check_tax(contract: ContractVersion, client: Client, registered: Sequence[str], answers: Answers) -> str:
    """P1.5: the entity is registered where the client is taxed, or the client is exempt with a certificate.

    Returns the place of taxation, such as US-NY or GB.
    """
    place = client.place_of_taxation
    certificate = str(answers.get("EX-TAX-REG", {}).get("exemption_certificate", client.exemption_certificate))
    if (client.tax_exempt or "EX-TAX-REG" in answers) and certificate:
        return place
    if place not in registered:
        where = ", ".join(registered) or "nowhere"
        cause = f"{contract.entity} is not registered for tax in {place} (it is in {where})"
        raise case_about(contract, "EX-TAX-REG", cause, "tax", "exempt", place=place)
    return place


def check_tax_decision(
    contract: ContractVersion, client: Client, entity: LegalEntity, on: date, answers: Answers
) -> str:
    """P1.5 for a client abroad without a tax engine: what the tax decision needs (a validated VAT id) is there."""
    decision = decide_tax(entity, client, [line.tax_category for line in contract.lines], on)
    if decision.hold and not answers.get("EX-TAX-REG", {}).get("exemption_certificate"):
        raise case_about(contract, "EX-TAX-REG", decision.hold, "tax", "exempt", place=decision.place_of_supply)
    return decision.place_of_supply


def check_payment_terms(
    contract: ContractVersion, erp_terms: Sequence[str], entity: LegalEntity, answers: Answers
) -> str:
    """P1.6: the ERP knows the payment terms, the entity their due date; the client is not blocked."""
    terms = str(answers.get("EX-TERMS", {}).get("payment_terms", contract.payment_terms))
    if terms not in erp_terms:
        cause = f"payment terms {terms or '(none)'} are unknown to the ERP; it knows {', '.join(erp_terms)}"
        raise case_about(contract, "EX-TERMS", cause, "receivables", "map", given=terms, known=list(erp_terms))
    if terms not in entity.payment_days:
        raise _no_due_date(contract, terms, entity)
    if contract.client.blocked and "EX-CREDIT" not in answers:
        raise case_about(contract, "EX-CREDIT", f"client {contract.client_no} is blocked", "receivables", "override")
    return terms


def check_same_currency(contract: ContractVersion, before: ContractVersion) -> None:
    """P4.3: what is priced and billed is in the contract's currency, so an amendment keeps it. EX-MAP-TERMS."""
    if contract.currency != before.currency:
        cause = f"it is in {before.currency} and cannot go on in {contract.currency}: end it and sign another contract"
        raise case_about(contract, "EX-MAP-TERMS", cause, "contract-operations", currency=before.currency)


def check_quota_begins(contract: ContractVersion, before: ContractVersion) -> None:
    """P4.3: the quota of a month is of one set of terms, so a retainer that begins anew does so with a month.
    EX-MAP-TERMS.
    """
    running = {line.line_uid: line.retainer for line in before.lines if line.retainer is not None}
    for line in contract.lines:
        then = running.get(line.line_uid)
        if line.retainer is None or then is None:
            continue
        day, month = line.retainer.start, line.retainer.start.replace(day=1)
        if day not in (then.start, month) and (then.end is None or then.end >= month):
            cause = f"the retainer of line {line.line_uid} begins anew on {day}, within a month that has a quota"
            raise case_about(contract, "EX-MAP-TERMS", f"{cause}: begin it on the first of one", "contract-operations")


def check_same_parties(
    contract: ContractVersion, before: ContractVersion, names: Collection[str], answers: Answers
) -> None:
    """P4.3: who sells and who buys stay the same by an amendment. EX-AMENDMENT, unless a person says that it is so.

    names: other names under which client and legal entity were known to be these when the contract was set up. A
    version that names nobody says nothing new.
    """
    if answers.get("EX-AMENDMENT", {}).get("action") == "keep":
        return
    parties = (("client", contract.client_no, before.client_no), ("legal entity", contract.entity, before.entity))
    others = [(what, told, now) for what, told, now in parties if told not in ("", now, *names)]
    if others:
        told = " and ".join(f"{what} {named}, and it runs with {now}" for what, named, now in others)
        cause = f"it names {told}: neither changes by an amendment; end the contract and sign another one"
        named = {what.split()[-1]: {"named": name, "runs_with": now} for what, name, now in others}
        raise case_about(contract, "EX-AMENDMENT", cause, "contract-operations", "keep", parties=named)


def amended_payment_terms(
    contract: ContractVersion, before: ContractVersion, entity: LegalEntity, answers: Answers
) -> str:
    """P4.3: the payment terms, which the entity must know the due date of where they are new. EX-TERMS otherwise."""
    terms = str(answers.get("EX-TERMS", {}).get("payment_terms", contract.payment_terms))
    if terms == before.payment_terms or terms in entity.payment_days:
        return terms
    raise _no_due_date(contract, terms, entity)


def _no_due_date(contract: ContractVersion, terms: str, entity: LegalEntity) -> NeedsDecision:
    known = sorted(entity.payment_days)
    cause = f"payment terms {terms or '(none)'} have no due date in {entity.code}; it knows {', '.join(known)}"
    return case_about(contract, "EX-TERMS", cause, "receivables", "map", given=terms, known=known)
