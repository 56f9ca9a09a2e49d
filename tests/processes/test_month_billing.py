"""A month end of an entity gives what the ordinary way gives: evidence, parts, invoices, numbers, cases, events."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from isthmus.domain.objects import (
    BillableItem,
    BillablePart,
    BillingType,
    Cap,
    ContractLine,
    ContractVersion,
    Engagement,
    Invoice,
    LegalEntity,
    Project,
    Rate,
    Task,
    TimeEntry,
)
from isthmus.domain.part_events import changes_of
from isthmus.domain.states import Delivery, EngagementState, PartState, Posting
from isthmus.domain.terms import Discount, InvoiceTerms
from isthmus.processes.work.bulk import making
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import AuditEntry, Case, OutboxEvent, RunRow
from tests.processes.hub import ENTITY, Hub, contract, entry

TAXED = ENTITY.model_copy(update={"tax_rates": {"S": Decimal("0.0825")}})
FOUR = {f"K-{n}": f"P-K-{n}" for n in range(1, 5)}
ROLES = {"Consultant": "185.00", "Partner": "333.335", "Analyst": "92.10"}


def line(**changes: Any) -> ContractLine:
    rates = tuple(
        Rate(role=role, bill_rate=Decimal(rate), effective_from=date(2026, 3, 1)) for role, rate in ROLES.items()
    )
    named = (Rate(role="Partner", person="bo", bill_rate=Decimal("400"), effective_from=date(2026, 3, 10)),)
    facts: dict[str, Any] = {"line_uid": "L1", "description": "Advice", "billing_type": BillingType.TM}
    return ContractLine(**{**facts, "tax_code": "SERVICES", "rates": rates + named, **changes})


def cap(limit: str, **changes: Any) -> Cap:
    return Cap(cap_id=f"cap {limit}", scope="contract", limit=Decimal(limit), **changes)


# Terms a firm may have; those of the last row take the ordinary way.
TERMS: dict[str, dict[str, Any]] = {
    "plain": {"caps": ()},
    "detailed": {"caps": (), "invoicing": InvoiceTerms(layout="detailed", attachments=("timesheets",))},
    "persons": {"caps": (), "invoicing": InvoiceTerms(layout="by_person_task")},
    "summary": {"caps": (), "invoicing": InvoiceTerms(layout="summary")},
    "capped": {"caps": (cap("2500.00"), cap("9", measure="hours"))},
    "whole": {"caps": (cap("1700.00", split="whole_item"),)},
    "adjusted": {"caps": (cap("1900.00", split="item_with_adjustment"),)},
    "soft": {"caps": (cap("500.00", kind="soft"),)},
    "discount": {"caps": (), "lines": (line(discounts=(Discount(kind="percent", percent=Decimal("10")),)),)},
    "least": {"caps": (), "invoicing": InvoiceTerms(minimum=Decimal("3000"))},
    "most": {"caps": (), "invoicing": InvoiceTerms(maximum=Decimal("900"))},
    "months": {"caps": (), "invoicing": InvoiceTerms(group_by=("payer", "period"))},
}
SHARED = {"shared": {"caps": (), "invoicing": InvoiceTerms(consolidate=True)}}
QUICK = ("plain", "detailed", "persons", "summary", "capped", "whole", "adjusted", "soft")


class Firm(Hub):
    """A hub without a tax engine, with four contracts."""

    def __init__(self, terms: dict[str, str], entity: LegalEntity = TAXED, store: Any = None) -> None:
        super().__init__(entity, store)
        del self.systems.by_port["TaxEngine"]
        for contract_no, named in terms.items():
            facts = {"lines": (line(),), **{**TERMS, **SHARED}[named], "contract_no": contract_no}
            facts["caps"] = tuple(c.model_copy(update={"cap_id": f"{contract_no} {c.cap_id}"}) for c in facts["caps"])
            self._keep(contract(**facts))
        self.clock.move(timedelta(days=35))

    def _keep(self, terms: ContractVersion) -> None:
        """The contract as it is once contract_to_project has set it up."""
        no, project = terms.contract_no, FOUR[terms.contract_no]
        facts = {"contract_no": no, "client_no": "C-1", "entity": "US01", "project_code": project}
        with self.store.transaction() as tx:
            tx.insert(terms)
            tx.insert(Engagement(engagement_no=no, state=EngagementState.ACTIVE, **facts))
            task = Task(code="L1", name="Advice", line_uid="L1")
            more = {"contract_version": 1, "currency": "USD", "start": date(2026, 3, 1), "tasks": (task,)}
            tx.insert(Project(**facts, name=no, **more))

    def store_entries(self, entries: list[TimeEntry]) -> None:
        """Approved entries, kept and not yet evidence."""
        with self.store.transaction() as tx:
            tx.insert_many(entries)

    def bill_all(self, *contracts: str) -> None:
        """The ordinary way, contract by contract."""
        for no in contracts:
            self.start("bill_contract", f"{no}:m", contract_no=no, cutoff="2026-03-31", prepared_by="ana")

    def month_end(self, name: str = "m") -> None:
        """The quick way."""
        self.start("bill_month", f"US01:{name}", entity="US01", cutoff="2026-03-31", name=name, prepared_by="ana")

    def by_id(self, model: Any, key: str, *without: str) -> dict[str, Any]:
        """Rows as plain values."""
        return {getattr(row, key): row.model_dump(exclude=set(without)) for row in self.rows(model)}

    def changes(self) -> dict[str, list[tuple[Any, ...]]]:
        """What the events tell of every part, in order."""
        found: dict[str, list[tuple[Any, ...]]] = {}
        for event in sorted(self.rows(OutboxEvent), key=lambda e: (e.aggregate, e.sequence)):
            for fact in changes_of(event.type, event.payload):
                found.setdefault(fact["part"], []).append(tuple(sorted(fact.items())))
        return found

    def events(self) -> Counter[str]:
        """How often each other event was told."""
        parts = ("billing.part_state_changed", "billing.parts_billed", "time.approved")
        return Counter(event.type for event in self.rows(OutboxEvent) if event.type not in parts)


def compare(ordinary: Firm, quick: Firm, numbers: bool) -> None:
    """Everything either way has made."""
    assert quick.by_id(BillableItem, "item_id") == ordinary.by_id(BillableItem, "item_id")
    assert quick.by_id(BillablePart, "part_id") == ordinary.by_id(BillablePart, "part_id")
    without = () if numbers else ("number",)
    assert quick.by_id(Invoice, "invoice_id", *without) == ordinary.by_id(Invoice, "invoice_id", *without)
    assert sorted(i.number for i in quick.rows(Invoice)) == sorted(i.number for i in ordinary.rows(Invoice))
    assert quick.changes() == ordinary.changes()
    assert quick.events() == ordinary.events()
    kinds = [
        Counter((c.exception, c.amount, c.context.get("cap")) for c in firm.rows(Case)) for firm in (ordinary, quick)
    ]
    assert kinds[0] == kinds[1]
    audits = [
        sorted((a.action, a.subject, str(sorted((a.after or {}).items()))) for a in f.rows(AuditEntry))
        for f in (ordinary, quick)
    ]
    assert numbers is False or audits[0] == audits[1]
    costs = [sorted((t["key"], t["hours"]) for t in f.systems.erp.things.get("time", ())) for f in (ordinary, quick)]
    assert costs[0] == costs[1]


@st.composite
def worked(draw: st.DrawFn, wrong: bool) -> list[TimeEntry]:
    """Approved entries over the four contracts; wrong: some that need a person, or are of the next month."""
    number = draw(st.integers(1, 14))
    entries = []
    for n in range(number):
        hours = draw(st.sampled_from(["0.25", "0.3333", "1", "1.5", "2.75", "3.1"]))
        day = draw(st.integers(2, 28))
        facts: dict[str, Any] = {
            "project_code": draw(st.sampled_from(sorted(FOUR.values()))),
            "person": draw(st.sampled_from(["ann", "bo"])),
            "role": draw(st.sampled_from([*ROLES, "Juggler"] if wrong else list(ROLES))),
            "note": f"work {n}" if not wrong else draw(st.sampled_from(["", f"work {n}"])),
            "approved_at": datetime(2026, 3, 29, 18, tzinfo=UTC) + timedelta(hours=n),
        }
        if wrong and draw(st.booleans()):
            facts["task_code"] = draw(st.sampled_from(["L1", "", "L9"]))
        if not wrong and draw(st.integers(0, 9)) == 0:
            facts["role"], facts["task_code"] = "Consultant", ""
        entries.append(entry(n, hours, day, **facts))
    return entries


EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.requirement("INV-31")
@EXAMPLES
@given(st.lists(st.sampled_from(QUICK), min_size=4, max_size=4), worked(wrong=False))
def test_plain_contracts_come_to_the_same_rows_with_the_same_numbers(
    names: list[str], entries: list[TimeEntry]
) -> None:
    terms = dict(zip(FOUR, names, strict=True))
    ordinary, quick = Firm(terms), Firm(terms)
    ordinary.capture(*entries)
    ordinary.bill_all(*FOUR)
    quick.store_entries(entries)
    quick.month_end()
    compare(ordinary, quick, numbers=True)


def looking_alike() -> list[TimeEntry]:
    """The same quarter of an hour nine times on one project and twice on another: psa:10 sorts before psa:9."""
    same = {"person": "ann", "role": "Consultant", "note": ""}
    return [
        entry(
            n,
            "0.25",
            day=2,
            project_code="P-K-1" if n < 9 else "P-K-2",
            approved_at=datetime(2026, 3, 29, 18, tzinfo=UTC) + timedelta(hours=n),
            **same,
        )
        for n in range(11)
    ]


def without_a_rate() -> list[TimeEntry]:
    """Two hours that look alike and have no rate: neither is evidence, so neither is the other's double."""
    late = datetime(2026, 3, 29, 18, tzinfo=UTC)
    return [entry(n, "1", day=2, role="Juggler", approved_at=late + timedelta(hours=n)) for n in range(2)]


@EXAMPLES
@given(st.lists(st.sampled_from(sorted(TERMS)), min_size=4, max_size=4), worked(wrong=True))
@example(["adjusted"] * 4, looking_alike())
@example(["adjusted"] * 4, without_a_rate())
def test_unusual_terms_and_hours_that_need_a_person_come_to_the_same(
    names: list[str], entries: list[TimeEntry]
) -> None:
    terms = dict(zip(FOUR, names, strict=True))
    ordinary, quick = Firm(terms), Firm(terms)
    ordinary.capture(*entries)
    ordinary.bill_all(*FOUR)
    quick.store_entries(entries)
    quick.month_end()
    compare(ordinary, quick, numbers=False)


def three_entries() -> list[TimeEntry]:
    return [entry(n, "2.5", day=n, project_code=f"P-K-{n}") for n in (2, 3, 4)]


def test_again_it_bills_nothing_twice_and_what_came_since_waits() -> None:
    firm = Firm(dict.fromkeys(FOUR, "plain"))
    firm.store_entries(three_entries())
    firm.month_end()
    before = firm.by_id(Invoice, "invoice_id")
    with firm.store.transaction() as tx:
        args = {"entity": "US01", "cutoff": "2026-03-31", "name": "m", "prepared_by": "ana", "contracts": list(FOUR)}
        firm.kernel.start(tx, "bill_share", "again", args, entity="US01")
    firm.store_entries([entry(9, "1", day=20, project_code="P-K-2")])
    firm.go()
    assert firm.by_id(Invoice, "invoice_id") == before
    assert [p.state for p in firm.rows(BillablePart, item_id="psa:9#1")] == [PartState.READY]


def test_a_share_that_fails_leaves_nothing_and_is_done_whole_the_next_time(monkeypatch: pytest.MonkeyPatch) -> None:
    firm = Firm(dict.fromkeys(FOUR, "plain"))
    firm.store_entries(three_entries())
    died: list[str] = []

    def die(name: str) -> None:
        if name == "committing Bill the contracts of the share" and not died:
            died.append(name)
            raise KeyboardInterrupt

    firm.kernel.checkpoint = die
    with pytest.raises(KeyboardInterrupt):
        firm.month_end()
    assert not firm.rows(BillableItem) and not firm.rows(Invoice) and died
    share = firm.rows(RunRow, process="bill_share")[0]
    firm.kernel.advance(share.run_id, share.attempt)
    firm.go()
    assert [i.number for i in firm.rows(Invoice)] == [
        "US01-INV-2026-00001",
        "US01-INV-2026-00002",
        "US01-INV-2026-00003",
    ]
    assert {i.posting for i in firm.rows(Invoice)} == {Posting.POSTED}
    assert {i.delivery for i in firm.rows(Invoice)} == {Delivery.SENT}


def test_plain_contracts_do_take_the_quick_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison would prove nothing if all contracts took the ordinary way."""
    firm = Firm(dict(zip(FOUR, QUICK, strict=False)))
    firm.store_entries(three_entries())
    firm.month_end()
    assert not firm.rows(RunRow, process="bill_contract") and len(firm.rows(Invoice)) == 3
    limited = Firm({"K-2": "plain"}, TAXED.model_copy(update={"invoice_approval_limit": Decimal("400")}))
    limited.store_entries(three_entries()[:1])
    limited.month_end()
    assert [case.exception for case in limited.rows(Case)] == ["EX-REVIEW"]


def test_a_planted_cent_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    ordinary, quick = Firm(dict.fromkeys(FOUR, "plain")), Firm(dict.fromkeys(FOUR, "plain"))
    ordinary.capture(*three_entries())
    ordinary.bill_all(*FOUR)
    quick.store_entries(three_entries())
    honest = making.Kind.evidence

    def dear(kind: Any, key: str, row: Any) -> list[Any]:
        item = honest(kind, key, row)
        item[making.NET] += Decimal("0.01")
        return item

    monkeypatch.setattr(making.Kind, "evidence", dear)
    quick.month_end()
    with pytest.raises(AssertionError):
        compare(ordinary, quick, numbers=True)


@pytest.mark.parametrize("names", [QUICK[:4], QUICK[4:]], ids=["layouts", "caps"])
def test_on_postgresql_it_comes_to_what_the_ordinary_way_comes_to_in_memory(
    fresh_database: str, names: tuple[str, ...]
) -> None:
    store, terms = PostgresStore(fresh_database, pool_size=5), dict(zip(FOUR, names, strict=True))
    entries = [
        entry(n, f"{1 + n % 5}.{n % 4 * 25:02d}", 2 + n % 20, project_code=f"P-K-{1 + n % 4}", note=f"a\\b\t{n}")
        for n in range(24)
    ]
    ordinary, quick = Firm(terms), Firm(terms, store=store)
    ordinary.capture(*entries)
    ordinary.bill_all(*FOUR)
    quick.store_entries(entries)
    quick.month_end()
    compare(ordinary, quick, numbers=True)
    store.close()
