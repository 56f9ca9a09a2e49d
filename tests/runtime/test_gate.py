"""The write gate at the two doors nobody sees: what is captured from other systems, and what is written into them."""

from __future__ import annotations

import pytest

from isthmus.domain.errors import NotOwner
from isthmus.domain.objects import BillableItem, TimeEntry
from isthmus.policies.ownership import OwnershipRule
from isthmus.ports.messages import TimePage
from isthmus.processes import sweeps
from isthmus.runtime import inbox
from isthmus.runtime.gate import Gate
from isthmus.store.records import AuditEntry, InboxMessage, MessageState, RunState
from tests.processes.hub import Hub, contract, entry


def hub_with(**rule: str) -> Hub:
    return Hub(gate=Gate([OwnershipRule(route="ask finance master data", **rule)]))


@pytest.mark.parametrize(
    ("rule", "verb"),
    [
        ({"object": "client", "entity": "US01", "owner": "erp"}, "Erp.put_client"),
        ({"object": "project", "owner": "psa"}, "Psa.put_project"),
        ({"object": "project", "field": "tasks", "owner": "psa"}, "Psa.put_task"),
        ({"object": "project", "owner": "erp"}, "Erp.put_project"),
        ({"object": "billing_status", "owner": "crm"}, "Crm.report_status"),
    ],
)
def test_nothing_is_written_into_a_system_over_what_it_owns(rule: dict[str, str], verb: str) -> None:
    hub = hub_with(**rule)
    run = hub.set_up(contract())
    case = hub.case()
    assert run.state is RunState.PARKED
    assert (case.exception, case.context["verb"], case.context["owner"]) == ("EX-OWNER", verb, rule["owner"])
    assert "ask finance master data" in case.cause
    assert [a.after["rule"] for a in hub.rows(AuditEntry, action="gate.refused")] == [case.context["rule"]]
    collection = verb.split(".put_")[-1].split(".report_")[-1]
    system = {"Erp": hub.systems.erp, "Psa": hub.systems.psa, "Crm": hub.systems.crm}[verb.split(".")[0]]
    assert system.things.get(collection, []) == []
    hub.kernel.gate = Gate()  # the rule was wrong: the run goes on at the same step
    hub.resolve("retry")
    assert hub.run(run.run_id).state is RunState.DONE


def test_a_rule_of_another_entity_or_owner_stops_nothing() -> None:
    for rule in ({"object": "client", "entity": "UK01", "owner": "erp"}, {"object": "client", "owner": "mdm"}):
        assert hub_with(**rule).set_up(contract()).state is RunState.DONE


@pytest.mark.parametrize(
    ("obj", "sweep", "system"),
    [
        ("contract", sweeps.sweep_contracts, "crm"),
        ("time_entry", sweeps.sweep_time, "psa"),
        ("payment", sweeps.sweep_payments, "erp"),
    ],
)
def test_a_system_is_not_asked_for_what_it_does_not_own(obj: str, sweep: object, system: str) -> None:
    hub = hub_with(object=obj, owner="somebody_else")
    asked = getattr(hub.systems, system)
    with pytest.raises(NotOwner, match="owner somebody_else"):
        sweep(hub.kernel, asked)  # type: ignore[operator]
    assert asked.calls == {}


def test_time_of_an_entity_where_another_system_owns_it_is_quarantined_and_the_rest_goes_on() -> None:
    hub = hub_with(object="time_entry", entity="US01", owner="tempo")
    hub.set_up(contract())
    other = entry(2, "3.0", project_code="P-unknown")
    hub.systems.psa.__dict__.setdefault("pages", []).append(TimePage(entries=(entry(1, "4.0"), other), watermark="1"))
    sweeps.sweep_time(hub.kernel, hub.systems.psa)
    kept = {m.state: m for m in hub.rows(InboxMessage, source="psa")}
    assert set(kept) == {MessageState.ACCEPTED, MessageState.QUARANTINED}
    assert "owner tempo" in kept[MessageState.QUARANTINED].reason
    case = hub.case()
    assert (case.exception, case.queue) == ("EX-QUARANTINE", "integration") and "owner tempo" in case.cause
    assert hub.rows(BillableItem) == hub.rows(TimeEntry) == []


def test_one_open_case_tells_of_all_messages_of_a_kind_that_cannot_be_used() -> None:
    hub = Hub()
    for number in range(3):
        with hub.store.transaction() as tx:
            books = hub.kernel.books(tx, key="sweep", actor="psa")
            inbox.quarantine(books, source="psa", kind="time.approved", raw=f"{{{number}", reason="no JSON")
    assert hub.case().exception == "EX-QUARANTINE"
    assert len(hub.rows(InboxMessage, state=MessageState.QUARANTINED)) == 3
    hub.resolve("accept")
    with hub.store.transaction() as tx:
        books = hub.kernel.books(tx, key="sweep", actor="psa")
        inbox.quarantine(books, source="psa", kind="time.approved", raw="{9", reason="no JSON")
    assert hub.case().context["first"].startswith("quarantine-")
