"""Every money invariant: the property that generates against it, the control in production, the planted defects.

The last test prints the table, with caught over planted. What belongs to another subject says to which.
"""

from __future__ import annotations

import importlib
import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import pytest

from isthmus.domain.objects import Cap
from isthmus.processes.work import evidence
from isthmus.reconciliation import CONTROLS
from tests.properties.histories import Act, History
from tests.properties.test_histories import evidence_of
from tests.properties.test_planted import DEFECTS, Patch, found_for, terms

pytestmark = pytest.mark.xdist_group("planted")
HISTORIES = "properties.test_histories:test_after_every_history_the_audit_finds_nothing"
ORDERS = "properties.test_histories:test_order_and_repetition_of_deliveries_change_nothing"


@dataclass(frozen=True)
class Shown:
    """How an invariant is shown. properties: Hypothesis tests. otherwise: tests of another kind. later: not billing."""

    says: str
    properties: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()
    later: str = ""


INVARIANTS: dict[str, Shown] = {
    "INV-01": Shown(
        "partition",
        (
            HISTORIES,
            "policies.test_caps:test_no_cent_and_no_minute_is_lost_under_caps",
            "policies.test_cap_scopes:test_pieces_add_up_to_the_share_in_money_and_in_hours",
        ),
    ),
    "INV-02": Shown("source completeness", (HISTORIES,)),
    "INV-03": Shown(
        "contract value", (HISTORIES, "policies.test_fixed:test_rising_progress_bills_the_whole_price_in_the_end")
    ),
    "INV-04": Shown(
        "caps",
        (HISTORIES, "policies.test_cap_scopes:test_no_hard_cap_is_exceeded_and_nothing_is_over_a_cap_that_has_room"),
    ),
    "INV-05": Shown(
        "invoice arithmetic",
        (
            HISTORIES,
            "policies.test_cash:test_what_settles_and_what_is_open_are_the_invoice",
            "policies.test_tax_amounts:test_en_16931_totals_of_any_document",
        ),
    ),
    "INV-06": Shown("no double billing", (HISTORIES,), ("properties.test_many_at_once",)),
    "INV-07": Shown(
        "line evidence",
        (
            HISTORIES,
            "policies.test_composition:test_every_part_is_on_exactly_one_invoice_in_every_layout_with_the_same_net",
        ),
    ),
    "INV-08": Shown("price truth", (HISTORIES, "policies.test_billing:test_the_net_can_be_recomputed_from_the_trace")),
    "INV-09": Shown("AR equality", (HISTORIES,)),
    "INV-10": Shown(
        "credits bounded",
        (HISTORIES, "policies.test_credits:test_credits_of_a_line_never_exceed_it_and_leave_no_cent_of_tax"),
    ),
    "INV-11": Shown("split", (HISTORIES, "policies.test_splits:test_shares_add_up_and_a_reversal_mirrors_them")),
    "INV-12": Shown(
        "deposit, retainer",
        (
            HISTORIES,
            "policies.test_deposits:test_a_deposit_is_granted_less_drawn_refunded_and_expired_and_never_below_nothing",
            "policies.test_retainers:test_no_hour_and_no_cent_of_a_retainer_is_lost",
        ),
    ),
    "INV-13": Shown("holdback", (HISTORIES, "policies.test_holdback:test_all_that_is_held_is_released_and_taxed")),
    "INV-14": Shown("contract position", later="revenue"),
    "INV-15": Shown("deferred roll-forward", later="revenue (for retainers: INV-12)"),
    "INV-16": Shown("revenue bounds", later="revenue"),
    "INV-17": Shown("modification", later="revenue"),
    "INV-18": Shown(
        "period", (HISTORIES, "policies.test_periods:test_a_new_amount_is_never_booked_in_a_closed_period")
    ),
    "INV-19": Shown("exactly once", (HISTORIES,), ("properties.test_many_at_once",)),
    "INV-20": Shown(
        "FX",
        (
            HISTORIES,
            "policies.test_fx:test_a_functional_total_is_the_sum_of_its_lines",
            "policies.test_fx:test_the_parts_settled_add_up_to_what_was_invoiced",
        ),
    ),
    "INV-21": Shown("intercompany", ("policies.test_costs:test_charges_between_entities_are_nothing_to_the_group",)),
    "INV-22": Shown("negative corrections", (HISTORIES, ORDERS)),
    "INV-23": Shown(
        "milestones", (HISTORIES, "policies.test_fixed:test_milestones_are_the_price_before_and_after_any_change")
    ),
    "INV-24": Shown(
        "chargeability", (HISTORIES, "policies.test_chargeability:test_it_is_the_conjunction_and_nothing_else")
    ),
    "INV-25": Shown(
        "tax breakdown", (HISTORIES, "policies.test_tax_decision:test_a_reverse_charge_has_no_tax_and_both_vat_ids")
    ),
    "INV-26": Shown("purchase orders", (HISTORIES,)),
    "INV-27": Shown("version coherence", (HISTORIES,)),
    "INV-28": Shown("event log = state", (HISTORIES,)),
    "INV-29": Shown("cutover", later="cutover and rollback"),
    "INV-30": Shown("nothing stuck", (HISTORIES,)),
    "INV-31": Shown(
        "commutativity",
        (
            ORDERS,
            "policies.test_caps:test_the_order_of_arrival_never_matters",
            "processes.test_month_billing:test_plain_contracts_come_to_the_same_rows_with_the_same_numbers",
        ),
    ),
    "INV-32": Shown(
        "payments", (HISTORIES, "policies.test_cash:test_a_payment_never_settles_more_than_itself_or_an_invoice")
    ),
    "INV-33": Shown(
        "suppliers' hours",
        (
            "policies.test_subcontracts:test_no_hour_is_paid_twice_whatever_is_billed",
            "policies.test_subcontracts:test_what_is_kept_back_is_paid_out_once_all_is_delivered_and_never_more",
        ),
    ),
    "INV-34": Shown(
        "suppliers' bills",
        ("processes.test_subcontracting:test_what_the_erp_is_given_adds_up_to_what_is_payable",),
    ),
}
# Not a state of the books that a control could read: two orders of arrival have to be compared. Its defect is below.
NO_CONTROL = {"INV-31"}


def test_every_invariant_of_billing_has_a_property_and_a_control() -> None:
    assert list(INVARIANTS) == [f"INV-{number:02d}" for number in range(1, 35)]
    billing = {name for name, shown in INVARIANTS.items() if not shown.later}
    assert billing - NO_CONTROL == set(CONTROLS)
    for name in billing:
        assert INVARIANTS[name].properties, name
        for told in INVARIANTS[name].properties:
            module, function = told.split(":")
            test = getattr(importlib.import_module(f"tests.{module}"), function)
            assert getattr(test, "is_hypothesis_test", False), f"{told} generates nothing"
        for module in INVARIANTS[name].otherwise:
            assert importlib.import_module(f"tests.{module}")


# -- INV-31: the defect is in the rules, and what sees it compares two orders ------------------------------------------

MESSAGES = (
    Act("time", {"number": 1, "approval": 1, "hours": "3.5"}),
    Act("time", {"number": 2, "approval": 2, "hours": "2.5"}),
)


def _left_by(acts: Iterable[Act]) -> dict[tuple[str, str, str], tuple[Decimal, Decimal]]:
    history = History(terms(caps=(Cap(cap_id="all", scope="contract", limit=Decimal("700.00")),)))
    for act in acts:
        history.play(act)
    return evidence_of(history)


def _left_by_arrival(acts: Iterable[Act]) -> dict[tuple[str, str, str], tuple[Decimal, Decimal]]:
    """Room under a cap is given by arrival instead of by service day and approval."""
    arrived, known = itertools.count(), dict[str, str]()
    with Patch.context() as patch:
        patch.setattr(evidence, "order_key", lambda item: known.setdefault(item.item_id, f"{next(arrived):06d}"))
        return _left_by(acts)


def first_come_first_served() -> bool:
    return _left_by_arrival(MESSAGES) != _left_by_arrival(MESSAGES[::-1])


def test_the_order_of_arrival_matters_only_with_the_defect() -> None:
    assert _left_by(MESSAGES) == _left_by(MESSAGES[::-1])
    assert first_come_first_served()


ELSEWHERE = {"INV-31": first_come_first_served}


def test_the_table_of_invariants() -> None:
    planted = Counter(defect.control for defect in DEFECTS) + Counter(list(ELSEWHERE))
    caught = Counter(defect.control for defect in DEFECTS if defect.control in found_for(defect))
    caught += Counter(name for name, sees in ELSEWHERE.items() if sees())
    print(f"\n{'invariant':29}{'control':9}{'caught/planted':16}properties")
    for name, shown in INVARIANTS.items():
        if shown.later:
            print(f"{name} {shown.says:22}{'':9}{'':16}later: {shown.later}")
            continue
        control = "audit" if name in CONTROLS else "-"
        told = ", ".join(p.rpartition(":")[2].removeprefix("test_") for p in shown.properties)
        print(f"{name} {shown.says:22}{control:9}{f'{caught[name]}/{planted[name]}':16}{told}")
    print(f"{sum(caught.values())} caught of {sum(planted.values())} planted")
    assert caught == planted and not [n for n, s in INVARIANTS.items() if not s.later and not planted[n]]
