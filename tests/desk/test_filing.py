"""A new case is complete: owner, urgency, deadline, what it is about; and knows which others have its cause."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from isthmus.desk.config import desk_config
from isthmus.desk.filing import cause_facts, group_key
from isthmus.desk.types import all_types
from isthmus.desk.weight import weight_of
from isthmus.store.records import Case
from tests.desk.stage import Desk
from tests.processes.hub import CLIENT, contract, entry

CASE = Case(
    case_no="CASE-1",
    run_id="bill_contract/K-1:2026-03",
    seq=1,
    exception="EX-POST-REJECT",
    cause="refused",
    queue="receivables",
    severity="critical",
    opened_at=Desk().clock.now(),
)


@pytest.mark.requirement("EXC-02")
def test_a_case_goes_to_the_queue_of_its_type() -> None:
    """Customer master to the steward, tax to the tax desk, mapping to contract operations."""
    expected = {
        "EX-CLIENT-DUP": "data-steward",
        "EX-CLIENT-NEW": "data-steward",
        "EX-TAX-REG": "tax",
        "EX-TAX-CODE": "tax",
        "EX-TAX-REJECT": "tax",
        "EX-MAP-TERMS": "contract-operations",
        "EX-LINE-AMBIGUOUS": "contract-operations",
        "EX-POST-REJECT": "receivables",
        "EX-SETUP": "integration",
    }
    assert {name: all_types()[name].queue for name in expected} == expected
    twin = CLIENT.model_copy(update={"client_no": "C-9"})
    desk = Desk()
    with desk.store.transaction() as tx:
        tx.insert(twin)
    desk.set_up()
    assert desk.case().queue == "data-steward"


def test_a_route_of_the_firm_wins_over_the_type() -> None:
    desk = Desk({"routes": [{"exception": "EX-D*", "entity": "US*", "queue": "pmo"}]})
    desk.set_up(contract(dimensions={}))
    assert (desk.case().exception, desk.case().queue) == ("EX-DIM", "pmo")


@pytest.mark.requirement("EXC-03")
def test_a_case_says_what_it_is_about_and_until_when() -> None:
    desk = Desk()
    desk.set_up(contract(dimensions={"practice": "DIGITAL"}))
    case = desk.case()
    assert (case.contract_no, case.client_no, case.entity, case.record) == ("K-1", "C-1", "US01", "contract:K-1")
    assert (case.severity, case.amount, case.currency) == ("high", Decimal("10000.00"), "USD")
    assert case.due_at == case.opened_at + timedelta(hours=8) == case.escalate_at
    assert case.cause.startswith("contract K-1@1: financial dimension cost_center missing")
    assert case.tried == "Complete the financial dimensions" and case.actions == ["fill", "retry", "cancel"]


def test_an_hour_is_a_record_of_its_own() -> None:
    desk = Desk()
    desk.set_up()
    desk.capture(entry(1, "8"), entry(2, "8"))
    case = desk.case()
    assert (case.exception, case.record, case.contract_no) == ("EX-DUP-SUSPECT", "time:psa:2", "K-1")


def test_one_bad_mapping_is_one_group_whatever_the_contracts() -> None:
    desk = Desk()
    for number, terms in enumerate(["NET-30", "NET-30", "NET 45"], start=1):
        client = CLIENT.model_copy(update={"client_no": f"C-{number}", "legal_name": f"Name {number}", "tax_id": ""})
        facts = {"contract_no": f"K-{number}", "client_no": client.client_no, "client": client}
        desk.set_up(contract(payment_terms=terms, **facts))
    groups = [case.group_key for case in desk.rows(Case, order=("case_no",))]
    assert groups[0] == groups[1] != groups[2]
    assert cause_facts(desk.rows(Case, order=("case_no",))[0]) == {"given": "NET-30"}


def test_without_facts_the_words_of_the_cause_make_the_group() -> None:
    one, other = (
        CASE.model_copy(update={"exception": "EX-NEW-ONE", "cause": f"invoice US01-INV-2026-0000{n} of {n}.50 is odd"})
        for n in (1, 2)
    )
    assert group_key(one) == group_key(other)
    assert group_key(one) != group_key(one.model_copy(update={"cause": "something else is odd"}))


@pytest.mark.requirement("EXC-13")
@pytest.mark.parametrize(
    ("amount", "currency", "hours", "severity", "expected"),
    [
        (None, "", 0, "low", 0),
        ("0.01", "USD", 0, "low", 1),
        ("1000", "USD", 0, "low", 2),
        ("100000", "USD", 0, "low", 4),
        ("100000", "JPY", 0, "low", 2),  # yen have no cents: a thousand dollars' worth of points
        (None, "", 2, "critical", 4),  # half of four hours
        ("250000", "EUR", 9, "critical", 10),
        ("-5000", "USD", 0, "normal", 3),  # money given back counts the same
    ],
)
def test_weight_grows_with_severity_money_and_age(
    amount: str | None, currency: str, hours: float, severity: str, expected: int
) -> None:
    config = desk_config()
    hours_allowed = config.service[severity]  # type: ignore[index]
    case = CASE.model_copy(
        update={
            "amount": Decimal(amount) if amount else None,
            "currency": currency,
            "severity": severity,
            "due_at": CASE.opened_at + timedelta(hours=hours_allowed),
        }
    )
    assert weight_of(case, config, CASE.opened_at + timedelta(hours=hours)) == expected
