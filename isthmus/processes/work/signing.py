"""Envelopes that ended, as evidence of approval: kept once, and contracts that wait for what they hold go on.

A signed change order starts the change it is about; one that was declined or voided waits for a person, until another
envelope about the same is signed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from decimal import Decimal

from isthmus.domain.envelopes import ApprovalEvidence, SignedEnvelope
from isthmus.domain.errors import NeedsDecision
from isthmus.domain.money import is_exact_amount
from isthmus.domain.objects import ContractVersion
from isthmus.domain.states import CaseState
from isthmus.policies.signatories import approvers, is_evidence, missing_approvals
from isthmus.processes.work.asking import ask_again
from isthmus.runtime.books import Books
from isthmus.runtime.clock import local_day
from isthmus.store.records import Case, RunRow

EXCEPTION = "EX-APPROVAL-INCOMPLETE"


def keep_envelope(books: Books, source: str, envelope: SignedEnvelope) -> bool:
    """Keep an envelope that ended as evidence, with audit and event; False when it is kept already."""
    told = {name: value for name, value in dict(envelope).items() if name != "cap_delta"}
    evidence = ApprovalEvidence(source=source, kept_at=books.now, **told)
    if not books.tx.insert_new(evidence):
        return False
    about = f"{envelope.contract_no}@{envelope.version}"
    facts = {
        "envelope": envelope.envelope_id,
        "contract": about,
        "change_order": envelope.change_order,
        "cap_delta": envelope.cap_delta,
        "signed_by": [{"role": s.role, "name": s.name, "email": s.email} for s in envelope.signatures],
        "document_hash": envelope.document_hash,
        "reason": envelope.reason,
    }
    books.emit(f"envelope.{envelope.state}", f"contract:{envelope.contract_no}", facts)
    books.audit(f"envelope.{envelope.state}", f"contract:{about}", reason=envelope.reason, after=facts)
    _start_what_follows(books, source, envelope)
    return True


def _start_what_follows(books: Books, source: str, envelope: SignedEnvelope) -> None:
    """What an envelope that ended begins; a contract's own approval begins nothing, its run asks for it."""
    if envelope.state == "completed" and not envelope.change_order:
        return
    running = books.tx.find(ContractVersion, contract_no=envelope.contract_no, order=("-version",), limit=1)
    args: dict[str, str] = {"source": source, "envelope_id": envelope.envelope_id}
    process = "refused_signature"
    if envelope.state == "completed":
        process = "signed_change_order"
        args["cap_delta"] = envelope.cap_delta
    entity = running[0].entity if running else ""
    books.start(process, f"{source}:{envelope.envelope_id}", args, entity=entity)


def change_signed(books: Books, source: str, envelope_id: str, cap_delta: str) -> dict[str, str]:
    """What the change order is to be asked for. NeedsDecision EX-CHANGE-ORDER for what the envelope leaves open.

    The amount is the envelope's, or what a person has read in the document; the day is that of the entity on which all
    had signed.
    """
    envelope = books.tx.get(ApprovalEvidence, source, envelope_id)
    assert envelope is not None and envelope.completed_at is not None
    versions = books.tx.find(ContractVersion, contract_no=envelope.contract_no, order=("-version",), limit=1)
    delta = str(books.answers.get("EX-CHANGE-ORDER", {}).get("cap_delta", "") or cap_delta).strip()
    if not versions:
        raise _left_open(envelope, f"there is no contract {envelope.contract_no}")
    if not any(cap.scope == "contract" for cap in versions[0].caps):
        raise _left_open(envelope, f"contract {versions[0].key} has no cap to change")
    if not _is_amount(delta, versions[0].currency):
        told = f"{delta!r} is no amount of {versions[0].currency}" if delta else "its envelope does not say it"
        raise _left_open(envelope, f"by how much the cap changes: {told}")
    return {
        "contract_no": envelope.contract_no,
        "change_order": envelope.change_order,
        "cap_delta": delta,
        "accepted_on": local_day(envelope.completed_at, books.entity(versions[0].entity).time_zone).isoformat(),
        "evidence": envelope.document_ref,
    }


def _is_amount(text: str, currency: str) -> bool:
    found = re.fullmatch(r"[+-]?\d+(\.\d+)?", text)
    return bool(found) and Decimal(text) != 0 and is_exact_amount(Decimal(text), currency)


def _left_open(envelope: ApprovalEvidence, cause: str) -> NeedsDecision:
    return NeedsDecision(
        "EX-CHANGE-ORDER",
        f"change order {envelope.change_order} of {envelope.contract_no} is signed ({envelope.document_ref}): {cause}",
        queue="contract-operations",
        context={"contract": f"{envelope.contract_no}@{envelope.version}", "envelope": envelope.envelope_id},
        actions=("enter", "retry", "cancel"),
    )


def start_change(books: Books, change: dict[str, str]) -> str:
    """The change order's run, once, whoever handed it in first."""
    key = f"{change['contract_no']}:{change['change_order']}"
    known = books.tx.get(RunRow, f"change_order/{key}")
    if known is not None:
        if known.args.get("cap_delta") != change["cap_delta"]:
            raise NeedsDecision(
                "EX-CHANGE-ORDER",
                f"change order {key} was handed in for {known.args.get('cap_delta')}, signed is {change['cap_delta']}",
                queue="contract-operations",
                context={"run": known.run_id, "signed": change["cap_delta"]},
                actions=("retry", "cancel"),
            )
        books.quiet("duplicate", f"change_order:{key}", "it was handed in before it was signed here")
        return f"{key} was handed in before"
    return books.start("change_order", key, change).run_id


def settle_refused(books: Books, source: str, envelope_id: str) -> str:
    """How an envelope that nobody signed ended: another about the same is signed, or a person has called it off.

    NeedsDecision EX-NOT-SIGNED until then: work must not begin on what a client has not signed.
    """
    envelope = books.tx.get(ApprovalEvidence, source, envelope_id)
    assert envelope is not None
    if signed := signed_instead(books, envelope):
        return f"signed with envelope {signed.envelope_id}"
    answer = books.answers.get("EX-NOT-SIGNED", {})
    if answer.get("action") == "call_off":
        return f"called off by {answer.get('by', '')}"
    what = f"change order {envelope.change_order} of " if envelope.change_order else ""
    about = f"{envelope.contract_no}@{envelope.version}"
    raise NeedsDecision(
        "EX-NOT-SIGNED",
        f"envelope {envelope_id} about {what}{about} was {envelope.state}: {envelope.reason or 'no reason given'}",
        queue="contract-operations",
        context={"contract": about, "envelope": envelope_id, "source": source, "change_order": envelope.change_order},
        actions=("call_off", "retry"),
    )


def signed_instead(books: Books, envelope: ApprovalEvidence) -> ApprovalEvidence | None:
    """A completed envelope about the same thing as one that was not signed, if there is one."""
    about = evidence_about(books, envelope.contract_no, envelope.version)
    same = (one for one in about if one.change_order == envelope.change_order)
    return next((one for one in same if one.state == "completed"), None)


def answer_refused(books: Books) -> int:
    """Resolve the cases of envelopes that were not signed and are by now, by another one; the number of them."""
    answered = 0
    for case in books.tx.find(Case, exception="EX-NOT-SIGNED", state=CaseState.OPEN, order=("case_no",)):
        envelope = books.tx.get(ApprovalEvidence, case.context.get("source", ""), case.context.get("envelope", ""))
        if envelope is not None and (signed := signed_instead(books, envelope)):
            answered += ask_again(books, case.case_no, _told([signed]), envelopes=[signed.envelope_id])
    return answered


def evidence_about(books: Books, contract_no: str, version: int) -> list[ApprovalEvidence]:
    """Envelopes about a contract version that ended, in the order the hub learned of them."""
    order = ("kept_at", "source", "envelope_id")
    return books.tx.find(ApprovalEvidence, contract_no=contract_no, version=version, order=order)


def answer_waiting_approvals(books: Books) -> int:
    """Resolve the cases of missing approvals that are signed for by now; the number of them.

    Every open one is looked at, not only those of new envelopes: a run may have parked while its evidence was on its
    way.
    """
    answered = 0
    for case in books.tx.find(Case, exception=EXCEPTION, state=CaseState.OPEN, order=("case_no",)):
        contract_no, _, version = str(case.context.get("contract", "")).rpartition("@")
        envelopes = evidence_about(books, contract_no, int(version)) if version.isdigit() else []
        signed = [envelope for envelope in envelopes if is_evidence(envelope)]
        if signed and not missing_approvals(approvers(case.context.get("approved", {}), signed)):
            ids = [envelope.envelope_id for envelope in signed]
            answered += ask_again(books, case.case_no, _told(signed), envelopes=ids)
    return answered


def _told(signed: Iterable[ApprovalEvidence]) -> str:
    return "; ".join(
        f"envelope {e.envelope_id} is completed, signed by "
        + ", ".join(f"{s.name} ({s.role or 'no role'})" for s in e.signatures)
        for e in signed
    )
