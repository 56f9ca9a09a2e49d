"""Whatever happens to a contract, in whatever order and however often it is delivered, the audit finds nothing.

The number of examples is ISTHMUS_EXAMPLES (make properties EXAMPLES=...); it is printed with what they covered.
"""

from __future__ import annotations

import os
from collections import Counter
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from isthmus.app.controls import audit
from isthmus.domain.objects import BillableItem, BillablePart, ContractVersion, Invoice
from isthmus.domain.states import PartState
from isthmus.processes.work.earned import totals_of
from isthmus.store.records import Case
from tests.processes.hub import contract
from tests.properties.histories import Act, History, facts, histories, terms

EXAMPLES = int(os.environ.get("ISTHMUS_EXAMPLES", "60"))
COVERED: Counter[str] = Counter()
steady = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize="ISTHMUS_EXAMPLES" not in os.environ,  # more examples are new ones
    suppress_health_check=list(HealthCheck),
    phases=(Phase.explicit, Phase.generate, Phase.shrink),
    database=None,
)


@pytest.fixture(autouse=True, scope="module")
def told() -> Any:
    yield
    print(f"\nproperties: {dict(sorted(COVERED.items()))}")


@pytest.mark.requirement("OBJ-17", "OBJ-19", "WF-53")
@steady
@given(agreed=terms(), acts=histories())
def test_after_every_history_the_audit_finds_nothing(agreed: ContractVersion, acts: list[Act]) -> None:
    history = History(agreed)
    for act in acts:
        history.play(act)
        COVERED[f"act {act.do}"] += 1
    history.play(Act("bill", {"day": 31}))  # what follows from facts, a milestone no longer accepted, follows here
    assert audit(history.hub.kernel) == []
    assert [case.cause for case in history.hub.rows(Case, state="open", exception="EX-INPUT")] == []
    assert earned(history) == worth(history)
    COVERED["histories audited"] += 1
    COVERED["documents"] += len([i for i in history.hub.rows(Invoice) if i.number])


def worth(history: History) -> Decimal:
    """What the last word on each source is worth, less what of it is over a cap, given up or moved away."""
    last = {item.source_key: item for item in history.hub.rows(BillableItem, order=("revision",))}
    gone = history.hub.rows(BillablePart, state=(PartState.OVER_CAP, PartState.WRITTEN_OFF, PartState.TRANSFERRED))
    whole = sum((item.entry_net for item in last.values() if item.billable), Decimal(0))
    return whole - sum((part.net for part in gone), Decimal(0))


def earned(history: History) -> Decimal:
    """Revenue of all periods together."""
    with history.hub.store.transaction() as tx:
        books = history.hub.kernel.books(tx, key="test", actor="test")
        totals = [totals_of(books, "US01", period) for period in ("2026-03", "2026-04", "2026-05")]
    return sum((Decimal(of.get("revenue USD", "0")) for of in totals), Decimal(0))


@pytest.mark.requirement("OBJ-19")
def test_a_line_credited_in_pieces_gives_back_its_tax_and_no_cent_more() -> None:
    """Found by the histories: 17.90 of tax, credited in three pieces an engine rounds each for itself, was 17.91."""
    line = contract().lines[0]
    priced = line.rates[0].model_copy(update={"role": "Architect", "bill_rate": Decimal("201.72")})
    history = History(contract(lines=(line.model_copy(update={"rates": (priced,)}),)))
    history.play(Act("time", {"number": 1, "approval": 1, "hours": "1"}))
    history.play(Act("bill", {"day": 31}))
    for share in ("0.5", "0.5", "1"):
        history.play(Act("credit", {"share": share, "reason": "error_rebill"}))
    invoice, *credits = history.hub.rows(Invoice, order=("kind", "number"))[::-1]
    assert (invoice.tax, sum(credit.tax for credit in credits), len(credits)) == (Decimal("17.90"), Decimal("17.90"), 3)
    assert audit(history.hub.kernel) == []


@pytest.mark.requirement("OBJ-07", "OBJ-13")
@steady
@given(agreed=terms(), messages=st.lists(facts(), min_size=3, max_size=12), data=st.data())
def test_order_and_repetition_of_deliveries_change_nothing(
    agreed: ContractVersion, messages: list[Act], data: st.DataObject
) -> None:
    """INV-31: the same messages, shuffled and some of them twice, leave the same evidence and invoice lines."""
    messages = _with_own_approvals(messages)
    again = data.draw(st.lists(st.sampled_from(messages), max_size=4))
    shuffled = data.draw(st.permutations([*messages, *again]))
    one, other = History(agreed), History(agreed)
    for act in messages:
        one.play(act)
    for act in shuffled:
        other.play(act)
    assert evidence_of(one) == evidence_of(other)
    for history in (one, other):
        history.play(Act("bill", {"day": 31}))
        assert audit(history.hub.kernel) == []
    assert evidence_of(one) == evidence_of(other)
    assert _lines(one) == _lines(other)
    COVERED["pairs of orders"] += 1
    COVERED["messages delivered"] += len(messages) + len(shuffled)


def _with_own_approvals(messages: list[Act]) -> list[Act]:
    """Every message has an instant of its own: of two said at once nobody could tell which is the last word."""
    return [Act(act.do, act.facts | {"approval": 400 * n + act.facts["approval"]}) for n, act in enumerate(messages)]


def evidence_of(history: History) -> dict[tuple[str, str, str], tuple[Decimal, Decimal]]:
    """Net and quantity of each source by state and cap, and what each source is worth in the end."""
    places: dict[tuple[str, str, str], tuple[Decimal, Decimal]] = {}
    for part in history.hub.rows(BillablePart):
        if part.state is not PartState.SUPERSEDED:
            key = (part.item_id.rsplit("#", 1)[0], str(part.state), part.cap_id)
            net, quantity = places.get(key, (Decimal(0), Decimal(0)))
            places[key] = (net + part.net, quantity + part.quantity)
    worth = {item.source_key: item for item in history.hub.rows(BillableItem, order=("revision",))}
    told = {(key, "worth", ""): (i.entry_net, i.entry_quantity) for key, i in worth.items() if i.billable}
    return {key: value for key, value in {**places, **told}.items() if value != (0, 0)}


def _lines(history: History) -> list[tuple[Any, ...]]:
    return sorted(
        (invoice.bill_to, line.line_uid, line.description, line.unit_price, line.quantity, line.net, line.held)
        for invoice in history.hub.rows(Invoice)
        for line in invoice.lines
    )
