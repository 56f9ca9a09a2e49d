"""New payer shares of work that is billed: credits of the very invoices, a rebill, each item to the cent."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.amending import preview_amendment
from isthmus.app.controls import audit
from isthmus.app.explain import explain
from isthmus.domain.objects import BillableItem, BillablePart, ContractVersion, FiledContract, Invoice
from isthmus.domain.states import CaseState, InvoiceLife, PartState
from isthmus.domain.terms import BillingType, Payer, Retainer
from isthmus.domain.work import PercentReport
from isthmus.policies.charges import charge_key_of
from isthmus.store.records import Case
from tests.processes.hub import Hub, contract, entry

HALVES = (("C-1", "50"), ("GRANT", "50"))


def payers(*shares: tuple[str, str], order: str = "") -> tuple[Payer, ...]:
    return tuple(Payer(bill_to=name, percent=Decimal(percent), po_number=order) for name, percent in shares)


def terms(*shares: tuple[str, str], **changes: Any) -> ContractVersion:
    line = contract().lines[0].model_copy(update={"payers": payers(*shares)})
    return contract(**{"lines": (line,), "caps": (), **changes})


def amend(hub: Hub, version: ContractVersion) -> None:
    row = FiledContract(
        contract_no="K-1", version=version.version, content=version, filed_by="ines", filed_at=hub.clock.now()
    )
    with hub.store.transaction() as tx:
        tx.insert(row)
    hub.start("amend_contract", version.key, contract_no="K-1", version=version.version)


def billed(*shares: tuple[str, str]) -> Hub:
    """3.1 h and 4 h of March are invoiced: 573.50 and 740.00."""
    hub = Hub()
    hub.set_up(terms(*shares))
    hub.capture(entry(1, "3.1"), entry(2, "4.0", day=20))
    hub.bill("a")
    return hub


def second(*shares: tuple[str, str], day: int = 1, number: int = 2) -> ContractVersion:
    return terms(*shares, version=number, effective_from=date(2026, 3, day), signed_on=date(2026, 4, 1))


def answer(hub: Hub, exception: str, action: str = "approve", actor: str = "carla", **values: Any) -> None:
    for case in hub.rows(Case, state=CaseState.OPEN, exception=exception):
        with hub.store.transaction() as tx:
            hub.kernel.resolve(tx, case.case_no, action=action, actor=actor, reason="test", values=values)
    hub.go()


def documents(hub: Hub) -> list[tuple[str, str, str]]:
    found = [i for i in hub.rows(Invoice) if i.life in (InvoiceLife.ISSUED, InvoiceLife.CREDITED)]
    return sorted((i.kind, i.bill_to or i.client_no, str(i.net)) for i in found)


def by_payer(hub: Hub) -> dict[str, Decimal]:
    """What each payer is asked for in all, less what it got back."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for kind, payer, net in documents(hub):
        sums[payer] += Decimal(net) * (-1 if kind == "credit" else 1)
    return dict(sums)


def by_charge(hub: Hub) -> dict[str, Decimal]:
    """What the living parts of each charge add up to, over all its payers."""
    items = {item.item_id: item for item in hub.rows(BillableItem)}
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for part in hub.rows(BillablePart):
        if part.state not in (PartState.SUPERSEDED, PartState.CREDITED):
            sums[charge_key_of(items[part.item_id])] += part.net
    return dict(sums)


def test_a_grant_that_pays_a_share_from_an_earlier_day_on() -> None:
    hub = billed()
    amend(hub, second(("C-1", "60"), ("GRANT", "40"), day=10))
    case = hub.case()
    assert (case.exception, case.amount) == ("EX-RERATE-REVIEW", Decimal("296.00"))
    assert "296.00 are given back, 296.00 are billed" in case.cause
    answer(hub, "EX-RERATE-REVIEW")
    case = hub.case()
    assert (case.exception, case.amount, case.context["prepared_by"]) == ("EX-CREDIT-REVIEW", Decimal("296.00"), "finn")
    assert documents(hub) == [("standard", "C-1", "1313.50")], "nobody is billed before the credit is issued"
    answer(hub, "EX-CREDIT-REVIEW")
    assert documents(hub) == [
        ("credit", "C-1", "296.00"),
        ("standard", "C-1", "1313.50"),
        ("standard", "GRANT", "296.00"),
    ]
    assert by_charge(hub) == {"psa:1": Decimal("573.50"), "psa:2": Decimal("740.00")}
    assert audit(hub.kernel) == []
    (memo,) = hub.rows(Invoice, kind="credit")
    (original,) = [i for i in hub.rows(Invoice, kind="standard") if not i.bill_to or i.bill_to == "C-1"]
    assert memo.original_invoice_id == original.invoice_id and memo.lines[0].tax_rate == original.lines[0].tax_rate
    with hub.store.transaction() as tx:
        told = explain(hub.kernel.books(tx, key="x", actor="x"), memo.number)
    assert told.agrees and told.lines[0].parts[0].source.key == "psa:2"


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ((), (("GRANT", "100"),), {"C-1": "0", "GRANT": "1313.50"}),
        ((("A", "100"),), (("B", "100"),), {"A": "0", "B": "1313.50"}),
        (HALVES, (("C-1", "60"), ("GRANT", "40")), {"C-1": "788.10", "GRANT": "525.40"}),
        (HALVES, (("C-1", "33.33"), ("X", "66.67")), {"C-1": "437.80", "GRANT": "0.00", "X": "875.70"}),
        (HALVES, (("C-1", "100"),), {"C-1": "1313.50", "GRANT": "0"}),
        (HALVES, (), {"C-1": "1313.50", "GRANT": "0"}),
    ],
)
@pytest.mark.requirement("INV-11")
def test_every_payer_ends_with_its_new_share(before: Any, after: Any, expected: dict[str, str]) -> None:
    hub = billed(*before)
    amend(hub, second(*after))
    answer(hub, "EX-RERATE-REVIEW")
    answer(hub, "EX-CREDIT-REVIEW")
    answer(hub, "EX-REVIEW")  # a second invoice of one net in a month is unusual
    assert by_payer(hub) == {name: Decimal(net) for name, net in expected.items()}
    assert by_charge(hub) == {"psa:1": Decimal("573.50"), "psa:2": Decimal("740.00")}
    assert [p for p in hub.rows(BillablePart) if p.state in (PartState.READY, PartState.ON_DRAFT)] == []
    assert audit(hub.kernel) == []


def test_there_and_back_again_and_a_correction_after_it() -> None:
    hub = billed(("A", "100"))
    for number, share in ((2, "B"), (3, "A"), (4, "B")):
        amend(hub, second((share, "100"), number=number))
        answer(hub, "EX-RERATE-REVIEW")
        answer(hub, "EX-CREDIT-REVIEW")
        assert {name for name, net in by_payer(hub).items() if net} == {share}
    hub.capture(entry(1, "2.1", approved_at=datetime(2026, 4, 2, tzinfo=UTC)))
    hub.bill("z", "2026-04-30")
    answer(hub, "EX-CREDIT-REVIEW")
    assert by_payer(hub) == {"A": Decimal(0), "B": Decimal("1128.50")}
    assert audit(hub.kernel) == []


def test_what_is_not_billed_just_has_its_new_payers() -> None:
    hub = Hub()
    hub.set_up(terms(*HALVES))
    hub.capture(entry(1, "3.1"))
    amend(hub, second(("C-1", "60"), ("X", "40")))
    assert not hub.rows(Case, state=CaseState.OPEN)
    hub.bill("a")
    assert documents(hub) == [("standard", "C-1", "344.10"), ("standard", "X", "229.40")]
    assert audit(hub.kernel) == []


def test_a_payer_that_has_paid_is_asked_about_its_money() -> None:
    hub = billed(("A", "100"))
    invoice = hub.rows(Invoice)[0]
    with hub.store.transaction() as tx:
        tx.update(invoice.model_copy(update={"open": Decimal(0)}))
    amend(hub, second(("B", "100")))
    answer(hub, "EX-RERATE-REVIEW")
    answer(hub, "EX-CREDIT-REVIEW")
    case = hub.case()
    assert (case.exception, case.amount, case.queue) == ("EX-PAID-SHARE", invoice.total, "receivables")
    assert not hub.rows(Invoice, kind="credit")[0].number
    answer(hub, "EX-PAID-SHARE", "refund")
    assert hub.case().exception == "EX-PAID-SHARE", "a refund has a reference"
    answer(hub, "EX-PAID-SHARE", "refund", reference="SEPA-77")
    assert by_payer(hub) == {"A": Decimal(0), "B": Decimal("1313.50")}


def test_a_credit_that_is_refused_leaves_the_share_to_be_netted() -> None:
    hub = billed(*HALVES)
    amend(hub, second(("C-1", "60"), ("GRANT", "40")))
    answer(hub, "EX-RERATE-REVIEW")
    answer(hub, "EX-CREDIT-REVIEW", "cancel")
    assert not [i for i in hub.rows(Invoice, kind="credit") if i.number]
    assert sum(p.net for p in hub.rows(BillablePart, state=PartState.READY)) == 0
    assert by_charge(hub) == {"psa:1": Decimal("573.50"), "psa:2": Decimal("740.00")}


def test_a_fee_of_a_month_before_the_new_shares_keeps_its_payers() -> None:
    retainer = Retainer(quota_hours=Decimal(10), fee=Decimal(1000), overage_rate=Decimal(100), start=date(2026, 3, 1))
    facts = {"billing_type": BillingType.RETAINER, "retainer": retainer, "rates": (), "tax_code": "SERVICES"}
    line = contract().lines[0].model_copy(update=facts)
    hub = Hub()
    hub.set_up(contract(lines=(line,), caps=()))
    hub.bill("a", "2026-04-30")
    shared = line.model_copy(update={"payers": payers(("C-1", "75"), ("GRANT", "25"))})
    version = contract(
        lines=(shared,), caps=(), version=2, effective_from=date(2026, 4, 1), signed_on=date(2026, 4, 15)
    )
    amend(hub, version)
    answer(hub, "EX-RERATE-REVIEW")
    answer(hub, "EX-CREDIT-REVIEW")
    assert by_payer(hub) == {"C-1": Decimal(1750), "GRANT": Decimal(250)}
    hub.bill("b", "2026-04-30")
    assert by_payer(hub) == {"C-1": Decimal(1750), "GRANT": Decimal(250)}, "and nothing more is found to bill"
    assert audit(hub.kernel) == []


def test_progress_up_to_the_new_shares_keeps_its_payers() -> None:
    facts = {"billing_type": BillingType.FIXED_PERCENT, "price": Decimal(1000), "rates": ()}
    line = contract().lines[0].model_copy(update=facts)
    hub = Hub()
    hub.set_up(contract(lines=(line,), caps=()))
    for month, percent in ((3, "30"), (4, "70")):
        at = datetime(2026, month, 20, tzinfo=UTC)
        report = PercentReport(
            contract_no="K-1", line_uid="L1", as_of=at.date(), percent=Decimal(percent), by="pia", at=at
        )
        with hub.store.transaction() as tx:
            tx.insert(report)
    hub.bill("a", "2026-04-30")
    shared = line.model_copy(update={"payers": payers(("C-1", "50"), ("GRANT", "50"))})
    amend(hub, contract(lines=(shared,), caps=(), version=2, effective_from=date(2026, 4, 1)))
    answer(hub, "EX-RERATE-REVIEW")
    answer(hub, "EX-CREDIT-REVIEW")
    assert by_payer(hub) == {"C-1": Decimal(500), "GRANT": Decimal(200)}
    hub.bill("b", "2026-04-30")
    assert by_payer(hub) == {"C-1": Decimal(500), "GRANT": Decimal(200)}
    assert audit(hub.kernel) == []


def test_a_payer_with_shares_on_two_orders_pays_both() -> None:
    """Two shares of one payer are two pieces of evidence, not one that hides the other."""
    both = (*payers(("GRANT", "70"), order="PO-1"), *payers(("GRANT", "30"), order="PO-2"))
    hub = Hub()
    hub.set_up(contract(lines=(contract().lines[0].model_copy(update={"payers": both}),), caps=()))
    hub.capture(entry(1, "3.1"))
    hub.bill("a")
    assert [net for _, _, net in documents(hub)] == ["172.05", "401.45"]
    assert by_charge(hub) == {"psa:1": Decimal("573.50")}
    assert audit(hub.kernel) == []


def test_a_dry_run_shows_what_would_be_credited_and_billed_and_keeps_nothing() -> None:
    hub = billed()
    before = [hub.rows(model) for model in (ContractVersion, Invoice, BillableItem, BillablePart)]
    shown = preview_amendment(hub.kernel, second(("C-1", "60"), ("GRANT", "40")), "ines")
    assert [(change.source, change.payer, change.was, change.now, change.on_paper) for change in shown.changes] == [
        ("psa:1", "C-1", Decimal("573.50"), Decimal("344.10"), True),
        ("psa:1@GRANT", "GRANT", Decimal(0), Decimal("229.40"), True),
        ("psa:2", "C-1", Decimal("740.00"), Decimal("444.00"), True),
        ("psa:2@GRANT", "GRANT", Decimal(0), Decimal("296.00"), True),
    ]
    assert [(credit.bill_to, credit.net) for credit in shown.credits] == [("C-1", Decimal("525.40"))]
    assert [(one.bill_to, one.net) for one in shown.invoices] == [("GRANT", Decimal("525.40"))]
    assert (shown.paid, shown.waits) == (Decimal(0), "")
    assert [hub.rows(model) for model in (ContractVersion, Invoice, BillableItem, BillablePart)] == before
    unsigned = second(("GRANT", "100")).model_copy(update={"legal_approved_by": ""})
    assert preview_amendment(hub.kernel, unsigned, "ines").waits.startswith("EX-APPROVAL-INCOMPLETE")
