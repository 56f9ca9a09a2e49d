"""The one table of who may do what: two hands for money, limits by legal entity, refusals in words."""

from __future__ import annotations

import pytest

from isthmus.domain.errors import NotPermitted
from isthmus.policies.authority import PERMISSIONS, QUEUES, ROLES, Actor, deciders, demand, matrix


def actor(*roles: str, entities: frozenset[str] | None = None) -> Actor:
    return Actor("ann", frozenset(roles), entities)


def test_every_permission_is_for_roles_that_exist_and_every_role_has_some() -> None:
    assert {role for holders in PERMISSIONS.values() for role in holders} == set(ROLES)
    assert {role for queue in QUEUES for role in deciders(queue)} <= set(ROLES)


def test_reading_alone_is_all_that_a_reader_and_an_executive_may() -> None:
    writes = {p for p in PERMISSIONS if not p.endswith(".read")}
    assert {p for p in writes if PERMISSIONS[p] & {"reader", "executive"}} == set()


def test_who_asks_for_a_write_off_does_not_decide_it_and_who_operates_moves_no_money() -> None:
    assert not PERMISSIONS["write_off.request"] & QUEUES["finance"]
    for permission in ("billing.start", "write_off.request", "change_order.submit", "invoice.release"):
        assert not PERMISSIONS[permission] & {"admin", "integration"}
    assert [queue for queue, roles in QUEUES.items() if "admin" in roles] == ["integration"]


def test_cost_rates_are_for_those_with_a_need() -> None:
    assert PERMISSIONS["cost_rate.read"] == {"finance", "controller"}


def test_a_permission_is_refused_in_words() -> None:
    demand(actor("billing"), "billing.start", "US01")
    with pytest.raises(NotPermitted, match=r"ann \(reader\) may not start billing: it is for billing, finance"):
        demand(actor("reader"), "billing.start")


def test_an_actor_limited_to_entities_acts_there_and_on_what_is_firm_wide() -> None:
    german = actor("billing", entities=frozenset({"DE01"}))
    demand(german, "billing.start", "DE01")
    demand(german, "billing.start")
    with pytest.raises(NotPermitted, match="does not serve the legal entity US01"):
        demand(german, "billing.start", "US01")
    assert not actor("billing", entities=frozenset()).serves("DE01")


def test_a_queue_nobody_has_listed_is_for_admin() -> None:
    assert deciders("no-such-queue") == {"admin"}
    assert actor("admin").decides("no-such-queue") and not actor("finance").decides("no-such-queue")


def test_the_matrix_has_a_cell_for_every_permission_queue_and_role() -> None:
    rows = dict(matrix())
    assert len(rows) == len(PERMISSIONS) + len(QUEUES)
    assert all(set(cells) == set(ROLES) for cells in rows.values())
    assert rows["invoice.release"]["billing"] and not rows["invoice.release"]["reader"]
    assert rows["case.decide in tax"]["tax"] and not rows["case.decide in tax"]["billing"]
