"""Who has approved: whom the contract names, and who has signed for it; it takes two persons."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from isthmus.domain.envelopes import Signature, SignedEnvelope
from isthmus.domain.errors import NeedsDecision
from isthmus.policies.readiness import check_approvals
from isthmus.policies.signatories import approvers, missing_approvals
from tests.policies.test_readiness import deal

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LEA, FRED = ("Lea Legal", "lea@firm.example"), ("Fred Finance", "fred@firm.example")


def envelope(*signers: tuple[str, tuple[str, str]], **changes: Any) -> SignedEnvelope:
    """A completed envelope about version 1; signers: role, and name with e-mail."""
    signatures = tuple(Signature(role=role, name=who[0], email=who[1], signed_at=NOON) for role, who in signers)
    facts = {"envelope_id": "E-1", "contract_no": "K-1", "version": 1, "state": "completed", "completed_at": NOON}
    return SignedEnvelope(**{**facts, "signatures": signatures, **changes})


BOTH = envelope(("legal", LEA), ("finance", FRED))
TWINS = ("Lea Legal", "another@firm.example"), ("L. Legal", " LEA@firm.example ")


@pytest.mark.parametrize(
    ("named", "signed", "found"),
    [
        (("", ""), [BOTH], ("lea@firm.example", "fred@firm.example")),
        (("ann", ""), [BOTH], ("ann", "fred@firm.example")),
        (("", "bob"), [envelope(("legal", LEA))], ("lea@firm.example", "bob")),
        (("ann", "bob"), [BOTH], ("ann", "bob")),
        (("", ""), [envelope(("legal", LEA)), envelope(("finance", FRED))], ("lea@firm.example", "fred@firm.example")),
        # one signer for both, another for one of them: there are two persons
        (("", ""), [envelope(("legal", LEA), ("legal", FRED), ("finance", LEA))], ("fred@firm.example", LEA[1])),
        (("ann", "ann"), [envelope(("finance", FRED))], ("ann", "fred@firm.example")),
        (("", ""), [envelope(("legal", ("No Mail", "")), ("finance", FRED))], ("No Mail", "fred@firm.example")),
    ],
)
def test_two_persons_named_or_signed(named: tuple[str, str], signed: Any, found: tuple[str, str]) -> None:
    approved = approvers(dict(zip(("legal", "finance"), named, strict=True)), signed)
    assert tuple(approved.values()) == found
    assert missing_approvals(approved) == []


@pytest.mark.parametrize(
    ("named", "signed", "missing"),
    [
        (("", ""), [], ["legal", "finance"]),
        (("", ""), [envelope(("client", FRED))], ["legal", "finance"]),
        (("", ""), [envelope(("legal", LEA))], ["finance"]),
        (("", "bob"), [envelope(("finance", LEA))], ["legal"]),
        (("ann", "Ann "), [], ["finance"]),
        (("", ""), [envelope(("legal", LEA), ("finance", LEA))], ["finance"]),
        *((("", ""), [envelope(("legal", LEA), ("finance", twin))], ["finance"]) for twin in TWINS),
        (("lea@firm.example", ""), [envelope(("finance", LEA))], ["finance"]),
        (("Lea Legal", ""), [envelope(("finance", LEA))], ["finance"]),
        (("", ""), [BOTH.model_copy(update={"state": "declined"})], ["legal", "finance"]),
        (("", ""), [BOTH.model_copy(update={"state": "voided"})], ["legal", "finance"]),
        (("", ""), [BOTH.model_copy(update={"change_order": "CO-1"})], ["legal", "finance"]),
    ],
)
def test_what_is_not_signed_by_two_persons_is_missing(named: tuple[str, str], signed: Any, missing: list[str]) -> None:
    assert missing_approvals(approvers(dict(zip(("legal", "finance"), named, strict=True)), signed)) == missing


def test_what_was_signed_is_the_document_where_the_contract_names_none() -> None:
    signed = BOTH.model_copy(update={"document_ref": "docusign:E-1", "document_hash": "abc"})
    plain = deal(legal_approved_by="", finance_approved_by="", document_ref="", document_hash="")
    agreed = check_approvals(plain, [signed])
    assert (agreed.legal_approved_by, agreed.finance_approved_by) == ("lea@firm.example", "fred@firm.example")
    assert (agreed.document_ref, agreed.document_hash) == ("docusign:E-1", "abc")
    own = plain.model_copy(update={"document_ref": "https://clm.example/K-1", "document_hash": "own"})
    kept = check_approvals(own, [signed])
    assert (kept.document_ref, kept.document_hash) == ("https://clm.example/K-1", "own")


def test_the_case_says_who_is_missing_and_who_has_declined() -> None:
    declined = envelope(state="declined", reason="Lea Legal: the cap is wrong", completed_at=None)
    with pytest.raises(NeedsDecision) as case:
        check_approvals(deal(legal_approved_by="", finance_approved_by="fritz"), [declined])
    assert case.value.exception == "EX-APPROVAL-INCOMPLETE"
    assert "not approved by legal; envelope E-1 was declined: Lea Legal: the cap is wrong" in case.value.message
    assert case.value.context["approved"] == {"legal": "", "finance": "fritz"}
