"""Suppliers' bills against the ERP: what is missing, differs, is held there and not here, or cannot be asked."""

from __future__ import annotations

from decimal import Decimal

import pytest

from isthmus.domain.objects import ExternalRef
from isthmus.domain.states import BillState
from isthmus.ports.messages import PostedBill, PostVendorBill
from isthmus.processes.work.paying import posting_of
from isthmus.reconciliation import check_payables
from tests.properties.test_planted import bought

THERE = PostedBill(
    ref=ExternalRef(system="erp", object_type="bill", external_id="1"),
    bill_no="B-1",
    total=Decimal("640.00"),
    currency="USD",
)
ANSWERS = [
    ("as it is", THERE, {}, "", "0"),
    ("missing", None, {}, "missing in the ERP", "640.00"),
    ("another total", THERE.model_copy(update={"total": Decimal("600.00")}), {}, "600.00 USD in erp", "40.00"),
    ("another currency", THERE.model_copy(update={"currency": "EUR"}), {}, "640.00 EUR in erp", "0.00"),
    ("on hold there alone", THERE.model_copy(update={"held": True}), {}, "on hold there and payable here", "640.00"),
    ("payable there alone", THERE, {"payment_hold": True, "state": BillState.POSTED}, "before the client", "640.00"),
    (
        "on hold both",
        THERE.model_copy(update={"held": True}),
        {"payment_hold": True, "state": BillState.POSTED},
        "",
        "0",
    ),
    ("not to be asked", "erp is down", {}, "could not be checked: erp is down", "0"),
]


@pytest.mark.parametrize(("there", "changes", "words", "amount"), [a[1:] for a in ANSWERS], ids=[a[0] for a in ANSWERS])
def test_a_bill_is_held_against_what_the_erp_has(
    there: PostedBill | str | None, changes: dict[str, object], words: str, amount: str
) -> None:
    bill = bought(**{"state": BillState.PAYABLE, "payable": Decimal("640.00"), **changes})
    asked: list[PostVendorBill] = []

    def ask(_: object, posting: PostVendorBill) -> PostedBill | str | None:
        asked.append(posting)
        return there

    found = check_payables([(bill, posting_of(bill))], ask)
    assert [posting.bill_id for posting in asked] == ["SUBS:B-1"]
    assert bool(found) is bool(words)
    for finding in found:
        assert (finding.control, finding.entity, finding.owner) == ("INV-34", "US01", "procurement")
        assert words in finding.problem and finding.amount == Decimal(amount)
