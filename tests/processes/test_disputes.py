"""What a client contests is shown to the people who sell and to those who deliver, until it is decided."""

from __future__ import annotations

from typing import Any

import pytest

from isthmus.domain.objects import Invoice
from isthmus.ports.messages import ContestedLines
from isthmus.store.records import Case, CaseState
from tests.processes.hub import Hub
from tests.processes.test_invoice_to_cash import billed

NOTHING = "nothing is contested"


def contest(hub: Hub, name: str, amount: str, reason: str = "too many hours") -> Any:
    invoice = hub.rows(Invoice)[0]
    args = {"invoice_id": invoice.invoice_id, "line": 1, "amount": amount, "reason": reason, "opened_by": "client"}
    return hub.start("dispute_line", name, **args)


def shown(hub: Hub) -> list[str]:
    return [row["shown"] for row in hub.systems.psa.things.get("contested", [])]


def decide(hub: Hub, action: str) -> None:
    """The one that was contested first."""
    first = hub.rows(Case, state=CaseState.OPEN, exception="EX-DISPUTE", order=("opened_at", "case_no"))[0]
    with hub.store.transaction() as tx:
        hub.kernel.resolve(tx, first.case_no, action=action, actor="rea", reason="seen", values={})
    hub.go()


@pytest.mark.requirement("WF-52")
def test_a_dispute_is_shown_in_the_psa_until_it_is_decided() -> None:
    hub = billed()
    number = hub.rows(Invoice)[0].number
    run = contest(hub, "D1", "480.00")
    assert shown(hub)[-1] == f"{number} line 1: 480.00 USD, too many hours"
    contest(hub, "D2", "100.00", "not agreed")
    assert shown(hub)[-1].endswith(f"too many hours; {number} line 1: 100.00 USD, not agreed")
    decide(hub, "reject")
    assert shown(hub)[-1] == f"{number} line 1: 100.00 USD, not agreed"
    decide(hub, "reject")
    assert shown(hub)[-1] == NOTHING
    assert "Show the decision in the PSA" in hub.steps(run.run_id)


def test_where_the_psa_has_no_place_for_it_the_crm_shows_it_alone() -> None:
    hub = billed()
    del hub.systems.by_port["DisputeBoard"]
    contest(hub, "D1", "480.00")
    assert shown(hub) == [] and hub.systems.crm.things["status"][-1]["shown"]["state"] == "disputed"
    decide(hub, "reject")
    assert hub.systems.crm.things["status"][-1]["shown"]["state"] == "active"


def test_what_is_shown_fits_a_field_of_text_and_says_that_it_goes_on() -> None:
    assert ContestedLines(project_code="P").text == NOTHING
    one = f"INV-1 line 1: 480.00 USD, {'x' * 150}"
    text = ContestedLines(project_code="P", lines=(one, one)).text
    assert len(text) == 255 and text.startswith(f"{one}; INV-1") and text.endswith(" …")
