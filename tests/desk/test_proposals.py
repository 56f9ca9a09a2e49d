"""Deciding: with a dry run as evidence, by whoever the queue belongs to, and with a second person where money moves."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from isthmus.desk import proposals
from isthmus.desk.proposals import Choice
from isthmus.desk.second import need_of
from isthmus.domain.errors import BadInput, IllegalTransition, NotPermitted
from isthmus.domain.objects import BillablePart, Client, Invoice, Payment
from isthmus.domain.party import Approval
from isthmus.domain.states import CaseState, PartState, Posting
from isthmus.policies.authority import Actor
from isthmus.runtime.kernel import Kernel
from isthmus.store.desk_records import ClientAlias, Proposal, ProposalState
from isthmus.store.records import Case, RunState
from tests.desk.stage import BERT, CORA, FAY, FINN, INES, PIA, RITA, STELLA, TARA, Desk, person
from tests.processes.hub import CLIENT, ENTITY, contract, entry
from tests.runtime.test_edits import refuse


def without_cost_center() -> Desk:
    desk = Desk()
    desk.set_up(contract(dimensions={"practice": "DIGITAL"}))
    return desk


@pytest.mark.requirement("WF-19")
def test_a_decision_resumes_the_same_run_at_the_same_step() -> None:
    desk = without_cost_center()
    case = desk.case()
    before = desk.steps(case.run_id)
    assert desk.run(case.run_id).state is RunState.PARKED and not desk.systems.erp.things
    decided, proposal = desk.decide(FINN, "fill", cost_center="CC-9")
    assert (decided.state, decided.resolved_by) == (CaseState.RESOLVED, "finn")
    after = desk.steps(case.run_id)
    assert after[: len(before)] == before and len(after) == len(set(after))
    assert after[len(before)] == "Complete the financial dimensions"
    assert proposal.state is ProposalState.CARRIED_OUT


@pytest.mark.requirement("EXC-04")
def test_every_decision_leaves_who_when_why_before_and_after() -> None:
    desk = without_cost_center()
    decided, proposal = desk.decide(FINN, "fill", cost_center="CC-9")
    (line,) = desk.notes(decided.case_no)
    assert (line.by, line.kind, line.text, line.at) == ("finn", "resolve", "looked into it", proposal.proposed_at)
    assert line.after == {
        "proposal": proposal.proposal_no,
        "action": "fill",
        "values": {"cost_center": "CC-9"},
    }
    (entry_,) = [
        e for e in desk.audited("case.resolve") if e.subject == decided.case_no and e.before == {"state": "open"}
    ]
    assert entry_.actor == "finn" and (entry_.after or {})["state"] == "resolved"


def test_there_is_no_decision_without_its_dry_run() -> None:
    desk = without_cost_center()
    _, proposal = desk.decide(FINN, "fill", cost_center="CC-9")
    writes = [write["what"] for write in proposal.dry_run["writes"]]
    assert "Create the client or bring it to these facts" in writes
    assert proposal.dry_run["digest"] and proposal.dry_run["ends"].startswith("The run would go on")
    assert all(p.dry_run for p in desk.rows(Proposal))


def test_the_dry_run_shows_what_changes_in_money() -> None:
    desk = Desk()
    desk.set_up()
    desk.capture(entry(1, "8"), entry(2, "8"))
    evidence = proposals.preview(desk.kernel, PIA, desk.case().case_no, Choice("accept", "both worked"))
    (change,) = evidence.money
    assert (change.what, change.before, change.after, change.change) == (
        "evidence ready",
        "1,480.00",
        "2,960.00",
        "+1,480.00",
    )
    assert len(desk.rows(BillablePart)) == 1


def test_only_the_queue_s_own_roles_decide_and_only_for_their_entities() -> None:
    desk = without_cost_center()
    for who in (RITA, BERT, INES):
        with pytest.raises(NotPermitted):
            desk.decide(who, "fill", cost_center="CC-9")
    german = person("gerd", "finance", entities=frozenset({"DE01"}))
    with pytest.raises(NotPermitted, match="does not serve the legal entity US01"):
        desk.decide(german, "fill", cost_center="CC-9")
    assert desk.case().state is CaseState.OPEN and not desk.rows(Proposal)


def test_a_form_is_validated_before_it_is_submitted() -> None:
    desk = without_cost_center()
    with pytest.raises(BadInput, match="needs cost_center"):
        desk.decide(FINN, "fill")
    with pytest.raises(BadInput, match="takes no region"):
        desk.decide(FINN, "fill", cost_center="CC-9", region="EMEA")
    with pytest.raises(BadInput, match="offers fill, retry, cancel; not 'approve'"):
        desk.decide(FINN, "approve")


# -- two persons ------------------------------------------------------------------------------------------------


def duplicate_hours() -> Desk:
    desk = Desk()
    desk.set_up()
    desk.capture(entry(1, "8"), entry(2, "8"))
    case = desk.case()
    with desk.store.transaction() as tx:
        tx.update(case.model_copy(update={"amount": Decimal("1480.00"), "currency": "USD"}))
    return desk


def test_money_needs_a_second_person() -> None:
    desk = duplicate_hours()
    waiting, proposal = desk.decide(PIA, "accept")
    assert waiting.state is CaseState.OPEN and waiting.pending == proposal.proposal_no
    assert proposal.why_second == "1,480.00 USD is at stake: a second person agrees"
    assert len(desk.rows(BillablePart)) == 1
    with pytest.raises(NotPermitted, match="another person must agree"):
        desk.agree(PIA, proposal)
    with pytest.raises(NotPermitted, match="another person must agree"):
        desk.agree(person(" PIA ", "project_manager"), proposal)
    with pytest.raises(NotPermitted, match="may not agree"):
        desk.agree(FINN, proposal)
    resolved, agreed = desk.agree(person("paul", "project_manager"), proposal)
    assert (resolved.resolved_by, (resolved.resolution or {})["agreed_by"]) == ("pia", "paul")
    assert (agreed.state, agreed.decided_by) == (ProposalState.CARRIED_OUT, "paul")
    assert len(desk.rows(BillablePart)) == 2
    assert [line.kind for line in desk.notes(resolved.case_no)] == ["propose", "agree", "resolve"]


def test_a_proposal_can_be_declined_or_withdrawn_and_then_decided_anew() -> None:
    desk = duplicate_hours()
    _, proposal = desk.decide(PIA, "accept")
    with pytest.raises(IllegalTransition, match="waits for a second person"):
        desk.decide(PIA, "cancel")
    with desk.books(PIA) as books, pytest.raises(NotPermitted):
        proposals.decline(books, PIA, proposal.proposal_no, "no", desk.config)
    paul = person("paul", "project_manager")
    with desk.books(paul) as books:
        again, declined = proposals.decline(books, paul, proposal.proposal_no, "one hour only", desk.config)
    assert (again.pending, declined.state) == ("", ProposalState.DECLINED)
    _, second = desk.decide(PIA, "accept")
    with desk.books(paul) as books, pytest.raises(NotPermitted, match="others decline it"):
        proposals.withdraw(books, paul, second.proposal_no, "mine")
    with desk.books(PIA) as books:
        proposals.withdraw(books, PIA, second.proposal_no, "a mistake")
    with desk.books(paul) as books, pytest.raises(IllegalTransition, match="is withdrawn already"):
        proposals.approve(books, paul, second.proposal_no, "late", desk.config)
    desk.decide(PIA, "cancel")
    assert not desk.rows(Case, state=CaseState.OPEN)


def over_cap(amount: str, limit: str = "100.00") -> Desk:
    """A write-off of this much waits for approval, asked for by pia."""
    desk = Desk()
    desk.set_up(contract(caps=(contract().caps[0].model_copy(update={"limit": Decimal(limit)}),)))
    days = [entry(n, "24", day=n, person=f"p{n}") for n in range(1, 10)]
    desk.capture(*days)
    desk.start(
        "write_off",
        "K-1:W-1",
        contract_no="K-1",
        amount=amount,
        state="over_cap",
        requested_by="pia",
        reason="goodwill",
    )
    return desk


def test_write_offs_follow_the_approval_matrix() -> None:
    for amount, may, may_not in (("200.00", FINN, None), ("9000.00", FINN, None), ("20000.00", CORA, FINN)):
        desk = over_cap(amount)
        if may_not:
            with pytest.raises(NotPermitted, match="approval matrix"):
                desk.decide(may_not, "approve", desk.case("EX-WRITE-OFF").case_no)
        resolved, proposal = desk.decide(may, "approve", desk.case("EX-WRITE-OFF").case_no)
        assert resolved.state is CaseState.RESOLVED and not proposal.needs_second
        assert sum(p.net for p in desk.rows(BillablePart, state=PartState.WRITTEN_OFF)) == Decimal(amount)


@pytest.mark.parametrize(
    ("hours", "may", "may_not"),
    [("8", FINN, PIA), ("60", CORA, FINN), ("100", None, CORA)],
    ids=["small", "large", "no row"],
)
def test_a_legal_entity_says_itself_who_approves_its_credits(hours: str, may: Actor | None, may_not: Actor) -> None:
    """Finance up to 5,000.00, the controller up to 15,000.00; above that no row reaches."""
    rows = (("finance", "5000.00"), ("controller", "15000.00"))
    matrix = tuple(Approval(action="credit", role=role, up_to=Decimal(up_to)) for role, up_to in rows)
    desk = Desk(entity=ENTITY.model_copy(update={"approval_matrix": matrix}))
    desk.set_up(contract(caps=()))
    desk.capture(*(entry(n, str(Decimal(hours) / 10), day=n) for n in range(1, 11)))
    desk.bill("a")
    args = {"invoice_id": "K-1:a", "amounts": {}, "reason": "concession"}
    desk.start("credit_invoice", "all", requested_by="ana", **args)
    with pytest.raises(NotPermitted, match="by the approval matrix of US01, credit of"):
        desk.decide(may_not, "approve")
    if may is not None:
        resolved, _ = desk.decide(may, "approve")
        assert resolved.state is CaseState.RESOLVED


def test_who_asked_for_a_write_off_does_not_approve_it() -> None:
    desk = over_cap("200.00")
    with pytest.raises(NotPermitted, match="prepared it"):
        desk.decide(person("pia", "finance"), "approve", desk.case("EX-WRITE-OFF").case_no)


def test_a_waiver_follows_the_matrix_and_ends_waived() -> None:
    for limit, needs in (("200.00", False), ("5000.00", True)):
        desk = Desk()
        blocked = CLIENT.model_copy(update={"blocked": True})
        cap = contract().caps[0].model_copy(update={"limit": Decimal(limit)})
        desk.set_up(contract(client=blocked, caps=(cap,)))
        waived, proposal = desk.decide(FINN, "override")
        assert proposal.needs_second is needs
        if needs:
            waived, _ = desk.agree(FAY, proposal)
        assert waived.state is CaseState.WAIVED
        assert desk.run(waived.run_id).state is RunState.DONE


def test_an_amount_in_another_currency_is_held_to_the_last_row() -> None:
    desk = Desk(entity=ENTITY.model_copy(update={"currencies": ("USD", "EUR")}))
    blocked = CLIENT.model_copy(update={"blocked": True})
    cap = contract().caps[0].model_copy(update={"limit": Decimal("200.00")})
    desk.set_up(contract(client=blocked, currency="EUR", caps=(cap,)))
    with desk.store.transaction() as tx:
        need = need_of(tx, desk.case(), "override", desk.config)
    assert need.second and need.roles == {"controller"}


# -- forms that need more ---------------------------------------------------------------------------------------


@pytest.mark.requirement("EXC-06")
def test_a_refused_invoice_is_corrected_posted_and_both_versions_are_kept() -> None:
    desk = Desk()
    refuse(desk, "erp", "post_invoice", lambda invoice: invoice.dimensions.get("region"))
    desk.set_up()
    desk.capture(entry(1, "8"))
    desk.bill("2026-03")
    case = desk.case()
    assert (case.exception, case.severity, case.actions) == ("EX-POST-REJECT", "critical", ["edit", "retry"])
    assert case.invoice_id == "K-1:2026-03"
    with pytest.raises(BadInput, match="net cannot be corrected here"):
        desk.decide(FINN, "edit", net="1.00")
    with pytest.raises(BadInput, match="nothing is different"):
        desk.decide(FINN, "edit", po_number="")
    other = contract().dimensions | {"region": "AMER"}
    with desk.store.transaction() as tx:  # another project has a region, so it may be filled in here
        from isthmus.domain.objects import Project

        project = tx.find(Project)[0]
        tx.insert(project.model_copy(update={"project_code": "P-2", "dimensions": other}))
    _, proposal = desk.decide(FINN, "edit", **{"dimensions.region": "EMEA"})
    (write,) = [w for w in proposal.dry_run["writes"] if w["what"].startswith("Post the receivable")]
    assert write["changed"] == {"dimensions.region": ["", "EMEA"]} and write["amount"] == "1,611.35"
    assert {"what": "US01-INV-2026-00001: total, posted", "before": "0.00", "after": "1,611.35"}.items() <= next(
        m for m in proposal.dry_run["money"] if m["what"].endswith("posted")
    ).items()
    desk.agree(BERT, proposal)
    (invoice,) = desk.rows(Invoice)
    assert invoice.posting is Posting.POSTED and len(desk.systems.erp.things["invoice"]) == 1
    kept = desk.rows(Proposal)[-1]
    assert (kept.original, kept.values["changes"]) == ({"dimensions.region": ""}, {"dimensions.region": "EMEA"})


@pytest.mark.requirement("GOV-17")
def test_a_steward_merges_a_duplicate_client_for_good_and_can_split_it_again() -> None:
    from isthmus.desk.clients import split

    desk = Desk()
    with desk.store.transaction() as tx:
        tx.insert(CLIENT.model_copy(update={"client_no": "C-9"}))
    desk.set_up()
    assert desk.case().actions == ["link", "merge", "create", "retry", "cancel"]
    desk.decide(STELLA, "merge", client_no="C-9")
    (alias,) = desk.rows(ClientAlias)
    assert (alias.client_no, alias.canonical_no, alias.by) == ("C-1", "C-9", "stella")
    assert [c.client_no for c in desk.rows(Client)] == ["C-9"]
    desk.set_up(contract(contract_no="K-2"))  # the next one is not asked about
    assert not desk.rows(Case, state=CaseState.OPEN)
    with desk.books(STELLA) as books:
        split(books, "C-1", by="stella", reason="two companies after all")
    desk.set_up(contract(contract_no="K-3"))
    assert desk.case().exception == "EX-CLIENT-DUP"


def test_a_client_cannot_stand_for_itself_or_in_a_circle() -> None:
    from isthmus.desk.clients import merge

    desk = Desk()
    with desk.store.transaction() as tx:
        for number in ("C-1", "C-2"):
            tx.insert(CLIENT.model_copy(update={"client_no": number}))
    with desk.books(STELLA) as books:
        merge(books, "C-1", "C-2", by="stella", reason="same")
    for duplicate, canonical, told in (
        ("C-2", "C-2", "with itself"),
        ("C-2", "C-1", "stands for C-2 itself"),
        ("C-3", "C-8", "no client"),
    ):
        with desk.books(STELLA) as books, pytest.raises((BadInput, IllegalTransition), match=told):
            merge(books, duplicate, canonical, by="stella", reason="x")


def test_an_unmatched_payment_is_allocated_by_two() -> None:
    desk = Desk()
    desk.set_up()
    desk.capture(entry(1, "8"))
    desk.bill("2026-03")
    (invoice,) = desk.rows(Invoice)
    payment: dict[str, Any] = {
        "source": "bank",
        "source_id": "1",
        "client_no": "C-1",
        "amount": "1000.00",
        "currency": "USD",
        "value_date": "2026-03-30",
    }
    desk.start("invoice_to_cash", "bank:1", payment=payment)
    assert desk.case().record == "payment:bank:1"
    _, proposal = desk.decide(FINN, "allocate", allocate={invoice.number: "1000.00"})
    change = next(m for m in proposal.dry_run["money"] if m["what"].endswith(": open"))
    assert (change["before"], change["change"]) == ("1,611.35", "-1,000.00")
    desk.agree(BERT, proposal)
    assert desk.rows(Invoice)[0].open == invoice.total - 1000 and desk.rows(Payment)


def test_an_exemption_always_takes_two() -> None:
    desk = Desk()
    texan = CLIENT.model_copy(update={"address": CLIENT.address.model_copy(update={"region": "TX"})})
    desk.set_up(contract(client=texan, caps=()))
    _, proposal = desk.decide(TARA, "exempt", exemption_certificate="CERT-1")
    assert proposal.needs_second
    desk.agree(FINN, proposal)
    assert not desk.rows(Case, state=CaseState.OPEN)


def test_a_decision_the_kernel_refuses_leaves_nothing() -> None:
    desk = without_cost_center()
    number = desk.case().case_no

    def broken(*_: Any, **__: Any) -> Any:
        raise IllegalTransition("another worker was first")

    real = Kernel.resolve
    evidence = proposals.preview(desk.kernel, FINN, number, Choice("retry", "x"))
    try:
        Kernel.resolve = broken  # type: ignore[method-assign]
        with pytest.raises(IllegalTransition), desk.books(FINN) as books:
            proposals.decide(books, FINN, number, Choice("retry", "x"), evidence=evidence, config=desk.config)
    finally:
        Kernel.resolve = real  # type: ignore[method-assign]
    assert not desk.rows(Proposal) and desk.case().state is CaseState.OPEN


@pytest.mark.requirement("EXC-01")
def test_an_invoice_stuck_on_a_missing_tax_code_is_released_by_the_tax_desk() -> None:
    desk = Desk()
    bare = contract().lines[0].model_copy(update={"tax_code": ""})
    desk.set_up(contract(lines=(bare,)))
    desk.capture(entry(1, "8"))
    run = desk.bill("2026-03")
    case = desk.case()
    assert (case.exception, case.queue, case.amount) == ("EX-TAX-CODE", "tax", Decimal("1480.00"))
    assert "line 1 (Advice" in case.cause and not desk.systems.tax.things
    _, proposal = desk.decide(TARA, "fill", tax_code="SERVICES")
    assert [w["what"] for w in proposal.dry_run["writes"]] == [
        "Calculate and keep the document uncommitted under its code"
    ]
    assert [line["what"] for line in proposal.dry_run["then"]][:2] == [
        "Accept the tax",
        "Issue the invoice under its number",
    ]
    desk.agree(FINN, proposal)
    (invoice,) = desk.rows(Invoice)
    assert invoice.posting is Posting.POSTED and invoice.lines[0].tax_code == "SERVICES"
    assert desk.run(run.run_id).state is RunState.DONE
