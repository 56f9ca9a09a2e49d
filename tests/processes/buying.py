"""A hub with a project on which a supplier's people work, and what happens there: time, bills, money."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from isthmus.domain.objects import Payment
from isthmus.domain.subcontracting import BillLine, Subcontract, SubcontractorBill
from isthmus.processes import clock, sweeps
from isthmus.processes.subscribers import SUBSCRIBERS
from isthmus.processes.work.receiving import receive_bill
from isthmus.runtime import outbox
from tests.processes.hub import Hub, contract, entry

MARCH = datetime(2026, 3, 31, 12, tzinfo=UTC)
APRIL = datetime(2026, 4, 2, 12, tzinfo=UTC)


def agreed(**changes: Any) -> Subcontract:
    """100 h of ann and bo at 80.00 on the project of K-1."""
    facts: dict[str, Any] = {
        "subcontract_no": "SC-1",
        "version": 1,
        "supplier": "SUBS",
        "entity": "US01",
        "project_code": "P-K-1",
        "contract_no": "K-1",
        "currency": "USD",
        "rates": [
            {"person": "ann", "rate": "80.00", "effective_from": date(2026, 3, 1)},
            {"person": "bo", "rate": "95.00", "effective_from": date(2026, 3, 1)},
        ],
        "agreed_by": "prue",
        "recorded_at": datetime(2026, 3, 1, tzinfo=UTC),
    }
    return Subcontract.model_validate({**facts, **changes})


class Buying:
    """The hub, with subscribers, and the few things the tests do."""

    def __init__(self, *hours: str, subcontract: Subcontract | None = None, **terms: Any) -> None:
        self.hub = Hub(subscribers=dict(SUBSCRIBERS))
        self.hub.set_up(contract(caps=(), **terms))
        with self.hub.store.transaction() as tx:
            tx.insert(subcontract or agreed())
        self.hub.capture(*(entry(n, h, day=2 + n) for n, h in enumerate(hours, start=1)))

    def bill(self, number: str, *lines: str, by: str = "rita", day: date = date(2026, 3, 31)) -> SubcontractorBill:
        """'ann 3 4 16 1280.00': a person, from and to a day of March, hours, amount."""
        made = tuple(_line(line) for line in lines)
        with self.hub.store.transaction() as tx:
            books = self.hub.kernel.books(tx, key=f"file/{number}", actor=by)
            receive_bill(books, "SC-1", number, day, made, by)
        self.go()
        return self.of(number)

    def of(self, number: str) -> SubcontractorBill:
        (found,) = self.hub.rows(SubcontractorBill, bill_no=number)
        return found  # type: ignore[no-any-return]

    def confirm(self, by: str = "pia") -> None:
        """The project manager does."""
        assert self.hub.case().exception == "EX-SUBCON-CONFIRM", self.hub.case().cause
        self.hub.resolve("approve", actor=by)
        self.go()

    def correct(self, number: int, hours: str, **changes: Any) -> None:
        """A later revision of an entry of March, approved in April."""
        self.hub.clock.move(timedelta(minutes=1))
        facts = {"approved_at": APRIL + (self.hub.clock.now() - MARCH), **changes}
        self.hub.capture(entry(number, hours, day=2 + number, **facts))
        self.go()

    def go(self) -> None:
        """Runs and subscribers, until nothing moves."""
        for _ in range(20):
            self.hub.go()
            if not sum(outbox.dispatch(self.hub.kernel, name) for name in self.hub.kernel.subscribers):
                return
        raise AssertionError("it does not come to rest")

    def pays(self, number: str, amount: str, source_id: str = "pay-1") -> None:
        """The client pays an invoice; the hub hears of it, and an hour later looks what may be released."""
        payment = Payment(
            source="erp",
            source_id=source_id,
            client_no="C-1",
            amount=Decimal(amount),
            currency="USD",
            value_date=date(2026, 4, 20),
            reference=number,
            applies={number: Decimal(amount)},
        )
        self.hub.systems.erp.__dict__.setdefault("payments", []).append(payment)
        sweeps.sweep_payments(self.hub.kernel, self.hub.systems.erp)
        self.go()
        self.hub.later(hours=1)
        clock.look(self.hub.kernel)
        self.go()

    def bounces(self, source_id: str = "pay-1") -> None:
        """The bank takes a payment back; the ERP reports it."""
        payments = self.hub.systems.erp.__dict__["payments"]
        known = next(p for p in payments if p.source_id == source_id)
        payments[payments.index(known)] = known.model_copy(update={"reversed_on": date(2026, 4, 22)})
        sweeps.sweep_payments(self.hub.kernel, self.hub.systems.erp)
        self.go()

    def in_erp(self) -> list[tuple[str, str, bool]]:
        """Bills there: the supplier's number, what is payable, whether it is on hold."""
        return [(row["no"], row["total"], row["held"]) for row in self.hub.systems.erp.things.get("bill", [])]

    def booked(self, number: str) -> Iterable[tuple[str, str]]:
        """The lines of a bill there."""
        return next(row["lines"] for row in self.hub.systems.erp.things["bill"] if row["no"] == number)  # type: ignore[no-any-return]


def _line(text: str) -> BillLine:
    person, start, end, hours, amount = text.split()
    return BillLine(
        person=person,
        start=date(2026, 3, int(start)),
        end=date(2026, 3, int(end)),
        hours=Decimal(hours),
        amount=Decimal(amount),
    )
