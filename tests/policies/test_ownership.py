"""Who may write what: the whole matrix, object by writer."""

from __future__ import annotations

import pytest

from isthmus.domain.errors import NotOwner
from isthmus.policies.ownership import DEFAULT_RULES, OwnershipRule, check_owner, find_rule

WRITERS = ("crm", "psa", "erp", "tax", "hub", "finance", "time", "pmo", "esign")
# object.field -> the one writer; everything else in the row is refused.
OWNERS = {
    "opportunity.stage": "crm",
    "contract.rates": "crm",
    "contract.caps": "crm",
    "client.legal_name": "crm",
    "client.industry": "crm",
    "client.tax_id": "erp",
    "client.payment_terms": "erp",
    "approval.legal": "esign",
    "project.name": "hub",
    "project.budget": "hub",
    "project.status": "psa",
    "task.name": "psa",
    "expense.gross": "psa",
    "milestone.completed": "psa",
    "progress.percent": "psa",
    "usage.quantity": "hub",
    "period.state": "hub",
    "time_entry.hours": "psa",
    "time_entry.approved_by": "psa",
    "billable_part.state": "hub",
    "intercompany.amount": "hub",
    "tax_threshold.amount": "hub",
    "subcontract.rates": "hub",
    "vendor_bill.total": "hub",
    "invoice.number": "hub",
    "invoice.lines": "hub",
    "invoice.posting": "erp",
    "invoice.tax": "tax",
    "payment.amount": "erp",
    "change_order.cap_delta": "pmo",
    "ledger.anything": None,
}
CELLS = [(what, writer) for what in OWNERS for writer in WRITERS]


@pytest.mark.requirement("GOV-01", "OWN-08")
@pytest.mark.parametrize(("what", "writer"), CELLS, ids=lambda word: word)
def test_every_cell_of_the_matrix(what: str, writer: str) -> None:
    obj, field = what.split(".")
    if OWNERS[what] == writer:
        assert check_owner(DEFAULT_RULES, writer=writer, obj=obj, fields=[field], entity="US01")
        return
    with pytest.raises(NotOwner) as refused:
        check_owner(DEFAULT_RULES, writer=writer, obj=obj, fields=[field], entity="US01")
    assert refused.value.owner_system == (OWNERS[what] or "nobody")
    assert refused.value.rule and refused.value.route


def test_the_matrix_knows_every_object_that_has_a_rule() -> None:
    assert {rule.object for rule in DEFAULT_RULES} <= {what.split(".")[0] for what in OWNERS}
    assert all(rule.route for rule in DEFAULT_RULES), "a refusal always tells what to do instead"


@pytest.mark.requirement("OWN-07")
def test_the_most_specific_rule_wins_whatever_the_order() -> None:
    rules = [
        OwnershipRule(object="client", owner="any"),
        OwnershipRule(object="client", entity="UK01", owner="entity"),
        OwnershipRule(object="client", field="tax_id", owner="field"),
        OwnershipRule(object="client", field="tax_id", entity="UK01", owner="both"),
    ]
    table = {
        ("name", "US01"): "any",
        ("name", "UK01"): "entity",
        ("tax_id", "US01"): "field",
        ("tax_id", "UK01"): "both",
        ("tax_id", ""): "field",
    }
    for order in (rules, list(reversed(rules))):
        for (field, entity), owner in table.items():
            rule = find_rule(order, "client", field, entity)
            assert rule is not None and rule.owner == owner, (field, entity)
    field_first = find_rule(rules[:3], "client", "tax_id", "UK01")
    assert field_first is not None and field_first.owner == "field", "a field is more specific than an entity"
    assert find_rule(rules, "invoice", "tax", "UK01") is None


def test_a_refusal_names_the_rule_the_owner_and_the_route() -> None:
    with pytest.raises(NotOwner) as refused:
        check_owner(DEFAULT_RULES, writer="crm", obj="client", fields=["legal_name", "tax_id"], entity="US01")
    told = refused.value
    assert (told.rule, told.owner_system, told.route) == ("client.tax_id@*", "erp", "ask finance master data")
    assert told.message == (
        "crm may not write client.tax_id for US01: rule client.tax_id@*, owner erp; ask finance master data"
    )


def test_silence_is_not_permission() -> None:
    with pytest.raises(NotOwner, match="owner nobody; ask the integration team for an ownership rule"):
        check_owner(DEFAULT_RULES, writer="hub", obj="ledger", fields=["x"], entity="")
    with pytest.raises(NotOwner, match=r"invoice.\* for any entity"):
        check_owner(DEFAULT_RULES, writer="crm", obj="invoice", fields=[], entity="")


def test_an_allowed_write_says_by_which_rules() -> None:
    rules = check_owner(DEFAULT_RULES, writer="erp", obj="client", fields=["tax_id", "payment_terms"], entity="US01")
    assert rules == ["client.tax_id@*", "client.payment_terms@*"]
