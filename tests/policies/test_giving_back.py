"""Where an amount below zero belongs: the line that billed its source, then its contract line, never more than is left."""

# A table is read row by row: its rows stay on one line each.
# ruff: noqa: E501

from __future__ import annotations

from decimal import Decimal

import pytest

from isthmus.domain.objects import Invoice
from isthmus.policies.giving_back import give_back
from isthmus.policies.layouts import Evidence
from tests.policies.builders import invoice, invoice_line

D = Decimal


def owed(part: str, net: str, line: str = "L1") -> Evidence:
    return Evidence(part, line, "Consultant", D("185"), D(0), D(net), contract_no="K-1")


def issued(number: str, *lines: tuple[str, str, str, str]) -> Invoice:
    """An invoice whose lines are (contract line, net, credited, parts)."""
    made = tuple(
        invoice_line(n, net, line_uid=uid, credited=credited, part_ids=tuple(parts.split()), contract_no="K-1")
        for n, (uid, net, credited, parts) in enumerate(lines, start=1)
    )
    return invoice(number, str(sum((D(net) for _, net, _, _ in lines), D(0))), lines=made)


MARCH = issued("MAR", ("L1", "1480.00", "0", "psa:1#1/1"), ("L2", "500.00", "0", "psa:2#1/1"))
APRIL = issued("APR", ("L1", "740.00", "0", "psa:3#1/1"))
USED = issued("APR", ("L1", "740.00", "700.00", "psa:3#1/1"))

TABLE = [
    ("its own line, though a newer invoice has one of the contract line", [owed("psa:1#2/1", "-370.00")], [APRIL, MARCH], ["MAR:1 -370.00"], "0"),
    ("a source of its own has none: the newest of the contract line", [owed("K-1/L1/volume#1/1", "-100.00")], [APRIL, MARCH], ["APR:1 -100.00"], "0"),
    ("what is left of the newest, then the one before", [owed("K-1/L1/volume#1/1", "-100.00")], [USED, MARCH], ["APR:1 -40.00", "MAR:1 -60.00"], "0"),
    ("two amounts never share what is left of a line", [owed("psa:3#2/1", "-30.00"), owed("psa:3#3/1", "-30.00")], [USED], ["APR:1 -30.00", "APR:1 -10.00"], "-20.00"),
    ("another contract line is not asked", [owed("psa:9#2/1", "-5.00", "L9")], [APRIL, MARCH], [], "-5.00"),
    ("nothing was issued", [owed("psa:1#2/1", "-370.00")], [], [], "-370.00"),
]  # fmt: skip


@pytest.mark.requirement("INV-10")
@pytest.mark.parametrize(
    ("owing", "invoices", "told", "left"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_the_line_that_gives_back(owing: list[Evidence], invoices: list[Invoice], told: list[str], left: str) -> None:
    shares, unborne = give_back(owing, invoices)
    names = {one.invoice_id: one.number for one in invoices}
    assert [f"{names[s.invoice_id]}:{s.line} {s.net}" for s in shares] == told
    assert unborne == D(left)


def test_a_line_that_holds_back_gives_back_of_both_as_long_as_something_is_held() -> None:
    line = MARCH.lines[0].model_copy(update={"net": D("900.00"), "held": D("100.00")})
    invoice = MARCH.model_copy(update={"lines": (line,)})
    place = (line.contract_no or invoice.contract_no, line.line_uid)
    pieces = [owed("psa:1#2/1", "-500.00"), owed("psa:1#3/1", "-500.00")]
    for held, expected in ((D("100.00"), ["50.00", "50.00"]), (D("60.00"), ["50.00", "10.00"])):
        shares, left = give_back(pieces, [invoice], {place: held})
        assert [str(share.held) for share in shares] == expected
        assert left == held - 100, "what was released is not of this line"
