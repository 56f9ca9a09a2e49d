"""Before anything is set up: every case a contract can run into, who owns it, what is at stake and what resolves it."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import BillingType, Cap, Client, ContractVersion, Milestone
from isthmus.policies import readiness
from tests.policies.builders import cap, client, contract, day, entity, line, rate

STAKE = "50000.00"
ALWAYS = ("retry", "cancel")
ENTITIES = {"US01": entity(), "OLD": entity(code="OLD", active=False), "UK01": entity(code="UK01")}
KNOWN = [client(client_no="CL-7", legal_name="Globex GmbH", country="DE", tax_id="DE123456789")]


def deal(*lines: Any, **changes: Any) -> ContractVersion:
    """A contract with 50,000.00 at stake."""
    return contract(*lines, **{"transaction_price": STAKE, **changes})


def fixed(*amounts: str) -> Any:
    """A fixed fee in milestones."""
    due = day("2026-06-30")
    milestones = tuple(Milestone(number=n, name=f"M{n}", amount=a, due=due) for n, a in enumerate(amounts, start=1))
    return line("FIX", kind=BillingType.FIXED_MILESTONE, milestones=milestones)


@dataclass(frozen=True)
class Check:
    """One check as a row of the table: run it on a contract with people's answers."""

    run: Callable[[ContractVersion, dict[str, dict[str, Any]]], Any]


DAYS = entity(payment_days={"NET15": 15, "NET30": 30})
approvals = Check(lambda c, a: readiness.check_approvals(c))
terms = Check(lambda c, a: readiness.check_terms(c))
find_client = Check(lambda c, a: readiness.resolve_client(c, KNOWN, a))
choose_entity = Check(lambda c, a: readiness.check_entity(c, ENTITIES, a).code)
currency = Check(lambda c, a: readiness.check_currency(c, entity()))
dimensions = Check(lambda c, a: readiness.check_dimensions(c, entity(), a))
tax = Check(lambda c, a: readiness.check_tax(c, c.client, ("US-NY", "GB"), a))
payment_terms = Check(lambda c, a: readiness.check_payment_terms(c, ("NET15", "NET30", "NET60"), DAYS, a))

OPS, STEWARD, MASTER, AR = "contract-operations", "data-steward", "finance-master-data", "receivables"
TWIN = client(client_no="CL-9", legal_name="GLOBEX GmbH", country="DE", tax_id="")
SAME_TAX_ID = client(client_no="CL-9", legal_name="Something Else", country="AT", tax_id="DE123456789")
CASES = [
    # what is wrong, the check, the contract, the case, its queue, what may be chosen, words of the cause
    ("legal has not approved", approvals, deal(legal_approved_by=""), "EX-APPROVAL-INCOMPLETE", OPS, (), "by legal"),
    ("finance has not", approvals, deal(finance_approved_by=""), "EX-APPROVAL-INCOMPLETE", OPS, (), "by finance"),
    (
        "one person for both",
        approvals,
        deal(legal_approved_by="ann", finance_approved_by="ann"),
        "EX-APPROVAL-INCOMPLETE",
        OPS,
        (),
        "ann has approved for legal and for finance",
    ),
    ("no lines", terms, deal(line("L1")).model_copy(update={"lines": ()}), "EX-MAP-TERMS", OPS, (), "no lines"),
    ("hours without a rate", terms, deal(line("L1").model_copy(update={"rates": ()})), "EX-MAP-TERMS", OPS, (), "no rate"),
    ("a fixed fee without milestones", terms, deal(fixed()), "EX-MAP-TERMS", OPS, (), "no milestone"),
    ("a rate of nothing", terms, deal(line("L1", rate("x", "0"))), "EX-MAP-TERMS", OPS, (), "has the rate 0"),
    ("a rate below nothing", terms, deal(line("L1", rate("x", "-1"))), "EX-MAP-TERMS", OPS, (), "has the rate -1"),
    ("a daily rate", terms, deal(line("L1", rate("x", "900", unit="day"))), "EX-MAP-TERMS", OPS, (), "900 per day"),
    ("the same line twice", terms, deal(line("L1"), line("L1")), "EX-MAP-TERMS", OPS, (), "2 of line L1"),
    ("the same cap twice", terms, deal(caps=(cap("C", "1"), cap("C", "2"))), "EX-MAP-TERMS", OPS, (), "2 of cap C"),
    ("a cap of nothing", terms, deal(caps=(cap("C", "0"),)), "EX-MAP-TERMS", OPS, (), "cap C is 0"),
    ("a cap in half cents", terms, deal(caps=(cap("C", "9.995"),)), "EX-MAP-TERMS", OPS, (), "USD cannot hold"),
    ("a cap of no line", terms, deal(caps=(cap("C", "9", line_uid="L9"),)), "EX-MAP-TERMS", OPS, (), "for line L9"),
    ("it ends before it begins", terms, deal(effective_to=day("2025-12-31")), "EX-MAP-TERMS", OPS, (), "before it begins"),
    ("milestones of 99.9 %", terms, deal(fixed("40000.00", "9950.00")), "EX-MAP-TERMS", OPS, (), "add up to 49950.00"),
    ("a client without number", find_client, deal(client=client(client_no="")), "EX-CLIENT-NEW", STEWARD, ("create",), "no number"),
    ("a client without name", find_client, deal(client=client(legal_name="")), "EX-CLIENT-NEW", STEWARD, ("create",), "no name"),
    ("a name like a known one", find_client, deal(client=TWIN), "EX-CLIENT-DUP", STEWARD, ("link", "merge", "create"), "CL-7 Globex"),
    ("a known tax id", find_client, deal(client=SAME_TAX_ID), "EX-CLIENT-DUP", STEWARD, ("link", "merge", "create"), "same tax id"),
    ("an entity nobody knows", choose_entity, deal(entity="FR01"), "EX-LE", MASTER, ("choose",), "there are: UK01, US01"),
    ("an entity that is closed", choose_entity, deal(entity="OLD"), "EX-LE", MASTER, ("choose",), "not an active entity"),
    ("no entity", choose_entity, deal(entity=""), "EX-LE", MASTER, ("choose",), "(none)"),
    ("a currency the entity does not use", currency, deal(currency="GBP"), "EX-CCY", MASTER, ("add",), "not invoice in GBP"),
    ("no currency of ISO 4217", currency, deal(currency="USX"), "EX-CCY", MASTER, (), "'USX' is not an ISO 4217"),
    ("no dimensions", dimensions, deal(dimensions={}), "EX-DIM", MASTER, ("fill",), "practice and cost_center missing"),
    ("an empty dimension", dimensions, deal(dimensions={"practice": "data", "cost_center": ""}), "EX-DIM", MASTER, ("fill",), "cost_center"),
    ("not registered where the client is", tax, deal(client=client(address={"region": "TX"})), "EX-TAX-REG", "tax", ("exempt",), "US-TX"),
    ("exempt without a certificate", tax, deal(client=client(country="FR", tax_exempt=True)), "EX-TAX-REG", "tax", ("exempt",), "FR"),
    ("a certificate of a client that is not exempt", tax, deal(client=client(country="FR", exemption_certificate="C-1")), "EX-TAX-REG", "tax", ("exempt",), "FR"),
    ("payment terms the entity has no days for", payment_terms, deal(payment_terms="NET60"), "EX-TERMS", AR, ("map",), "have no due date in"),
    ("payment terms the ERP does not know", payment_terms, deal(payment_terms="NET45"), "EX-TERMS", AR, ("map",), "it knows NET15, NET30, NET60"),
    ("no payment terms", payment_terms, deal(payment_terms=""), "EX-TERMS", AR, ("map",), "(none)"),
    ("a blocked client", payment_terms, deal(client=client(blocked=True)), "EX-CREDIT", AR, ("override",), "CL-1 is blocked"),
]  # fmt: skip


@pytest.mark.requirement("WF-01", "WF-02", "WF-05", "WF-07", "WF-08", "EXC-02", "EXC-03")
@pytest.mark.parametrize(
    ("check", "terms_given", "exception", "queue", "choices", "cause"),
    [c[1:] for c in CASES],
    ids=[c[0] for c in CASES],
)
def test_what_is_wrong_opens_its_case(
    check: Check, terms_given: ContractVersion, exception: str, queue: str, choices: tuple[str, ...], cause: str
) -> None:
    with pytest.raises(NeedsDecision) as stopped:
        check.run(terms_given, {})
    case = stopped.value
    assert (case.exception, case.queue) == (exception, queue)
    assert case.actions == (*choices, *ALWAYS)
    assert cause in case.message and case.message.startswith("contract C-1@1: ")
    assert case.money == (Decimal(STAKE), terms_given.currency)
    assert case.context["contract"] == "C-1@1" and "client" in case.context


ANSWERS = [
    # the check, the contract, the answer, what comes of it
    ("link to the known client", find_client, deal(client=TWIN),
     {"EX-CLIENT-DUP": {"action": "link", "by": "dora", "client_no": "CL-7"}}, KNOWN[0]),
    ("create it all the same", find_client, deal(client=TWIN), {"EX-CLIENT-DUP": {"action": "create"}}, TWIN),
    ("give the new client its number", find_client, deal(client=client(client_no="")),
     {"EX-CLIENT-NEW": {"action": "create", "by": "dora", "client_no": "CL-5"}}, client(client_no="CL-5")),
    ("give the new client its name", find_client, deal(client=client(legal_name="")),
     {"EX-CLIENT-NEW": {"action": "create", "legal_name": "Acme Inc"}}, client()),
    ("choose another entity", choose_entity, deal(entity="FR01"),
     {"EX-LE": {"action": "choose", "entity": "UK01"}}, "UK01"),
    ("fill the dimensions: who decided is none", dimensions, deal(dimensions={"practice": "data"}),
     {"EX-DIM": {"action": "fill", "by": "dora", "reason": "asked", "cost_center": "100"}},
     {"practice": "data", "cost_center": "100"}),
    ("exempt with a certificate", tax, deal(client=client(country="FR")),
     {"EX-TAX-REG": {"action": "exempt", "exemption_certificate": "CERT-1"}}, "FR"),
    ("map the payment terms", payment_terms, deal(payment_terms="NET45"),
     {"EX-TERMS": {"action": "map", "payment_terms": "NET30"}}, "NET30"),
    ("let the blocked client through", payment_terms, deal(client=client(blocked=True)),
     {"EX-CREDIT": {"action": "override", "by": "olga"}}, "NET30"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "given", "answers", "result"), [a[1:] for a in ANSWERS], ids=[a[0] for a in ANSWERS])
def test_the_answer_that_resolves_it(
    check: Check, given: ContractVersion, answers: dict[str, dict[str, Any]], result: Any
) -> None:
    with pytest.raises(NeedsDecision):
        check.run(given, {})
    assert check.run(given, answers) == result


USELESS = [
    ("a client nobody knows", find_client, deal(client=TWIN), {"EX-CLIENT-DUP": {"action": "link", "client_no": "CL-0"}}, "EX-CLIENT-DUP"),
    ("an entity that is closed", choose_entity, deal(entity="FR01"), {"EX-LE": {"entity": "OLD"}}, "EX-LE"),
    ("an empty dimension", dimensions, deal(dimensions={}), {"EX-DIM": {"practice": "data", "cost_center": ""}}, "EX-DIM"),
    ("no certificate after all", tax, deal(client=client(country="FR")), {"EX-TAX-REG": {"action": "exempt"}}, "EX-TAX-REG"),
    ("terms as unknown", payment_terms, deal(), {"EX-TERMS": {"payment_terms": "NET99"}}, "EX-TERMS"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "given", "answers", "again"), [u[1:] for u in USELESS], ids=[u[0] for u in USELESS])
def test_an_answer_that_helps_nobody_asks_again(
    check: Check, given: ContractVersion, answers: dict[str, dict[str, Any]], again: str
) -> None:
    with pytest.raises(NeedsDecision) as stopped:
        check.run(given, answers)
    assert stopped.value.exception == again


GOOD = [
    ("both approved", approvals, deal(), deal()),
    ("terms that can be billed", terms, deal(), deal()),
    ("milestones that add up", terms, deal(fixed("40000.00", "10000.00")), deal(fixed("40000.00", "10000.00"))),
    ("a client nobody resembles", find_client, deal(), client()),
    ("the same name in another country", find_client, deal(client=client(legal_name="Globex GmbH", country="CH", tax_id="")),
     client(legal_name="Globex GmbH", country="CH", tax_id="")),
    ("an active entity", choose_entity, deal(), "US01"),
    ("a currency of the entity", currency, deal(currency="EUR"), "EUR"),
    ("all dimensions", dimensions, deal(), {"practice": "data", "cost_center": "100"}),
    ("registered in the state", tax, deal(), "US-NY"),
    ("registered in the country", tax, deal(client=client(country="GB")), "GB"),
    ("exempt with a certificate", tax, deal(client=client(country="FR", tax_exempt=True, exemption_certificate="C-1")), "FR"),
    ("terms the ERP knows", payment_terms, deal(), "NET30"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "given", "result"), [g[1:] for g in GOOD], ids=[g[0] for g in GOOD])
def test_what_is_right_passes_without_asking(check: Check, given: ContractVersion, result: Any) -> None:
    assert check.run(given, {}) == result


def test_a_client_known_by_number_is_not_asked_about_again() -> None:
    offered = client(client_no="CL-7", legal_name="Globex Deutschland", country="DE")
    assert readiness.resolve_client(deal(client=offered), KNOWN, {}) == offered


def test_a_likely_twin_is_shown_with_its_reason_and_score() -> None:
    with pytest.raises(NeedsDecision) as stopped:
        readiness.resolve_client(deal(client=TWIN), KNOWN, {})
    (likely,) = stopped.value.context["candidates"]
    assert (likely["client_no"], likely["score"]) == ("CL-7", 100)
    assert likely["reason"] == "name 100 % alike, same country"


def test_every_problem_of_the_terms_is_in_one_case() -> None:
    broken = deal(line("L1", rate("x", "0")), caps=(cap("C", "0"),), effective_to=day("2025-01-01"))
    with pytest.raises(NeedsDecision) as stopped:
        readiness.check_terms(broken)
    assert len(stopped.value.context["problems"]) == 3


@pytest.mark.parametrize(
    ("price", "caps", "stake"),
    [
        ("50000.00", (cap("C", "10000.00"),), ("50000.00", "USD")),
        (None, (cap("C", "10000.00"),), ("10000.00", "USD")),
        (None, (cap("C", "9.00", line_uid="L1"),), None),
        (None, (), None),
    ],
    ids=[
        "the price",
        "without a price the contract's cap",
        "a line's cap is not the contract's worth",
        "nothing known",
    ],
)
def test_what_is_at_stake(price: str | None, caps: tuple[Cap, ...], stake: tuple[str, str] | None) -> None:
    with pytest.raises(NeedsDecision) as stopped:
        readiness.check_approvals(deal(legal_approved_by="", transaction_price=price, caps=caps))
    assert stopped.value.money == (None if stake is None else (Decimal(stake[0]), stake[1]))


def test_the_person_behind_a_client_is_never_guessed() -> None:
    """A resembling client is a question; taking the known one without a decision would bill the wrong company."""
    with pytest.raises(NeedsDecision):
        readiness.resolve_client(deal(client=TWIN), [*KNOWN, *_others()], {})


def _others() -> list[Client]:
    return [client(client_no=f"CL-{n}", legal_name=f"Firm {n}", country="DE", tax_id="") for n in range(20, 25)]
