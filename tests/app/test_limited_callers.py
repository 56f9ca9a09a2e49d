"""A caller limited to a legal entity writes nothing about the work of another one, whichever door it comes through."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.firm import Caller
from isthmus.domain.objects import ContractVersion, FiledContract, RateCard, SubmittedTime
from isthmus.store.records import InboxMessage
from tests.app.conftest import made_stage
from tests.app.stage import PEOPLE, Stage, firm, problem_of
from tests.app.test_files import CARD, EXPENSES, HEADER, card_row, expense_row, row
from tests.processes.hub import contract

FACTS = {"source": "tool", "source_id": "1", "project_code": "P-K-1"}
APPROVED = {"approved_by": "pia", "approved_at": "2026-03-05T10:00:00+00:00"}
HOTEL = {**FACTS, **APPROVED, "person": "ann", "category": "hotel", "expense_date": "2026-03-04"}
ACCEPTED = {
    **FACTS,
    "number": 1,
    "state": "accepted",
    "by": "mia",
    "at": "2026-03-05T10:00:00+00:00",
    "evidence": "mail",
}
HANDED = {**FACTS, "person": "ann", "role": "Consultant", "service_date": "2026-03-04", "hours": "2"}


def _cheaper() -> dict[str, Any]:
    """Version 2 of a contract of US01 that says it is GB01's."""
    line = contract().lines[0]
    cheap = line.rates[0].model_copy(update={"bill_rate": Decimal("1.00")})
    terms = contract(version=2, entity="GB01", lines=(line.model_copy(update={"rates": (cheap,)}),))
    return {"contract": terms.model_dump(mode="json")}


WRITES: list[tuple[str, Any]] = [
    ("/v1/contract-versions", _cheaper()),
    ("/v1/contract-versions", {**_cheaper(), "dry_run": True}),
    ("/v1/files/time?connection=psa", HEADER + row(1)),
    ("/v1/files/time?connection=psa&dry_run=true", HEADER + row(1)),
    ("/v1/files/expenses?connection=psa", EXPENSES + expense_row(1)),
    ("/v1/files/rate-card?code=ACME&currency=USD&client_no=C-1", CARD + card_row()),
    ("/v1/expenses", {"source": "tool", "expenses": [{**HOTEL, "gross": "240.00", "currency": "USD"}]}),
    ("/v1/milestones", {"source": "tool", "milestones": [ACCEPTED]}),
    ("/v1/milestones", {"source": "tool", "milestones": [{**ACCEPTED, "project_code": "", "contract_no": "K-1"}]}),
    ("/v1/time/submitted", {"entries": [{**HANDED, "submitted_at": "2026-03-05T10:00:00+00:00"}]}),
]


@pytest.fixture
def two_sides(pg_server: str, api_template: str) -> Iterator[Stage]:
    """A contract of US01; gus of GB01 and ulla of US01 have every role."""
    roles, config = tuple(sorted(set(PEOPLE.values()))), firm()
    callers = [
        Caller(name=name, token=f"demo:{name}-token", roles=roles, entities=(entity,))
        for name, entity in (("gus", "GB01"), ("ulla", "US01"))
    ]
    with made_stage(
        pg_server, api_template, config.model_copy(update={"callers": (*config.callers, *callers)})
    ) as made:
        made.set_up()
        yield made


def _send(stage: Stage, path: str, body: Any, by: str) -> Any:
    if isinstance(body, str):
        return stage.post(path, by=by, content=body, headers={"content-type": "text/csv"})
    return stage.post(path, body, by=by)


def test_work_of_another_legal_entity_is_refused_at_every_door(two_sides: Stage) -> None:
    for path, body in WRITES:
        told = problem_of(_send(two_sides, path, body, "gus"), 403)
        assert "US01" in told["detail"], path
    assert not two_sides.rows(FiledContract) and not two_sides.rows(RateCard) and not two_sides.rows(SubmittedTime)
    assert len(two_sides.rows(ContractVersion)) == 1 and not two_sides.rows(InboxMessage, source="tool")
    assert not two_sides.rows(InboxMessage, kind="file.time"), "what is refused for who sends it is not kept either"


def test_who_serves_the_entity_may_send_the_same(two_sides: Stage) -> None:
    for path, body in WRITES[2:]:
        answer = _send(two_sides, path, body, "ulla")
        assert answer.status_code in (200, 202), (path, answer.text)
