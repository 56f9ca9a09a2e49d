"""Signatures as evidence: kept once, and a contract that waits for an approval goes on when it is signed."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.domain.envelopes import ApprovalEvidence, Signature, SignedEnvelope
from isthmus.domain.errors import BadInput, NotOwner, StaleRead, Throttled
from isthmus.domain.objects import ContractVersion, Engagement
from isthmus.domain.states import CaseState, EngagementState
from isthmus.ports.messages import SignedPage
from isthmus.processes import sweeps
from isthmus.store.records import (
    AuditEntry,
    Case,
    InboxMessage,
    MessageState,
    OutboxEvent,
    RunRow,
    RunState,
    Watermark,
)
from tests.processes.hub import Hub, contract

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
RUN = "contract_to_project/K-1@1"
UNAPPROVED = contract(legal_approved_by="", finance_approved_by="")


def signed(*roles: str, number: int = 1, **changes: Any) -> SignedEnvelope:
    """A completed envelope about K-1@1, signed by one person for each role."""
    facts = {"envelope_id": f"E-{number}", "contract_no": "K-1", "version": 1, "state": "completed"}
    people = tuple(
        Signature(name=role.title(), email=f"{role}@firm.example", role=role, signed_at=NOON)
        for role in roles or ("legal", "finance", "client")
    )
    return SignedEnvelope(
        **{**facts, "completed_at": NOON, "signatures": people, "document_ref": f"esign:E-{number}", **changes}
    )


class Service:
    """An e-signature service: the envelopes that ended, all of them in each page."""

    name = writes_as = "esign"
    entities: tuple[str, ...] = ()

    def __init__(self, *envelopes: SignedEnvelope) -> None:
        self.envelopes = list(envelopes)
        self.unreadable: tuple[tuple[str, str], ...] = ()
        self.asked: list[str] = []
        self.read: list[str] = []
        self.answer: Any = None

    def envelopes_ended(self, watermark: str) -> SignedPage:
        self.asked.append(watermark)
        mark = f"w{len(self.envelopes)}"
        return SignedPage(envelopes=tuple(self.envelopes), watermark=mark, unreadable=self.unreadable)

    def read_envelope(self, envelope_id: str) -> SignedEnvelope:
        self.read.append(envelope_id)
        if isinstance(self.answer, Exception):
            raise self.answer
        known = next(one for one in self.envelopes if one.envelope_id == envelope_id)
        return self.answer or known.model_copy(update={"document_hash": f"hash of {envelope_id}"})


def sweep(hub: Hub, service: Service) -> int:
    new = sweeps.sweep_signatures(hub.kernel, service)
    hub.go()
    return new


def waiting_for_approval(hub: Hub) -> Case:
    [case] = hub.rows(Case, state=CaseState.OPEN, exception="EX-APPROVAL-INCOMPLETE")
    assert isinstance(case, Case)
    return case


def agreed(hub: Hub) -> ContractVersion:
    (version,) = hub.rows(ContractVersion)
    assert isinstance(version, ContractVersion)
    return version


# -- evidence ----------------------------------------------------------------------------------------------------


def test_each_envelope_that_ended_is_kept_once_with_audit_and_event() -> None:
    hub = Hub()
    declined = signed(number=2, state="declined", completed_at=None, signatures=(), reason="Legal: no")
    service = Service(signed(), declined)
    assert [sweep(hub, service) for _ in range(3)] == [2, 0, 0]
    kept = hub.rows(ApprovalEvidence, order=("envelope_id",))
    assert [(e.source, e.envelope_id, e.state, e.document_hash, e.reason) for e in kept] == [
        ("esign", "E-1", "completed", "hash of E-1", ""),
        ("esign", "E-2", "declined", "", "Legal: no"),
    ]
    assert service.read == ["E-1"]  # a service may not be asked for one envelope again and again
    assert service.asked == ["", "w2", "w2"]
    assert [(w.feed, w.value) for w in hub.rows(Watermark)] == [("signatures", "w2")]
    events = [e for e in hub.rows(OutboxEvent) if e.type.startswith("envelope.")]
    assert [(e.type, e.aggregate, e.correlation_id, e.actor) for e in events] == [
        ("envelope.completed", "contract:K-1", "contract:K-1", "esign"),
        ("envelope.declined", "contract:K-1", "contract:K-1", "esign"),
    ]
    (audit,) = hub.rows(AuditEntry, action="envelope.completed")
    assert audit.subject == "contract:K-1@1" and audit.after["document_hash"] == "hash of E-1"
    assert [one["role"] for one in audit.after["signed_by"]] == ["legal", "finance", "client"]


def test_what_names_no_version_is_quarantined() -> None:
    hub, service = Hub(), Service()
    service.unreadable = (("E-9", "envelope E-9: the custom field contract_version is empty"),)
    assert sweep(hub, service) == 0
    (message,) = hub.rows(InboxMessage)
    assert (message.state, message.kind, message.raw) == (MessageState.QUARANTINED, "envelope.ended", "E-9")


def test_a_document_that_is_gone_holds_up_no_other_envelope_and_its_own_says_so() -> None:
    hub, service = Hub(), Service(signed(), signed(number=2))
    service.answer = BadInput("envelope E-1: its signed document is empty")
    assert sweep(hub, service) == 2
    kept = hub.rows(ApprovalEvidence, order=("envelope_id",))
    assert [e.document_hash for e in kept] == ["", ""]
    assert kept[0].reason == "the signed document cannot be read: envelope E-1: its signed document is empty"


@pytest.mark.parametrize("answer", [Throttled("an hour is full", 600.0), signed(state="sent", completed_at=None)])
def test_an_envelope_that_cannot_be_read_now_is_read_later_and_nothing_is_passed_over(answer: Any) -> None:
    hub, service = Hub(), Service(signed())
    service.answer = answer
    with pytest.raises((Throttled, StaleRead)):
        sweep(hub, service)
    assert hub.rows(ApprovalEvidence) == [] and hub.rows(Watermark) == []
    service.answer = None
    assert sweep(hub, service) == 1


def test_a_system_that_does_not_own_approvals_is_refused_at_the_gate() -> None:
    hub, service = Hub(), Service(signed())
    service.writes_as = "crm"
    with pytest.raises(NotOwner, match="crm may not write approval"):
        sweep(hub, service)
    assert hub.rows(ApprovalEvidence) == []


# -- approval ----------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SYS-24")
def test_a_completed_envelope_is_the_approval_evidence_of_a_contract() -> None:
    hub = Hub()
    sweep(hub, Service(signed()))
    assert hub.set_up(UNAPPROVED).state is RunState.DONE
    version = agreed(hub)
    assert (version.legal_approved_by, version.finance_approved_by) == ("legal@firm.example", "finance@firm.example")
    assert (version.document_ref, version.document_hash) == ("esign:E-1", "hash of E-1")
    (kept,) = hub.rows(AuditEntry, action="contract.keep")
    assert kept.after == {
        "hash": "hash of E-1",
        "document": "esign:E-1",
        "legal_approved_by": "legal@firm.example",
        "finance_approved_by": "finance@firm.example",
    }
    assert hub.rows(Case) == []


@pytest.mark.requirement("SYS-24")
def test_a_contract_that_waits_for_its_approval_goes_on_by_itself_when_it_is_signed() -> None:
    hub = Hub()
    assert hub.set_up(UNAPPROVED).state is RunState.PARKED
    case = hub.case()
    assert (case.exception, case.context["missing"]) == ("EX-APPROVAL-INCOMPLETE", ["legal", "finance"])
    service = Service(signed())
    assert sweep(hub, service) == 2
    assert hub.run(RUN).state is RunState.DONE
    (closed,) = hub.rows(Case)
    assert (closed.state, closed.resolved_by) == (CaseState.RESOLVED, "esign")
    assert closed.resolution == {
        "action": "retry",
        "envelopes": ["E-1"],
        "reason": "envelope E-1 is completed, signed by Legal (legal), Finance (finance), Client (client)",
    }
    (audit,) = hub.rows(AuditEntry, action="case.resolve")
    assert (audit.actor, audit.reason) == ("esign", closed.resolution["reason"])
    assert agreed(hub).finance_approved_by == "finance@firm.example"
    runs, events = len(hub.rows(RunRow)), len(hub.rows(OutboxEvent))
    assert [sweep(hub, service) for _ in range(2)] == [0, 0]
    assert (len(hub.rows(RunRow)), len(hub.rows(OutboxEvent))) == (runs, events)


def test_the_crm_names_one_and_the_envelope_has_the_other() -> None:
    hub = Hub()
    hub.set_up(contract(finance_approved_by=""))
    sweep(hub, Service(signed("finance")))
    assert hub.run(RUN).state is RunState.DONE
    version = agreed(hub)
    assert (version.legal_approved_by, version.finance_approved_by) == ("lea", "finance@firm.example")


@pytest.mark.parametrize(
    "envelope",
    [
        signed("legal"),
        signed("client"),
        signed(version=2),
        signed(contract_no="K-2"),
        signed(change_order="CO-1"),
        signed(state="declined", completed_at=None),
        signed(state="voided", completed_at=None),
    ],
    ids=["legal only", "client only", "another version", "another contract", "change order", "declined", "voided"],
)
def test_what_does_not_approve_this_version_leaves_the_case_to_a_person(envelope: SignedEnvelope) -> None:
    hub = Hub()
    hub.set_up(UNAPPROVED)
    assert sweep(hub, Service(envelope)) == 1
    assert hub.run(RUN).state is RunState.PARKED
    assert waiting_for_approval(hub).state is CaseState.OPEN


def test_one_person_who_signs_for_both_approves_for_neither() -> None:
    hub = Hub()
    hub.set_up(UNAPPROVED)
    both = tuple(Signature(name="Lea", email="lea@firm.example", role=r, signed_at=NOON) for r in ("legal", "finance"))
    service = Service(signed(signatures=both))
    sweep(hub, service)
    assert hub.case().exception == "EX-APPROVAL-INCOMPLETE"
    hub.resolve("retry")
    assert "lea@firm.example has approved for legal and for finance; it takes two persons" in hub.case().cause
    assert sweep(hub, service) == 0
    service.envelopes.append(signed("finance", number=2))
    sweep(hub, service)
    assert hub.run(RUN).state is RunState.DONE


def test_evidence_that_came_while_the_run_was_parking_is_found_by_the_next_look() -> None:
    hub, service = Hub(), Service(signed())
    hub.systems.crm.put_contract(UNAPPROVED)
    park = hub.kernel.park

    def park_late(*args: Any) -> Case:
        """The run has looked for evidence in vain; it comes before the case is there to be answered."""
        sweeps.sweep_signatures(hub.kernel, service)
        return park(*args)

    hub.kernel.park = park_late  # type: ignore[method-assign]
    sweeps.sweep_contracts(hub.kernel, hub.systems.crm)
    hub.go()
    assert hub.run(RUN).state is RunState.PARKED
    assert sweep(hub, service) == 1
    assert hub.run(RUN).state is RunState.DONE


def test_a_case_that_a_person_has_in_hand_is_left_to_them() -> None:
    hub = Hub()
    hub.set_up(UNAPPROVED)
    with hub.store.transaction() as tx:
        tx.update(hub.case().model_copy(update={"pending": "P-000001"}))
    sweep(hub, Service(signed()))
    assert hub.case().pending == "P-000001"


def test_the_case_of_a_declined_envelope_says_who_declined() -> None:
    hub = Hub()
    sweep(hub, Service(signed(state="declined", completed_at=None, signatures=(), reason="Carl Client: too dear")))
    hub.set_up(UNAPPROVED)
    assert "envelope E-1 was declined: Carl Client: too dear" in waiting_for_approval(hub).cause


def test_the_engagement_is_requested_once_however_often_it_is_signed() -> None:
    hub = Hub()
    hub.set_up(UNAPPROVED)
    for number in range(1, 4):
        sweep(hub, Service(signed(number=number)))
    (engagement,) = hub.rows(Engagement)
    assert engagement.state is EngagementState.ACTIVE
    assert hub.systems.psa.duplicates() + hub.systems.erp.duplicates() == []


# -- change orders -----------------------------------------------------------------------------------------------


def change(number: int = 1, **facts: Any) -> SignedEnvelope:
    """A change order that the client has signed: 2,500.00 more."""
    return signed("client", number=number, **{"change_order": "CO-1", "cap_delta": "2500.00", **facts})


def caps(hub: Hub) -> list[tuple[int, Decimal, str]]:
    versions = hub.rows(ContractVersion, order=("version",))
    return [(one.version, one.caps[0].limit, one.document_ref) for one in versions]


@pytest.mark.requirement("SYS-24")
def test_a_signed_change_order_changes_the_cap_once() -> None:
    hub = Hub()
    hub.set_up()
    service = Service(change(), change(number=2))  # the same change order, signed in two envelopes
    assert sweep(hub, service) == 2
    [_, new] = caps(hub)
    assert new == (2, Decimal("12500.00"), "esign:E-1")
    assert hub.run("change_order/K-1:CO-1").args["accepted_on"] == "2026-03-02"
    [project] = [row for row in hub.systems.psa.things["project"] if row["key"] == "P-K-1"]
    assert Decimal(str(project["budget"])) == Decimal("12500.00")
    assert [sweep(hub, service) for _ in range(2)] == [0, 0] and len(caps(hub)) == 2
    assert hub.rows(Case) == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("", "its envelope does not say it"),
        ("1,250", "'1,250' is no amount of USD"),
        ("12.345", "is no amount of USD"),
        ("0", "is no amount of USD"),
    ],
)
def test_a_change_that_the_envelope_does_not_say_is_read_by_a_person(said: str, told: str) -> None:
    hub = Hub()
    hub.set_up()
    sweep(hub, Service(change(cap_delta=said)))
    assert hub.case().exception == "EX-CHANGE-ORDER" and told in hub.case().cause and len(caps(hub)) == 1
    hub.resolve("enter", cap_delta="-500.00")
    hub.go()
    assert [limit for _, limit, _ in caps(hub)] == [Decimal("10000.00"), Decimal("9500.00")]


def test_a_change_order_of_a_contract_we_do_not_have_waits_for_it() -> None:
    hub = Hub()
    sweep(hub, Service(change()))
    assert "there is no contract K-1" in hub.case().cause
    hub.set_up()
    hub.resolve("retry")
    hub.go()
    assert len(caps(hub)) == 2


def test_an_amount_that_differs_from_what_was_handed_in_is_a_case() -> None:
    hub = Hub()
    hub.set_up()
    args = {"contract_no": "K-1", "change_order": "CO-1", "cap_delta": "1000.00", "accepted_on": "2026-03-02"}
    hub.start("change_order", "K-1:CO-1", **args, evidence="by hand")
    sweep(hub, Service(change()))
    assert "was handed in for 1000.00, signed is 2500.00" in hub.case().cause
    assert [limit for _, limit, _ in caps(hub)] == [Decimal("10000.00"), Decimal("11000.00")]


# -- not signed --------------------------------------------------------------------------------------------------


@pytest.mark.requirement("SYS-24")
@pytest.mark.parametrize("state", ["declined", "voided"])
@pytest.mark.parametrize("about", ["", "CO-1"], ids=["contract", "change order"])
def test_what_was_not_signed_is_a_case_with_its_owner_until_another_is_signed(state: str, about: str) -> None:
    hub = Hub()
    hub.set_up()
    refused = change(number=7, state=state, completed_at=None, signatures=(), reason="Carl Client: too dear")
    refused = refused.model_copy(update={"change_order": about})
    service = Service(refused)
    sweep(hub, service)
    case = hub.case()
    assert (case.exception, case.queue, case.state) == ("EX-NOT-SIGNED", "contract-operations", CaseState.OPEN)
    assert f"was {state}: Carl Client: too dear" in case.cause and ("change order CO-1" in case.cause) is bool(about)
    assert len(caps(hub)) == 1, "nothing follows from what nobody signed"
    hub.resolve("retry")
    assert hub.case().exception == "EX-NOT-SIGNED"
    service.envelopes.append(change(number=8) if about else signed(number=8))
    sweep(hub, service)
    assert hub.rows(Case, state=CaseState.OPEN) == []
    assert hub.run("refused_signature/esign:E-7").state is RunState.DONE
    assert len(caps(hub)) == (2 if about else 1)


def test_what_was_not_signed_can_be_called_off() -> None:
    hub = Hub()
    hub.set_up()
    sweep(hub, Service(change(state="voided", completed_at=None, signatures=(), reason="sent by mistake")))
    hub.resolve("call_off")
    hub.go()
    assert hub.run("refused_signature/esign:E-1").state is RunState.DONE and len(caps(hub)) == 1
