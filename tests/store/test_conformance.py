"""One suite over both stores: what a process sees of its books is the same in memory and on PostgreSQL."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import EnumMeta
from typing import Any, Literal, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from isthmus.domain.errors import IllegalTransition, SameKeyOtherContent
from isthmus.domain.objects import Allocation, BillableItem, BillablePart, ContractVersion, Invoice, Project, TimeEntry
from isthmus.domain.states import MOVES, PartState, may_move
from isthmus.runtime.hashing import content_hash
from isthmus.store.copying import columns_of
from isthmus.store.memory import MemoryStore, key_of
from isthmus.store.records import AuditEntry, CrossReference, OutboxEvent, RunRow, RunState, Watermark
from isthmus.store.tables import SPECS, json_fields
from isthmus.store.tx import Store, Tx
from tests.store.samples import instances

NOW = datetime(2025, 3, 1, 12, tzinfo=UTC)


def part(number: int, state: PartState = PartState.READY, **changes: Any) -> BillablePart:
    fields: dict[str, Any] = {
        "part_id": f"P-{number}",
        "item_id": "I-1",
        "contract_no": "C-1",
        "quantity": Decimal("1.5000"),
        "net": Decimal("0.10"),
        "currency": "USD",
        "state": state,
        "service_date": date(2025, 3, number),
        "order_key": f"k{number}",
    }
    return BillablePart(**(fields | changes))


def mark(feed: str, value: str = "1") -> Watermark:
    return Watermark(connection="psa", feed=feed, value=value, read_at=NOW)


def reference(key: str, remote_id: str) -> CrossReference:
    return CrossReference(object_type="client", key=key, system="erp", remote_type="customer", remote_id=remote_id)


def keep(store: Store, *rows: BaseModel) -> None:
    with store.transaction() as tx:
        for row in rows:
            tx.insert(row)


def kept(store: Store, row: BaseModel) -> Any:
    with store.transaction() as tx:
        return tx.get(type(row), *key_of(row))


class Changed(Exception):
    """Raised to leave a transaction."""


# ---- what goes in comes out


@pytest.fixture
def pair(postgres: Any) -> tuple[MemoryStore, Any]:
    return MemoryStore(), postgres


@pytest.mark.parametrize("model", SPECS, ids=lambda model: SPECS[model].table)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_model_comes_back_as_it_went_in(
    pair: tuple[MemoryStore, Any], model: type[BaseModel], data: st.DataObject
) -> None:
    row = data.draw(instances(model))
    for store in pair:
        with pytest.raises(Changed), store.transaction() as tx:
            assert tx.insert_new(row)
            found, listed = tx.get(model, *key_of(row)), tx.find(model)
            serial = SPECS[model].serial
            if serial:
                assert getattr(found, serial) > 0
                found = found.model_copy(update={serial: getattr(row, serial)})
            assert found == row
            # The digits too: hashes are made of them.
            assert content_hash(found) == content_hash(row)
            assert len(listed) == 1
            raise Changed
        assert kept(store, row) is None


@pytest.mark.parametrize("digits", ["0.1", "1.10", "100", "-0.005", "999999999999999.999999", "0.000001"])
def test_amounts_keep_every_digit(store: Store, digits: str) -> None:
    allocation = Allocation(allocation_id="A-1", payment_key="b:1", invoice_id="I", amount=Decimal(digits))
    keep(store, allocation)
    assert str(kept(store, allocation).amount) == digits


def test_instants_come_back_in_utc(store: Store) -> None:
    keep(store, mark("time"))
    again = kept(store, mark("time")).read_at
    assert again == NOW and again.utcoffset() == timedelta(0)


# ---- find


def test_find_by_fields_by_one_of_and_by_none(store: Store) -> None:
    parts = [
        part(1),
        part(2, PartState.HELD),
        part(3, PartState.INVOICED, invoice_id="INV-9"),
        part(4, contract_no="C-2"),
    ]
    keep(store, *parts)
    with store.transaction() as tx:
        assert _numbers(tx, contract_no="C-1") == [1, 2, 3]
        assert _numbers(tx, contract_no="C-1", state=(PartState.READY, PartState.HELD)) == [1, 2]
        assert _numbers(tx, state=PartState.INVOICED, invoice_id="INV-9") == [3]
        assert _numbers(tx, service_date=date(2025, 3, 4)) == [4]
        assert _numbers(tx, net=Decimal("0.1")) == [1, 2, 3, 4]
        assert _numbers(tx, contract_no="C-3") == [] and _numbers(tx, state=()) == []


def _numbers(tx: Tx, **equals: Any) -> list[int]:
    return [int(p.part_id[2:]) for p in tx.find(BillablePart, order=("part_id",), **equals)]


def test_order_and_limit(store: Store) -> None:
    keys = ["b", "a", "B", "ä", "_", "10", "9"]
    keep(store, *(part(n, order_key=key, contract_no=f"C-{n % 2}") for n, key in enumerate(keys, start=1)))
    with store.transaction() as tx:

        def ordered(*order: str, limit: int | None = None) -> list[str]:
            return [p.order_key for p in tx.find(BillablePart, order=order, limit=limit)]

        # By code point, as Python sorts, whatever the locale of the server.
        assert ordered("order_key") == sorted(keys)
        assert ordered("-order_key", limit=2) == sorted(keys)[::-1][:2]
        by_contract = sorted(enumerate(keys, start=1), key=lambda pair: (-(pair[0] % 2), pair[1]))
        assert ordered("-contract_no", "order_key") == [key for _, key in by_contract]
        assert ordered("order_key", limit=0) == []


def test_empty_values_sort_last_and_first_when_reversed(store: Store) -> None:
    keep(store, run("late", NOW + timedelta(hours=1)), run("never", None), run("soon", NOW))
    with store.transaction() as tx:
        assert [r.key for r in tx.find(RunRow, order=("wake_at",))] == ["soon", "late", "never"]
        assert [r.key for r in tx.find(RunRow, order=("-wake_at",))] == ["never", "late", "soon"]
        assert [r.key for r in tx.find(RunRow, wake_at=None)] == ["never"]


def run(key: str, wake_at: datetime | None) -> RunRow:
    return RunRow(
        run_id=f"p/{key}",
        process="p",
        key=key,
        args={},
        args_hash="",
        state=RunState.WAITING,
        wake_at=wake_at,
        correlation_id=key,
        created_at=NOW,
        updated_at=NOW,
    )


# ---- insert, update, put, delete


def test_a_key_is_taken_once(store: Store) -> None:
    keep(store, mark("time"))
    with pytest.raises(SameKeyOtherContent), store.transaction() as tx:
        tx.insert(mark("time", "2"))
    with store.transaction() as tx:
        assert not tx.insert_new(mark("time", "2"))
        assert tx.insert_new(mark("expenses"))
        assert not tx.insert_new(mark("expenses"))
    assert kept(store, mark("time")).value == "1"


def test_a_unique_rule_holds_for_insert_update_and_put(store: Store) -> None:
    keep(store, reference("acme", "1"), reference("zeta", "2"))
    with store.transaction() as tx:
        # acme has an id in that system already.
        assert not tx.insert_new(reference("acme", "3"))
    for write in ("insert", "update", "put"):
        with pytest.raises(SameKeyOtherContent), store.transaction() as tx:
            getattr(tx, write)(reference("acme", "3" if write == "insert" else "2"))
    with store.transaction() as tx:
        tx.update(reference("beta", "1"))
        assert tx.insert_new(reference("acme", "3"))
        assert not tx.insert_new(reference("beta", "4"))


def test_insert_many_is_all_or_nothing(store: Store) -> None:
    with store.transaction() as tx:
        tx.insert_many([])
        tx.insert_many(part(1, part_id=f"P-{n}") for n in range(2500))
    with store.transaction() as tx:
        assert len(tx.find(BillablePart)) == 2500
    with pytest.raises(SameKeyOtherContent), store.transaction() as tx:
        tx.insert_many([mark("new"), mark("new")])
    assert kept(store, mark("new")) is None


def test_update_replaces_and_demands_that_it_is_there(store: Store) -> None:
    keep(store, part(1))
    with store.transaction() as tx:
        tx.update(part(1, PartState.HELD, reason="EX-RATE"))
    assert kept(store, part(1)) == part(1, PartState.HELD, reason="EX-RATE")
    with pytest.raises(AssertionError), store.transaction() as tx:
        tx.update(part(2))


def test_put_inserts_or_replaces(store: Store) -> None:
    for value in ("1", "2"):
        with store.transaction() as tx:
            tx.put(mark("time", value))
        assert kept(store, mark("time")).value == value


def test_delete_frees_the_key_and_the_unique_values(store: Store) -> None:
    keep(store, reference("acme", "1"))
    with store.transaction() as tx:
        tx.delete(reference("acme", "1"))
        tx.delete(reference("never", "7"))
    with store.transaction() as tx:
        assert tx.insert_new(reference("acme", "2"))


def test_many_new_ones_are_told_from_known_ones(store: Store) -> None:
    keep(store, mark("a", "old"), reference("acme", "1"))
    with store.transaction() as tx:
        rows = [mark("a", "new"), mark("b", "first"), mark("b", "second"), mark("c")]
        assert tx.insert_new_many(rows) == [False, True, False, True]
        assert tx.insert_new_many([reference("acme", "2"), reference("beta", "3")]) == [False, True]
        assert tx.insert_new_many([]) == []
        found = {m.feed: m.value for m in tx.find(Watermark)}
    assert found == {"a": "old", "b": "first", "c": "1"}


def test_many_are_updated_by_the_same_rules_as_one(store: Store) -> None:
    keep(store, part(1), part(2), part(3, PartState.INVOICED))
    with store.transaction() as tx:
        tx.update_many([])
        tx.update_many([part(1, PartState.HELD), part(2, PartState.ON_DRAFT, invoice_id="I", net=Decimal("-7.25"))])
    with store.transaction() as tx:
        assert tx.find(BillablePart, order=("part_id",), limit=2) == [
            part(1, PartState.HELD),
            part(2, PartState.ON_DRAFT, invoice_id="I", net=Decimal("-7.25")),
        ]
    with pytest.raises(IllegalTransition), store.transaction() as tx:
        tx.update_many([part(1, PartState.READY), part(3, PartState.READY)])
    with pytest.raises(AssertionError), store.transaction() as tx:
        tx.update_many([part(1, PartState.READY), part(9)])
    assert kept(store, part(1)).state is PartState.HELD


# ---- guards


def _every_move() -> list[tuple[type[BaseModel], str, Any, Any]]:
    tracks = [(model, track) for model, spec in SPECS.items() for track in spec.tracks]
    states = {(model, track): model.model_fields[track].annotation for model, track in tracks}
    return [(m, t, old, new) for (m, t), enum in states.items() for old in enum for new in enum]  # type: ignore[union-attr]


def test_every_pair_of_states_moves_only_as_the_table_says(store: Store) -> None:
    refused = 0
    for number, (model, track, old, new) in enumerate(_every_move()):
        key = next(name for name in SPECS[model].key if model.model_fields[name].annotation is str)
        row = _plain(model).model_copy(update={key: f"K-{number}", track: old})
        keep(store, row)
        moved = row.model_copy(update={track: new})
        for write in ("update", "put"):
            if old == new or may_move(old, new):
                with pytest.raises(Changed), store.transaction() as tx:
                    getattr(tx, write)(moved)
                    raise Changed
            else:
                refused += 1
                with pytest.raises(IllegalTransition, match=track), store.transaction() as tx:
                    getattr(tx, write)(moved)
        assert getattr(kept(store, row), track) == old
    assert refused > len(MOVES)


def _plain(model: type[BaseModel]) -> BaseModel:
    """An instance with the least in it: of a list of words or states the first."""
    blank: dict[Any, Any] = {str: "", int: 0, datetime: NOW, date: NOW.date(), Decimal: Decimal(0)}

    def least(kind: Any) -> Any:
        if get_origin(kind) is Literal:
            return get_args(kind)[0]
        return next(iter(kind)) if isinstance(kind, EnumMeta) else blank.get(kind, ())

    return model(**{name: least(f.annotation) for name, f in model.model_fields.items() if f.is_required()})


@pytest.mark.requirement("OBJ-04")
@pytest.mark.parametrize(
    ("model", "change"),
    [
        (BillableItem, {"role": "partner"}),
        (TimeEntry, {"note": "another"}),
        (ContractVersion, {"po_number": "PO-2"}),
        (OutboxEvent, {"actor": "mallory"}),
        (AuditEntry, {"actor": "mallory"}),
    ],
)
@settings(max_examples=3, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_evidence_events_and_audit_are_never_changed(
    pair: tuple[MemoryStore, Any], model: type[BaseModel], change: dict[str, Any], data: st.DataObject
) -> None:
    row = data.draw(instances(model))
    for store in pair:
        with store.transaction() as tx:
            known = not tx.insert_new(row)
        if known:
            continue
        for write, changed in (("update", change), ("put", change), ("delete", {})):
            with pytest.raises(AssertionError, match="never changed"), store.transaction() as tx:
                getattr(tx, write)(row.model_copy(update=changed))
        if not SPECS[model].serial:
            assert kept(store, row) == row


def test_refusals_name_the_whole_key(store: Store) -> None:
    odd = "two\nlines"
    keep(store, AuditEntry(audit_id=odd, at=NOW, actor="ann", action="approve", subject="INV-1"), mark(odd))
    with pytest.raises(SameKeyOtherContent, match="lines"), store.transaction() as tx:
        tx.insert_many([mark("a"), mark(odd)])
    with pytest.raises(AssertionError, match=r"lines.*is never changed"), store.transaction() as tx:
        tx.update(AuditEntry(audit_id=odd, at=NOW, actor="bob", action="approve", subject="INV-1"))


def test_a_seal_is_set_once(store: Store) -> None:
    entry = AuditEntry(audit_id="a/1", at=NOW, actor="ann", action="approve", subject="INV-1")
    sealed = entry.model_copy(update={"chain": 1, "previous_hash": "0", "hash": "x"})
    keep(store, entry)
    with pytest.raises(AssertionError), store.transaction() as tx:
        tx.update(sealed.model_copy(update={"reason": "changed with its seal"}))
    with store.transaction() as tx:
        tx.update(sealed)
    for again in (sealed.model_copy(update={"hash": "y"}), entry, sealed.model_copy(update={"chain": 2})):
        with pytest.raises(AssertionError), store.transaction() as tx:
            tx.update(again)
    assert kept(store, entry) == sealed


# ---- transactions


def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    keep(store, part(1), mark("gone"), reference("acme", "1"))
    with pytest.raises(Changed), store.transaction() as tx:
        tx.insert(part(2))
        tx.insert_new(mark("new"))
        tx.insert_many([mark("many"), mark("more")])
        tx.update(part(1, PartState.ON_DRAFT))
        tx.update(part(1, PartState.INVOICED))
        tx.put(mark("gone", "9"))
        tx.delete(mark("gone"))
        tx.delete(reference("acme", "1"))
        tx.insert(reference("acme", "2"))
        assert tx.next("invoice") == 1
        raise Changed
    with store.transaction() as tx:
        assert tx.find(BillablePart) == [part(1)]
        assert tx.find(Watermark) == [mark("gone")]
        assert tx.find(CrossReference) == [reference("acme", "1")]
        assert not tx.insert_new(reference("acme", "2"))
        assert tx.next("invoice") == 1


def test_a_transaction_sees_its_own_writes(store: Store) -> None:
    with store.transaction() as tx:
        tx.insert(part(1))
        tx.update(part(1, PartState.HELD))
        assert tx.get(BillablePart, "P-1") == part(1, PartState.HELD)
        assert tx.find(BillablePart, state=PartState.READY) == []


def test_a_counter_has_no_gaps(store: Store) -> None:
    numbers = []
    for attempt in range(9):
        try:
            with store.transaction() as tx:
                number = tx.next("INV-US")
                if attempt % 3 == 1:
                    raise Changed
                numbers.append(number)
        except Changed:
            continue
    assert numbers == [1, 2, 3, 4, 5, 6]
    with store.transaction() as tx:
        assert [tx.next("INV-US"), tx.next("INV-US"), tx.next("INV-DE")] == [7, 8, 1]


def test_many_counters_move_together(store: Store) -> None:
    with store.transaction() as tx:
        assert tx.next("b") == 1
        assert tx.add_many(["c", "b", "a"], [2, 3, 1]) == [2, 4, 1]
        assert tx.add_many([], []) == []
    with pytest.raises(Changed), store.transaction() as tx:
        assert tx.add_many(["a", "b"], [5, 5]) == [6, 9]
        raise Changed
    with store.transaction() as tx:
        tx.lock_all(["b", "a", "b"])
        tx.lock_all([])
        assert [tx.next("a"), tx.next("b"), tx.next("c")] == [2, 5, 3]


def test_events_are_numbered_in_the_order_they_are_written(store: Store) -> None:
    def event(number: int) -> OutboxEvent:
        return OutboxEvent(
            event_id=f"inv/{number}",
            type="invoice.issued",
            schema_version=1,
            occurred_at=NOW,
            entity="US",
            aggregate="inv",
            sequence=number,
            correlation_id="c",
            causation_id="r",
            actor="hub",
            payload={"n": number},
        )

    keep(store, event(1), event(2))
    with store.transaction() as tx:
        tx.insert_many([event(3), event(4)])
    with store.transaction() as tx:
        events = tx.find(OutboxEvent, order=("position",))
    assert [e.sequence for e in events] == [1, 2, 3, 4]
    assert len({e.position for e in events}) == 4


def test_objects_hold_objects(store: Store) -> None:
    project = Project.model_validate(
        {
            "project_code": "PRJ-1",
            "name": "Büro",
            "contract_no": "C-1",
            "contract_version": 1,
            "client_no": "CL-1",
            "entity": "DE",
            "currency": "EUR",
            "start": "2025-01-01",
            "dimensions": {"practice": "tax"},
            "tasks": [{"code": "T1", "name": "Advice", "line_uid": "L1", "milestone": 2}],
            "rates": [{"role": "partner", "bill_rate": "312.500000", "effective_from": "2025-01-01"}],
        }
    )
    keep(store, project)
    again = kept(store, project)
    assert again == project and str(again.rates[0].bill_rate) == "312.500000"


def test_invoice_lines_keep_their_parts(store: Store) -> None:
    line = {
        "number": 1,
        "description": "March",
        "quantity": "1",
        "unit_price": "10",
        "net": "10",
        "part_ids": ["a", "b"],
    }
    values = dict.fromkeys(("contract_no", "client_no", "entity", "project_code", "currency", "period"), "x")
    invoice = Invoice.model_validate({**values, "invoice_id": "I", "contract_version": 1, "net": "10", "lines": [line]})
    keep(store, invoice)
    assert kept(store, invoice).lines[0].part_ids == ("a", "b")


# -- very many rows ------------------------------------------------------------------------------------------------


class _Undone(Exception):
    """Rolls an example back."""


def as_values(*rows: BaseModel) -> list[list[Any]]:
    def value(row: BaseModel, name: str) -> Any:
        return row.model_dump(mode="json")[name] if name in json_fields(type(row)) else getattr(row, name)

    return [[value(row, name) for name in columns_of(type(row))] for row in rows]


def unique_values(row: BaseModel) -> tuple[Any, ...]:
    return (
        (getattr(row, "source_key", None), getattr(row, "revision", None))
        if hasattr(row, "source_key")
        else key_of(row)
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("model", [TimeEntry, BillableItem, BillablePart, Invoice], ids=lambda model: model.__name__)
def test_copied_rows_are_read_back_as_they_were(store: Store, model: type[BaseModel], data: st.DataObject) -> None:
    rows = data.draw(st.lists(instances(model), max_size=4, unique_by=(key_of, unique_values)))
    with pytest.raises(_Undone), store.transaction() as tx:
        tx.copy(model, as_values(*rows))
        assert [tx.get(model, *key_of(row)) for row in rows] == rows
        assert set(tx.tuples(model, SPECS[model].key)) == {key_of(row) for row in rows}
        raise _Undone


def test_texts_that_mean_something_to_copy_arrive_as_they_were(store: Store) -> None:
    texts = ("a\tb", "a\\b", "a\nb\r\nc", "\\N", "\\.", "\x02", "x\x02y", "\u2028 \x85 é", "")
    rows = [part(n, reason=text, order_key=f"{text}k") for n, text in enumerate(texts, start=1)]
    with store.transaction() as tx:
        tx.copy(BillablePart, as_values(*rows))
    assert [kept(store, row) for row in rows] == rows


def test_a_copied_row_that_is_there_already_is_refused_and_none_is_kept(store: Store) -> None:
    keep(store, part(1))
    with pytest.raises(SameKeyOtherContent), store.transaction() as tx:
        tx.copy(BillablePart, as_values(part(2), part(1)))
    assert kept(store, part(2)) is None


def test_rows_are_counted_by_a_field(store: Store) -> None:
    keep(store, part(1), part(2), part(3, contract_no="C-2"))
    with store.transaction() as tx:
        assert tx.counts(BillablePart, "contract_no", state=(str(PartState.READY),)) == {"C-1": 2, "C-2": 1}
        assert tx.tuples(BillablePart, ("part_id", "net"), contract_no="C-2") == [("P-3", Decimal("0.10"))]
