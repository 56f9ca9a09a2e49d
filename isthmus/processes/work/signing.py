"""Envelopes that ended, as evidence of approval: kept once, and contracts that wait for what they hold go on."""

from __future__ import annotations

from collections.abc import Iterable

from isthmus.domain.envelopes import ApprovalEvidence, SignedEnvelope
from isthmus.domain.states import CaseState
from isthmus.policies.signatories import approvers, is_evidence, missing_approvals
from isthmus.processes.work.asking import ask_again
from isthmus.runtime.books import Books
from isthmus.store.records import Case

EXCEPTION = "EX-APPROVAL-INCOMPLETE"


def keep_envelope(books: Books, source: str, envelope: SignedEnvelope) -> bool:
    """Keep an envelope that ended as evidence, with audit and event; False when it is kept already."""
    evidence = ApprovalEvidence(source=source, kept_at=books.now, **dict(envelope))
    if not books.tx.insert_new(evidence):
        return False
    about = f"{envelope.contract_no}@{envelope.version}"
    facts = {
        "envelope": envelope.envelope_id,
        "contract": about,
        "change_order": envelope.change_order,
        "signed_by": [{"role": s.role, "name": s.name, "email": s.email} for s in envelope.signatures],
        "document_hash": envelope.document_hash,
        "reason": envelope.reason,
    }
    books.emit(f"envelope.{envelope.state}", f"contract:{envelope.contract_no}", facts)
    books.audit(f"envelope.{envelope.state}", f"contract:{about}", reason=envelope.reason, after=facts)
    return True


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
