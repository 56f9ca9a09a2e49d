"""What is wrong is refused with its place and reason, or becomes a named case; nothing of it is half done.

One row per way to be wrong. Every address that is written to has rows: the last test counts them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from isthmus.app.api.access import ROUTES
from isthmus.domain.errors import IsthmusError
from isthmus.domain.objects import BillableItem, BillablePart, Expense, Invoice, Payer, RateCard, TimeEntry
from isthmus.domain.periods import FxRate
from isthmus.domain.states import EngagementState
from isthmus.domain.subcontracting import Subcontract, SubcontractorBill
from isthmus.store.records import Case, InboxMessage, MessageState, RunRow
from tests.app.conftest import made_stage
from tests.app.stage import Stage, an_entry, problem_of, time_approved
from tests.app.test_buying_api import HEADER as BILLS
from tests.app.test_buying_api import line as bill_line
from tests.app.test_files import CARD, EXPENSES, HEADER, card_row, expense_row, row
from tests.processes.hub import contract

KEPT = (
    TimeEntry,
    Expense,
    BillableItem,
    BillablePart,
    Invoice,
    RunRow,
    RateCard,
    FxRate,
    Subcontract,
    SubcontractorBill,
)


@pytest.fixture(scope="module")
def standing(pg_server: str, api_template: str) -> Iterator[Stage]:
    """One hub for all refusals, with an invoice of 1,480.00 on K-1: a refusal leaves it as it was."""
    with made_stage(pg_server, api_template) as stage:
        stage.set_up()
        stage.record(an_entry(1))
        stage.bill()
        stage.go()
        yield stage


def books_of(stage: Stage) -> list[int]:
    accepted = len(stage.rows(InboxMessage, state=MessageState.ACCEPTED))
    return [*(len(stage.rows(model)) for model in KEPT), accepted]


@dataclass(frozen=True)
class Bad:
    """One way to be wrong. body: JSON, or a function of the stage; content: a file. told: what the answer says."""

    route: str
    name: str
    body: Any = None
    told: tuple[str, ...] = ()
    status: int = 422
    by: str = "adam"
    path: str = ""
    content: str | bytes | None = None

    def __str__(self) -> str:
        return f"{self.route.removeprefix('POST ')}: {self.name}"


def bill(**changes: Any) -> dict[str, Any]:
    return {"contract_no": "K-1", "cutoff": "2026-03-31", "name": "again", **changes}


def credit(**changes: Any) -> dict[str, Any]:
    return {"invoice": "US01-INV-2026-00001", "name": "c", "reason": "error_rebill", "note": "n", **changes}


def debt(**changes: Any) -> dict[str, Any]:
    return {"invoice": "US01-INV-2026-00001", "name": "b", "reason": "insolvent", **changes}


def subcontract(**changes: Any) -> dict[str, Any]:
    facts = {
        "subcontract_no": "SC-1",
        "supplier": "SUBS",
        "project_code": "P-K-1",
        "currency": "USD",
        "rates": [{"person": "ann", "rate": "80.00", "effective_from": "2026-03-01"}],
    }
    return {**facts, **changes}


AT_THE_END = {"subcontract_no": "SC-9", "name": "end", "reason": "the project ends"}


def expense(**changes: Any) -> dict[str, Any]:
    facts = {
        "source": "exp",
        "source_id": "X1",
        "project_code": "P-K-1",
        "person": "ann",
        "category": "hotel",
        "expense_date": "2026-03-03",
        "gross": "240.00",
        "currency": "USD",
        "approved_by": "pia",
        "approved_at": "2026-03-04T18:00:00Z",
    }
    return {"source": "exp", "expenses": [{**facts, **changes}]}


def milestone(**changes: Any) -> dict[str, Any]:
    facts = {
        "source": "psa",
        "source_id": "M1",
        "contract_no": "K-1",
        "line_uid": "L1",
        "number": 1,
        "state": "accepted",
        "by": "emma",
        "at": "2026-03-04T18:00:00Z",
        "evidence": "acceptance.pdf",
    }
    return {"source": "psa", "milestones": [{**facts, **changes}]}


def submitted(**changes: Any) -> dict[str, Any]:
    facts = an_entry(9)
    facts = {name: facts[name] for name in ("source_id", "project_code", "person", "role", "service_date", "hours")}
    return {"entries": [{**facts, "source": "psa", "submitted_at": "2026-03-04T18:00:00Z", **changes}]}


def usage(**changes: Any) -> dict[str, Any]:
    facts = {
        "contract_no": "K-1",
        "line_uid": "L1",
        "period_start": "2026-03-01",
        "period_end": "2026-03-31",
        "quantity": "100",
        "unit_price": "0.10",
        "evidence_ref": "meter 1",
        "evidence_hash": "ab" * 32,
        "source": "meter",
        "source_id": "u1",
    }
    return {"record": {**facts, **changes}}


def hold(**changes: Any) -> dict[str, Any]:
    return {"contract_no": "K-1", "name": "h", "reason": "MANUAL", "note": "n", **changes}


def handed_in(**changes: Any) -> dict[str, Any]:
    return {"contract": {**contract().model_dump(mode="json"), **changes}}


def client_bill(client_no: str) -> dict[str, Any]:
    return {"client_no": client_no, "cutoff": "2026-03-31", "name": "again"}


def lend(borrower: str) -> dict[str, Any]:
    price = {"kind": "fixed", "rate": "90.00"}
    facts = {"agreement_no": "A-1", "lender": "US01", "borrower": borrower, "people": ["ann"], "price": price}
    return {**facts, "currency": "USD", "effective_from": "2026-01-01"}


def charge(period: str) -> dict[str, Any]:
    return {"lender": "US01", "borrower": "XX99", "period": period, "name": "c"}


def threshold(**changes: Any) -> dict[str, Any]:
    return {"entity": "US01", "state": "NY", **changes}


WHY = {"reason": "because"}
TIME, SPENT, RATES = "/v1/files/time?connection=psa", "/v1/files/expenses?connection=psa", "/v1/files/rate-card"
BILLS_AT = "/v1/files/subcontractor-bills"
ACME = f"{RATES}?code=ACME&currency=USD&client_no=C-1"
REFUSED = (
    # -- files: nothing of them is used; a bad row of a good file is in the tables of tests/app/test_files.py
    Bad(
        "POST /v1/files/time",
        "wrong column",
        content=HEADER.replace("hours", "hrs"),
        told=("line 1", "hours", "hrs"),
        path=TIME,
    ),
    Bad("POST /v1/files/time", "no CSV", content=b"\xff\xfeh", told=("UTF-16",), path=TIME),
    Bad(
        "POST /v1/files/time",
        "totals off",
        content=HEADER + row(1) + "#TOTAL,2,16\n",
        told=("line 3", "nothing was taken"),
        path=TIME,
    ),
    Bad(
        "POST /v1/files/time",
        "no totals, but demanded",
        content=HEADER + row(1),
        told=("#TOTAL",),
        path=f"{TIME}&require_totals=true",
    ),
    Bad(
        "POST /v1/files/time",
        "whole, with a bad row",
        content=HEADER + row(1) + row(2, "25"),
        told=("line 3", "24 hours"),
        path=f"{TIME}&whole=true",
    ),
    Bad(
        "POST /v1/files/time",
        "no such connection",
        content=HEADER,
        told=("no connection nobody", "psa"),
        status=404,
        path="/v1/files/time?connection=nobody",
    ),
    Bad(
        "POST /v1/files/expenses",
        "wrong column",
        content=EXPENSES.replace("gross", "amount"),
        told=("line 1", "gross", "amount"),
        path=SPENT,
    ),
    Bad(
        "POST /v1/files/expenses",
        "totals off",
        content=EXPENSES + expense_row(1) + "#TOTAL,1,1\n",
        told=("line 3", "gross"),
        path=SPENT,
    ),
    Bad(
        "POST /v1/files/subcontractor-bills",
        "wrong column",
        content=BILLS.replace("amount", "total"),
        told=("line 1", "amount", "total"),
        path=BILLS_AT,
        by="ana",
    ),
    Bad(
        "POST /v1/files/subcontractor-bills",
        "totals off",
        content=BILLS + bill_line() + "#TOTAL,1,1\n",
        told=("line 3", "640.00 amount"),
        path=BILLS_AT,
        by="ana",
    ),
    Bad(
        "POST /v1/files/rate-card",
        "wrong column",
        content=CARD.replace("bill_rate", "rate"),
        told=("line 1", "bill_rate"),
        path=ACME,
        by="ana",
    ),
    Bad(
        "POST /v1/files/rate-card",
        "no such currency",
        content=CARD + card_row(),
        told=("XXQ",),
        path=ACME.replace("USD", "XXQ"),
        by="ana",
    ),
    Bad(
        "POST /v1/files/rate-card",
        "of nobody",
        content=CARD + card_row(),
        told=("of a client, of a legal entity or of a contract",),
        path=f"{RATES}?code=A&currency=USD",
        by="ana",
    ),
    Bad(
        "POST /v1/files/rate-card",
        "of an unknown client",
        content=CARD + card_row(),
        told=("no client C-9",),
        status=404,
        path=ACME.replace("C-1", "C-9"),
        by="ana",
    ),
    Bad("POST /v1/files/price-list", "no price list", content="a,b\n1,2\n", told=("missing columns",)),
    Bad(
        "POST /v1/files/price-list",
        "a workbook of unknown contract",
        content=b"PK\x03\x04",
        told=("names no contract", "sheet"),
        path="/v1/files/price-list",
    ),
    # -- what is handed in
    Bad(
        "POST /v1/fx-rates/ecb",
        "no such currency",
        {"currencies": ["XXQ"], "first": "2025-01-02", "last": "2025-01-03"},
        ("no rate of XXQ",),
    ),
    Bad(
        "POST /v1/fx-rates/ecb",
        "after the table's end",
        {"currencies": ["USD"], "first": "2025-01-02", "last": "2034-01-03"},
        ("table ends on",),
    ),
    Bad(
        "POST /v1/fx-rates/ecb",
        "days out of order",
        {"currencies": ["USD"], "first": "2025-01-03", "last": "2025-01-02"},
        ("no days in order",),
    ),
    Bad("POST /v1/contract-versions", "unknown term", handed_in(discount="5 %"), ("discount",), by="ines"),
    Bad("POST /v1/contract-versions", "no such currency", handed_in(currency="XXQ"), ("XXQ",), by="ines"),
    Bad(
        "POST /v1/contract-versions",
        "a float",
        handed_in(caps=[{"cap_id": "c", "scope": "contract", "limit": 100.5}]),
        ("limit",),
        by="ines",
    ),
    Bad(
        "POST /v1/contract-versions",
        "overtime bands that fall",
        handed_in(
            lines=[
                {
                    **contract().lines[0].model_dump(mode="json"),
                    "day_rule": {"bands": [{"up_to_hours": "10"}, {"up_to_hours": "8"}]},
                }
            ]
        ),
        ("bands must rise",),
        by="ines",
    ),
    Bad("POST /v1/expenses", "tax above gross", expense(tax="300.00"), ("X1", "300.00")),
    Bad("POST /v1/expenses", "negative", expense(gross="-1.00"), ("X1", "negative")),
    Bad("POST /v1/expenses", "no such currency", expense(currency="usd"), ("X1", "usd")),
    Bad("POST /v1/expenses", "part cents", expense(gross="240.005"), ("X1", "240.005")),
    Bad(
        "POST /v1/expenses",
        "approved at no place on earth",
        expense(approved_at="2026-03-04T18:00:00"),
        ("X1", "offset"),
    ),
    Bad("POST /v1/expenses", "of another source", {**expense(), "source": "psa"}, ("exp",)),
    Bad("POST /v1/expenses", "wrong field", expense(amount="1"), ("amount",)),
    Bad("POST /v1/milestones", "no such state", milestone(state="done"), ("state",)),
    Bad("POST /v1/milestones", "number zero", milestone(number=0), ("M1", "0")),
    Bad("POST /v1/milestones", "somebody else's word", milestone(by="emma", evidence=" "), ("M1", "emma", "evidence")),
    Bad("POST /v1/milestones", "of nothing", milestone(contract_no="", line_uid=""), ("M1",)),
    Bad("POST /v1/time/submitted", "25 hours in a day", submitted(hours="25"), ("9", "24")),
    Bad("POST /v1/time/submitted", "negative", submitted(hours="-1"), ("9", "-1")),
    Bad(
        "POST /v1/progress",
        "101 %",
        {"contract_no": "K-1", "line_uid": "L1", "as_of": "2026-03-31", "percent": "101"},
        ("101",),
    ),
    Bad(
        "POST /v1/progress",
        "no such line",
        {"contract_no": "K-1", "line_uid": "L9", "as_of": "2026-03-31", "percent": "1"},
        ("L9",),
    ),
    Bad("POST /v1/usage", "period ends before it starts", usage(period_end="2026-02-28"), ("2026-02-28",)),
    Bad("POST /v1/usage", "no such line", usage(line_uid="L9"), ("L9",)),
    Bad("POST /v1/usage", "negative", usage(quantity="-5"), ("-5",)),
    Bad("POST /v1/processes/contract-to-project", "version zero", {"contract_no": "K-1", "version": 0}, ("version",)),
    Bad("POST /v1/billing-runs", "no such contract", bill(contract_no="K-9"), ("K-9",), 404, "ana"),
    Bad("POST /v1/billing-runs", "no day", bill(cutoff="2026-02-30"), ("cutoff",), by="ana"),
    Bad(
        "POST /v1/change-orders",
        "part cents",
        {
            "contract_no": "K-1",
            "change_order": "CO",
            "cap_delta": "0.005",
            "accepted_on": "2026-03-20",
            "evidence": "e",
        },
        ("0.005",),
        by="pia",
    ),
    Bad(
        "POST /v1/change-orders",
        "nothing",
        {"contract_no": "K-1", "change_order": "CO", "cap_delta": "0", "accepted_on": "2026-03-20", "evidence": "e"},
        ("no cap that 0",),
        by="pia",
    ),
    Bad(
        "POST /v1/write-offs",
        "more than there is",
        {"contract_no": "K-1", "amount": "1.00", "state": "ready", "name": "w", "reason": "r"},
        ("has 0 ready",),
        by="pia",
    ),
    Bad(
        "POST /v1/write-downs",
        "to more than there is",
        {"contract_no": "K-1", "down_to": "1.00", "cutoff": "2026-03-31", "name": "d", "reason": "r"},
        ("has 0 ready up to 2026-03-31", "1.00"),
        by="pia",
    ),
    Bad("POST /v1/holds", "no such reason", hold(reason="BECAUSE"), ("reason",), by="ana"),
    Bad("POST /v1/holds", "negative", hold(amount="-1.00"), ("-1.00",), by="ana"),
    Bad("POST /v1/holds", "no such line", hold(line_uid="L9"), ("L9",), by="ana"),
    Bad(
        "POST /v1/holds/{hold_id}/release",
        "no such hold",
        WHY,
        ("no hold K-1/none",),
        404,
        "ana",
        "/v1/holds/K-1/none/release",
    ),
    Bad("POST /v1/bad-debts", "more than is open", debt(amount="99999.00"), ("99999.00", "is open"), by="ana"),
    Bad("POST /v1/bad-debts", "half a cent", debt(amount="1.005"), ("1.005",), by="ana"),
    Bad("POST /v1/bad-debts", "no such invoice", debt(invoice="US01-INV-2026-09999"), ("09999",), 404, "ana"),
    Bad("POST /v1/credits", "no such reason", credit(reason="mood"), ("mood", "error_rebill"), by="ana"),
    Bad("POST /v1/credits", "more than the line", credit(lines={"1": "1480.01"}), ("1480.01",), by="ana"),
    Bad("POST /v1/credits", "no such line", credit(lines={"9": "1.00"}), ("9",), by="ana"),
    Bad("POST /v1/credits", "no such invoice", credit(invoice="US01-INV-2026-09999"), ("09999",), 404, "ana"),
    Bad(
        "POST /v1/disputes",
        "no such line",
        {"invoice": "US01-INV-2026-00001", "name": "d", "line": 9, "reason": "r"},
        ("9",),
        by="ana",
    ),
    Bad(
        "POST /v1/disputes",
        "more than the line",
        {"invoice": "US01-INV-2026-00001", "name": "d", "line": 1, "amount": "1480.01", "reason": "r"},
        ("1480.01",),
        by="ana",
    ),
    Bad(
        "POST /v1/advances",
        "a line without deposit",
        {"contract_no": "K-1", "line_uid": "L1", "name": "a"},
        ("no deposit",),
        by="ana",
    ),
    Bad(
        "POST /v1/holdback-releases",
        "a line that holds nothing",
        {"contract_no": "K-1", "line_uid": "L1", "name": "a"},
        ("holds nothing back",),
        by="ana",
    ),
    Bad(
        "POST /v1/periods/close",
        "month 13",
        {"entity": "US01", "period": "2026-13", "name": "a"},
        ("period",),
        by="cora",
    ),
    Bad(
        "POST /v1/periods/close",
        "no such entity",
        {"entity": "XX99", "period": "2026-02", "name": "a"},
        ("XX99",),
        404,
        "cora",
    ),
    Bad(
        "POST /v1/periods/reopen",
        "month 0",
        {"entity": "US01", "period": "2026-00", "name": "a"},
        ("period",),
        by="cora",
    ),
    Bad("POST /v1/client-billing-runs", "no such client", client_bill("C-9"), ("client C-9",), 404, "ana"),
    Bad("POST /v1/lending-agreements", "no such entity", lend("XX99"), ("XX99",), 404, "finn"),
    Bad("POST /v1/lending-agreements", "an entity to itself", lend("US01"), ("US01", "itself"), by="finn"),
    Bad(
        "POST /v1/lending-agreements", "no such currency", {**lend("XX99"), "currency": "usd"}, ("currency",), by="finn"
    ),
    Bad("POST /v1/intercompany-charges", "month 13", charge("2026-13"), ("period",), by="finn"),
    Bad("POST /v1/intercompany-charges", "no such entity", charge("2026-03"), ("XX99",), 404, "finn"),
    Bad("POST /v1/subcontracts", "no such project", subcontract(project_code="P-9"), ("no project P-9",), 404, "finn"),
    Bad("POST /v1/subcontracts", "rates of nobody", subcontract(rates=[]), ("rates",), by="finn"),
    Bad(
        "POST /v1/subcontracts",
        "retention without ordered hours",
        subcontract(retention=[{"until_percent": "50", "retain_percent": "20"}]),
        ("SC-1", "ordered hours"),
        by="finn",
    ),
    Bad("POST /v1/retention-releases", "no such subcontract", AT_THE_END, ("no subcontract SC-9",), 404, "finn"),
    Bad("POST /v1/tax-thresholds", "count of none", threshold(count=0), ("count",), by="tara"),
    Bad("POST /v1/tax-thresholds", "no such entity", threshold(entity="XX99", count=1), ("XX99",), 404, "tara"),
    Bad("POST /v1/tax-thresholds", "a threshold of nothing", threshold(), ("NY",), by="tara"),
    # -- what people decide
    Bad(
        "POST /v1/subcontractor-bills/{bill_id}/confirm",
        "no such bill",
        WHY,
        ("no bill none",),
        404,
        "pia",
        "/v1/subcontractor-bills/none/confirm",
    ),
    Bad(
        "POST /v1/subcontractor-bills/{bill_id}/release",
        "no such bill",
        {**WHY, "name": "r"},
        ("no bill none",),
        404,
        "ana",
        "/v1/subcontractor-bills/none/release",
    ),
    Bad(
        "POST /v1/invoices/{invoice_id}/release",
        "no such invoice",
        WHY,
        ("no invoice none",),
        404,
        "ana",
        "/v1/invoices/none/release",
    ),
    Bad(
        "POST /v1/runs/{run_id}/cancel",
        "no such run",
        WHY,
        ("no run",),
        404,
        "ana",
        "/v1/runs/bill_contract/none/cancel",
    ),
    Bad(
        "POST /v1/cases/{case_no}/dry-run",
        "no such case",
        {**WHY, "action": "retry"},
        ("CASE-09999",),
        404,
        "finn",
        "/v1/cases/CASE-09999/dry-run",
    ),
    Bad(
        "POST /v1/cases/{case_no}/resolve",
        "no such case",
        {**WHY, "action": "retry"},
        ("CASE-09999",),
        404,
        "finn",
        "/v1/cases/CASE-09999/resolve",
    ),
    Bad(
        "POST /v1/proposals/{proposal_no}/approve",
        "no such proposal",
        WHY,
        ("P-09999",),
        404,
        "finn",
        "/v1/proposals/P-09999/approve",
    ),
    Bad(
        "POST /v1/proposals/{proposal_no}/decline",
        "no such proposal",
        WHY,
        ("P-09999",),
        404,
        "finn",
        "/v1/proposals/P-09999/decline",
    ),
    Bad("POST /v1/replays", "neither of both", WHY, ("either",)),
    Bad("POST /v1/replays", "no such message", {**WHY, "source": "psa", "message_id": "m"}, ("no message m",), 404),
)


@pytest.mark.parametrize("bad", REFUSED, ids=str)
def test_bad_input_is_refused_by_name_and_changes_nothing(standing: Stage, bad: Bad) -> None:
    before = books_of(standing)
    path = bad.path or bad.route.removeprefix("POST ")
    more = {} if bad.content is None else {"content": bad.content}
    told = problem_of(standing.post(path, bad.body, by=bad.by, **more), bad.status)
    for word in bad.told:
        assert word in told["detail"], told["detail"]
    assert books_of(standing) == before


SIGNED = (
    ("25 hours in a day", time_approved(an_entry(7, "25")), ("entries.0", "25", "a day has 24")),
    ("a field that is not known", time_approved(an_entry(7, duration="8")), ("entries.0", "duration")),
    ("no project", time_approved({k: v for k, v in an_entry(7).items() if k != "project_code"}), ("project_code",)),
    ("cost in no currency", time_approved(an_entry(7, cost_rate="70", cost_currency="XXQ")), ("entries.0", "XXQ")),
    ("approved nowhere", time_approved(an_entry(7, approved_at="2026-03-03T18:00:00")), ("offset",)),
    ("of another kind", {"type": "time.rejected", "schema_version": 1, "data": {}}, ("time.rejected", "time.approved")),
    (
        "a payment of nothing",
        {
            "type": "payment.received",
            "schema_version": 1,
            "data": {
                "source_id": "p",
                "client_no": "C-1",
                "amount": "0.00",
                "currency": "USD",
                "value_date": "2026-03-03",
            },
        },
        ("more than nothing",),
    ),
    (
        "contract version zero",
        {"type": "contract.approved", "schema_version": 1, "data": {"contract_no": "K-1", "version": 0}},
        ("version",),
    ),
)


@pytest.mark.parametrize("name, content, told", SIGNED, ids=[name for name, _, _ in SIGNED])
def test_a_bad_message_is_kept_in_quarantine_with_the_reason(
    standing: Stage, name: str, content: Any, told: tuple[str, ...]
) -> None:
    before = books_of(standing)
    connection = "erp" if "payment" in name else "crm" if "contract" in name else "psa"
    answer = problem_of(standing.webhook(connection, content, message_id=f"bad {name}"), 422)
    assert all(word in answer["detail"] for word in told), answer["detail"]
    kept = standing.rows(InboxMessage, message_id=f"bad {name}")
    assert [(m.state, bool(m.raw)) for m in kept] == [(MessageState.QUARANTINED, True)]
    assert books_of(standing) == before


# -- what is well formed and still wrong: a named case, and the rest goes on ------------------------------------------


def _payers(*percents: str) -> tuple[Payer, ...]:
    return tuple(Payer(bill_to=f"B-{n}", percent=percent, rounding=n == 0) for n, percent in enumerate(percents))  # type: ignore[arg-type]


def _with_line(**changes: Any) -> dict[str, Any]:
    line = contract().lines[0].model_copy(update=changes)
    return {"contract": contract(lines=(line,)).model_dump(mode="json")}


def _closed(stage: Stage) -> None:
    from isthmus.domain.objects import Engagement

    stage.set_up()
    with stage.hub.store.transaction() as tx:
        for one in tx.find(Engagement, contract_no="K-1"):
            tx.update(one.model_copy(update={"state": EngagementState.CLOSED}))


def _record(*entries: dict[str, Any]) -> Callable[[Stage], None]:
    return lambda stage: stage.record(*entries, message_id="msg_wrong")


def _send(path: str, body: Any, by: str = "ines") -> Callable[[Stage], None]:
    def send(stage: Stage) -> None:
        answer = stage.post(path, body, by=by)
        assert answer.status_code == 202, answer.text
        stage.go()

    return send


def _file(path: str, text: str) -> Callable[[Stage], None]:
    def send(stage: Stage) -> None:
        answer = stage.post(path, content=text)
        assert answer.status_code == 202, answer.text
        stage.go()

    return send


def _twice_the_rate() -> dict[str, Any]:
    rate = contract().lines[0].rates[0]
    return _with_line(rates=(rate, rate.model_copy(update={"bill_rate": 190, "effective_from": "2026-03-15"})))


def _lower_cap() -> dict[str, Any]:
    cap = contract().caps[0].model_copy(update={"limit": "100.00"})
    return {"contract": contract(version=2, caps=(cap,)).model_dump(mode="json")}


def _billed(stage: Stage) -> None:
    stage.set_up()
    stage.record(an_entry(1))
    stage.bill()
    stage.go()


@dataclass(frozen=True)
class Wrong:
    """Given a stage (first), what is sent (then) becomes one open case that says these words."""

    name: str
    first: Callable[[Stage], None]
    then: Callable[[Stage], None]
    case: str
    says: tuple[str, ...]
    evidence: int = field(default=0)

    def __str__(self) -> str:
        return self.name


SHORT = _with_line(payers=_payers("33.33", "33.33", "33.33"))
ORDER = {"contract_no": "K-1", "change_order": "CO-9", "cap_delta": "-9000.00", "accepted_on": "2026-03-20"}
BECOMES = (
    Wrong(
        "splits adding to 99.99 %", lambda s: None, _send("/v1/contract-versions", SHORT), "EX-MAP-TERMS", ("99.99",)
    ),
    Wrong(
        "overlapping rate lines",
        lambda s: None,
        _send("/v1/contract-versions", _twice_the_rate()),
        "EX-MAP-TERMS",
        ("overlap", "2026-03-15"),
    ),
    Wrong(
        "cap lowered below billed, by a change order",
        _billed,
        _send("/v1/change-orders", {**ORDER, "evidence": "mail"}, "pia"),
        "EX-CAP-BELOW-BILLED",
        ("1000.00", "1480.00"),
        1,
    ),
    Wrong(
        "cap lowered below billed, by a version",
        _billed,
        _send("/v1/contract-versions", _lower_cap()),
        "EX-CAP-BELOW-BILLED",
        ("100.00", "1480.00"),
        1,
    ),
    Wrong(
        "entry for a closed project, by message", _closed, _record(an_entry(1)), "EX-NOT-READY", ("closed", "kantata:1")
    ),
    Wrong(
        "entry for a closed project, by file",
        _closed,
        _file(TIME, HEADER + row(1)),
        "EX-NOT-READY",
        ("closed", "kantata:1"),
    ),
    Wrong(
        "duplicate by content with a new id, by message",
        _billed,
        _record(an_entry(2, note="work 1")),
        "EX-DUP-SUSPECT",
        ("kantata:2", "kantata:1"),
        1,
    ),
    Wrong(
        "duplicate by content with a new id, by file",
        _billed,
        _file(TIME, HEADER + row(2).replace("work 2", "work 1")),
        "EX-DUP-SUSPECT",
        ("kantata:2", "kantata:1"),
        1,
    ),
    Wrong("25 hours in a day, in two entries", _billed, _record(an_entry(2, "17")), "EX-LONG-DAY", ("25", "24"), 1),
    Wrong(
        "entry for an unknown project",
        _billed,
        _record(an_entry(2, project_code="P-9")),
        "EX-UNKNOWN-PROJECT",
        ("P-9",),
        1,
    ),
    Wrong("a role without a rate", _billed, _record(an_entry(2, role="Wizard")), "EX-RATE-MISSING", ("Wizard",), 1),
)


@pytest.mark.parametrize("wrong", BECOMES, ids=str)
def test_what_is_well_formed_and_wrong_becomes_a_case(stage: Stage, wrong: Wrong) -> None:
    wrong.first(stage)
    wrong.then(stage)
    cases = [case for case in stage.rows(Case, state="open") if case.exception == wrong.case]
    assert len(cases) == 1, [(case.exception, case.cause) for case in stage.rows(Case)]
    assert all(word in cases[0].cause for word in wrong.says), cases[0].cause
    assert len(stage.rows(BillableItem)) == wrong.evidence


def test_every_address_that_is_written_to_has_a_row() -> None:
    written = {route for route in ROUTES if route.startswith("POST ")}
    assert {bad.route for bad in REFUSED} | {"POST /webhooks/{connection}"} == written
    assert IsthmusError.status  # what a refusal's status comes from
