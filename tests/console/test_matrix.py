"""The whole matrix over HTTP: roles, actions of API and console, legal entities; what is allowed, what is denied.

Everything in this world belongs to US01. A role is tried without limits, limited to US01, and limited to GB01: an
action on one thing is allowed to a role that has the permission and serves the entity, and to nobody else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from isthmus.app.api.access import ROUTES
from isthmus.app.console.pages import PAGES
from isthmus.app.console_config import ConsoleConfig, LocalPerson
from isthmus.app.firm import Caller, FirmConfig
from isthmus.domain.states import CaseState, InvoiceLife
from isthmus.policies.authority import PERMISSIONS, ROLES, deciders
from isthmus.store.desk_records import BulkFix, DeskRule, Proposal, ProposalState
from isthmus.store.records import AuditEntry, Case
from tests.app.stage import an_entry, firm
from tests.console.conftest import stage_on
from tests.console.stage import GB01, LOCAL, ConsoleStage, Visitor
from tests.processes.hub import ENTITY, contract

LIMITS = {"all": (), "us": ("US01",), "gb": ("GB01",)}
OPEN = {"GET /healthz", "GET /readyz", "GET /metrics", "POST /webhooks/{connection}"}
NOT_LET_IN = {401, 403}


@dataclass(frozen=True)
class Action:
    """One action as it is tried. path: with keys of things there are; of_us01: it is about a thing of US01."""

    door: str
    name: str
    method: str
    path: str
    permission: str
    of_us01: bool
    content: dict[str, Any] = field(default_factory=dict)
    queue: str = ""

    def allowed(self, role: str, limit: str) -> bool:
        """By the tables alone."""
        may = role in PERMISSIONS[self.permission] and (not self.queue or role in deciders(self.queue))
        return may and not (self.of_us01 and limit == "gb") and not (self.name in BETWEEN and limit != "all")


# Bodies that are complete, so that what is refused is refused for who asks. Routes about no single thing have no entry.
BODIES: dict[str, dict[str, Any]] = {
    "POST /v1/processes/contract-to-project": {"contract_no": "K-1", "version": 1},
    "POST /v1/billing-runs": {"contract_no": "K-1", "cutoff": "2026-04-30", "name": "m"},
    "POST /v1/client-billing-runs": {"client_no": "C-1", "cutoff": "2026-04-30", "name": "m"},
    "POST /v1/files/rate-card": {},
    "POST /v1/tax-thresholds": {"entity": "US01", "state": "US-TX", "amount": "100000.00"},
    "POST /v1/lending-agreements": {
        "agreement_no": "A-1",
        "lender": "US01",
        "borrower": "GB01",
        "people": ["ann"],
        "price": {"kind": "cost_plus", "percent": "10"},
        "currency": "USD",
        "effective_from": "2026-01-01",
    },
    "POST /v1/subcontracts": {
        "subcontract_no": "SC-9",
        "supplier": "SUBS",
        "project_code": "P-K-1",
        "currency": "USD",
        "rates": [{"person": "ann", "rate": "80.00", "effective_from": "2026-03-01"}],
    },
    "POST /v1/subcontractor-bills/{bill_id}/confirm": {"reason": "x"},
    "POST /v1/subcontractor-bills/{bill_id}/release": {"name": "r", "reason": "x"},
    "POST /v1/retention-releases": {"subcontract_no": "SC-1", "name": "r", "reason": "x"},
    "POST /v1/intercompany-charges": {"lender": "US01", "borrower": "GB01", "period": "2026-02", "name": "c"},
    "POST /v1/change-orders": {
        "contract_no": "K-1",
        "change_order": "CO-9",
        "cap_delta": "10.00",
        "accepted_on": "2026-03-02",
        "evidence": "x",
    },
    "POST /v1/write-offs": {"contract_no": "K-1", "amount": "1.00", "state": "ready", "name": "w", "reason": "x"},
    "POST /v1/write-downs": {
        "contract_no": "K-1",
        "down_to": "1.00",
        "cutoff": "2026-03-31",
        "name": "w",
        "reason": "x",
    },
    "POST /v1/contract-versions": {"contract": contract(contract_no="K-9").model_dump(mode="json")},
    "POST /v1/progress": {"contract_no": "K-1", "line_uid": "L1", "as_of": "2026-03-05", "percent": "10"},
    "POST /v1/usage": {
        "record": {
            "source": "meter",
            "source_id": "1",
            "contract_no": "K-1",
            "line_uid": "L1",
            "period_start": "2026-03-01",
            "period_end": "2026-03-02",
            "quantity": "1",
            "unit_price": "1.00",
            "evidence_ref": "x",
            "evidence_hash": "x",
        }
    },
    "POST /v1/holds": {"contract_no": "K-1", "name": "h", "reason": "MANUAL", "note": "x"},
    "POST /v1/holds/{hold_id}/release": {"reason": "x"},
    "POST /v1/credits": {"invoice": "US01-INV-2026-00001", "name": "c", "reason": "goodwill", "note": "x"},
    "POST /v1/bad-debts": {"invoice": "US01-INV-2026-00001", "name": "b", "reason": "x"},
    "POST /v1/disputes": {"invoice": "US01-INV-2026-00001", "name": "d", "line": 1, "reason": "x"},
    "POST /v1/advances": {"contract_no": "K-1", "line_uid": "L1", "name": "a"},
    "POST /v1/holdback-releases": {"contract_no": "K-1", "line_uid": "L1", "name": "r"},
    "POST /v1/periods/close": {"entity": "US01", "period": "2026-01", "name": "p"},
    "POST /v1/periods/reopen": {"entity": "US01", "period": "2026-01", "name": "p", "reason": "x"},
    "POST /v1/invoices/{invoice_id}/release": {"reason": "x"},
    "POST /v1/runs/{run_id}/cancel": {"reason": "x"},
    "POST /v1/cases/{case_no}/dry-run": {"action": "fill", "reason": "x", "values": {"cost_center": "CC-1"}},
    "POST /v1/cases/{case_no}/resolve": {"action": "fill", "reason": "x", "values": {"cost_center": "CC-1"}},
    "POST /v1/proposals/{proposal_no}/approve": {"reason": "x"},
    "POST /v1/proposals/{proposal_no}/decline": {"reason": "x"},
}
# Writes that name no thing of one legal entity: whoever has the permission may, and the facts are checked row by row.
OF_THE_FIRM = {
    "POST /v1/files/time",
    "POST /v1/files/expenses",
    "POST /v1/files/subcontractor-bills",
    "POST /v1/fx-rates/ecb",
    "POST /v1/files/price-list",
    "POST /v1/expenses",
    "POST /v1/milestones",
    "POST /v1/time/submitted",
    "POST /v1/replays",
}
# Between two legal entities: who serves one of them alone does not speak for the other.
BETWEEN = {"POST /v1/lending-agreements", "POST /v1/intercompany-charges"}
FORMS: dict[str, dict[str, str]] = {
    "POST /groups/{group_key}": {
        "action": "fill",
        "fill/reason": "x",
        "others": "yes",
        "fill/value:cost_center": "CC-1",
    },
    "POST /bulk/{bulk_no}": {"do": "stop", "reason": "x"},
    "POST /cases/{case_no}/dry-run": {"action": "fill", "reason": "x", "value:cost_center": "CC-1"},
    "POST /cases/{case_no}/decide": {"action": "fill", "reason": "x", "value:cost_center": "CC-1"},
    "POST /proposals/{proposal_no}": {"do": "agree", "reason": "x"},
    "POST /cases/{case_no}/work": {"do": "comment", "text": "x"},
    "POST /cases/{case_no}/rule": {"reason": "x"},
    "POST /rules/{rule_no}": {"do": "accept", "reason": "x"},
    "POST /runs/{run_id:path}": {"reason": "x"},
    "POST /theme": {"theme": "dark"},
}
# Whose queue the thing is, where more is asked than the permission.
QUEUED = {
    "POST /v1/subcontractor-bills/{bill_id}/confirm": "pmo",
    "POST /v1/cases/{case_no}/resolve": "finance-master-data",
    "POST /v1/proposals/{proposal_no}/approve": "tax",
    "POST /proposals/{proposal_no}": "tax",
    "POST /rules/{rule_no}": "tax",
}
LISTS = (
    {"/v1/contracts", "/v1/invoices", "/v1/cases", "/v1/runs", "/v1/time-entries", "/v1/billable-parts"}
    | {"/v1/subcontractor-bills"}
    | {f"/console/{name}" for name in ("", "cases", "engagements", "invoices", "runs", "search")}
)
FIRM_WIDE_PAGES = {"GET /connections", "GET /catalog", "GET /access", "GET /audit", "POST /theme", "GET /rules"}


def matrix_firm() -> FirmConfig:
    """A caller and a person for every role and limit, and those who prepare what others decide."""
    callers, people = [], []
    for role in ROLES:
        for limit, entities in LIMITS.items():
            name = f"{role}-{limit}"
            callers.append(Caller(name=name, token=f"demo:{name}-token", roles=(role,), entities=entities))
            people.append(LocalPerson(name=name, password=f"demo:{name}-word", roles=(role,), entities=entities))
    for name in ("ana", "asker"):
        roles = tuple(ROLES)
        callers.append(Caller(name=name, token=f"demo:{name}-token", roles=roles))
        people.append(LocalPerson(name=name, password=f"demo:{name}-word", roles=roles))
    config = ConsoleConfig(people=tuple(people))
    calls = tuple(caller.model_copy(update={"requests_per_minute": 100_000}) for caller in callers)
    return firm().model_copy(
        update={"entities": (ENTITY, GB01), "console": config, "callers": (*firm().callers, *calls)}
    )


@dataclass
class World:
    """The stage with one of everything, all of US01."""

    stage: ConsoleStage
    visitors: dict[str, Visitor]

    def __post_init__(self) -> None:
        stage, asker = self.stage, self.stage.visit("asker")
        stage.set_up()
        stage.record(an_entry(1, "4.25"), an_entry(2, "2.40", day=4))
        stage.bill()
        stage.go()
        stage.record(an_entry(3, "8", day=9), message_id="msg_2")
        assert stage.post("/v1/holds", BODIES["POST /v1/holds"] | {"name": "first"}, by="asker").status_code == 201
        for number in ("K-2", "K-3", "K-4"):
            stage.set_up(contract(contract_no=number, dimensions={"practice": "DIGITAL"}))
        line = contract().lines[0].model_copy(update={"tax_code": ""})
        stage.set_up(contract(contract_no="K-5", lines=(line,)))
        stage.record(an_entry(9, "1", project_code="P-K-5"), message_id="msg_3")
        assert stage.post(
            "/v1/billing-runs", {"contract_no": "K-5", "cutoff": "2026-03-31", "name": "m"}, by="ana"
        ).is_success
        stage.go()
        self._buy_in()
        self.dim, self.tax = self._case("EX-DIM"), self._case("EX-TAX-CODE")
        asker.post(f"/console/groups/{self.dim.group_key}", action="fill", others="yes", **{"fill/reason": "x"})
        body = {"action": "fill", "reason": "x", "values": {"tax_code": "SERVICES"}}
        stage.post(f"/v1/cases/{self.tax.case_no}/resolve", body, by="asker")
        (self.bulk,) = stage.rows(BulkFix)
        (self.proposal,) = stage.rows(Proposal, state=ProposalState.PROPOSED)
        self.rule = self._rule()

    def _buy_in(self) -> None:
        """A supplier's bill that waits for the project manager."""
        agreed = {**BODIES["POST /v1/subcontracts"], "subcontract_no": "SC-1"}
        assert self.stage.post("/v1/subcontracts", agreed, by="asker").status_code == 201
        rows = (
            "bill_no,supplier,subcontract_no,bill_date,currency,person,from,to,hours,amount",
            "B-1,SUBS,SC-1,2026-03-31,USD,ann,2026-03-09,2026-03-09,8,640.00",
        )
        content = "\n".join(rows).encode()
        taken = self.stage.post(
            "/v1/files/subcontractor-bills", by="asker", content=content, headers={"content-type": "text/csv"}
        )
        assert taken.json()["accepted"] == 1, taken.text
        self.stage.go()

    def _case(self, exception: str) -> Case:
        found: Case = self.stage.rows(Case, exception=exception, state=CaseState.OPEN, order=("case_no",))[0]
        return found

    def _rule(self) -> DeskRule:
        rule = DeskRule(
            rule_no="R-00001",
            exception="EX-TAX-CODE",
            match={"entity": "US01", "client": "C-1"},
            action="fill",
            values={"tax_code": "SERVICES"},
            text="client C-1",
            state="proposed",
            from_case=self.tax.case_no,
            proposed_by="asker",
            proposed_at=self.stage.clock.now(),
        )
        with self.stage.hub.store.transaction() as tx:
            tx.insert(rule)
        return rule

    # -- actions ----------------------------------------------------------------------------------------------

    def actions(self) -> Iterator[Action]:
        """Every guarded route and every page, with real keys."""
        for route, access in ROUTES.items():
            if route in OPEN:
                continue
            method, path = route.split(" ")
            filled = self._filled(path)
            about = "{" in path or route in BODIES
            content = {"json": BODIES.get(route, {})} if method == "POST" else {}
            yield Action("api", route, method, filled, access.permission, about, content, QUEUED.get(route, ""))
        for key, page in PAGES.items():
            path = f"/console{self._filled(page.path)}"
            about = "{" in page.path
            content = {"data": FORMS[key]} if page.method == "POST" else {}
            yield Action("console", key, page.method, path, page.permission, about, content, QUEUED.get(key, ""))

    def _filled(self, path: str) -> str:
        keys = {
            "contract_no": "K-1",
            "code": "P-K-1",
            "key": "US01-INV-2026-00001",
            "invoice_id": "K-1:2026-03",
            "run_id": self.dim.run_id,
            "case_no": self.dim.case_no,
            "proposal_no": self.proposal.proposal_no,
            "group_key": self.dim.group_key,
            "bulk_no": self.bulk.bulk_no,
            "rule_no": self.rule.rule_no,
            "hold_id": "K-1/first",
            "bill_id": "SUBS:B-1",
        }
        if path.startswith("/v1/entities/"):
            keys["code"] = "US01"
        query = {
            "readiness": "?cutoff=2026-04-30",
            "rate-card": "?code=RC-9&currency=USD&entity=US01&dry_run=true",
            "subcontractor-bills": "?dry_run=true",
        }.get(path.rpartition("/")[2], "")
        return re.sub(r"\{(\w+)(:path)?\}", lambda found: keys[found[1]], path) + query

    def attempt(self, action: Action, role: str, limit: str) -> int:
        """The status of an attempt, with everything else in order."""
        name = f"{role}-{limit}"
        if action.door == "api":
            key = f"{action.name}/{name}"
            headers = {"Authorization": f"Bearer {name}-token", "Idempotency-Key": key}
            answer = self.stage.client.request(action.method, action.path, headers=headers, **action.content)
        else:
            visitor = self.visitors.get(name) or self.visitors.setdefault(name, self.stage.visit(name))
            form = action.content.get("data", {})
            answer = visitor.post(action.path, **form) if action.method == "POST" else visitor.client.get(action.path)
        return int(answer.status_code)


@pytest.fixture(scope="module")
def world(pg_server: str, api_template: str) -> Iterator[World]:
    with stage_on(pg_server, api_template, matrix_firm()) as stage:
        yield World(stage, {})


def test_every_write_of_the_api_says_what_it_is_about() -> None:
    writes = {route for route in ROUTES if route.startswith("POST ")} - OPEN
    assert writes == set(BODIES) | OF_THE_FIRM, "a new route goes into one of the two, so that its cells are tried"
    assert {key for key, page in PAGES.items() if page.method == "POST"} == set(FORMS)


@pytest.mark.requirement("SEC-01", "GOV-01")
def test_every_cell_that_is_denied_is_denied(world: World) -> None:
    before = len(world.stage.rows(AuditEntry, action="api.denied"))
    wrong, cells = [], 0
    for action in world.actions():
        for role in ROLES:
            for limit in LIMITS:
                if not action.allowed(role, limit):
                    cells += 1
                    status = world.attempt(action, role, limit)
                    # A cause of which one may see no case is not there for them.
                    if status != 403 and not (status == 404 and "{group_key}" in action.name):
                        wrong.append(f"{action.door} {action.name} for {role}, {limit}: {status}")
    assert not wrong, "\n".join(wrong)
    unseen = sum(1 for role in ROLES for key in ("GET", "POST") if _may_group(role, key))
    assert cells > 1000
    assert len(world.stage.rows(AuditEntry, action="api.denied")) - before == cells - unseen, "each is in the audit"


def _may_group(role: str, method: str) -> bool:
    return role in PERMISSIONS[PAGES[f"{method} /groups/{{group_key}}"].permission]


@pytest.mark.requirement("SEC-01", "GOV-01")
def test_every_cell_that_is_allowed_is_served(world: World) -> None:
    """Served: not turned away. What is done already, or does not fit the state of things, is told otherwise."""
    wrong, cells = [], 0
    for action in world.actions():
        for role in ROLES:
            for limit in LIMITS:
                if action.allowed(role, limit):
                    cells += 1
                    status = world.attempt(action, role, limit)
                    if status in NOT_LET_IN or status >= 500:
                        wrong.append(f"{action.door} {action.name} for {role}, {limit}: {status}")
    assert not wrong, "\n".join(wrong)
    assert cells > 1000


@pytest.mark.requirement("SEC-01")
def test_nothing_of_another_legal_entity_is_in_any_list_or_sum(world: World) -> None:
    """Everything is of US01, so whoever serves GB01 alone sees none of it, and no figure made of it."""
    keys = ("K-1", "K-2", "K-5", "US01-INV-2026-00001", "CASE-0", "Harbor Mutual", "1,230.25", "4.25")
    foreign = world.stage.visit("finance-gb")
    for path in sorted(LISTS):
        if path.startswith("/console"):
            told = foreign.client.get(path).text
        else:
            answer = world.stage.client.get(path, headers={"Authorization": "Bearer finance-gb-token"})
            told = answer.text
        assert not [key for key in keys if key in told], path
    asked = foreign.client.get("/console/search", params={"q": "K-1"}).text
    assert "Nothing is known under this" in asked
    summary = world.stage.client.get("/v1/summary", headers={"Authorization": "Bearer finance-gb-token"}).json()
    assert not _amounts(summary), summary


def _amounts(facts: Any) -> list[Any]:
    """Every number in there that is not zero."""
    if isinstance(facts, dict):
        return [one for value in facts.values() for one in _amounts(value)]
    if isinstance(facts, list):
        return [one for value in facts for one in _amounts(value)]
    try:
        return [facts] if facts is not None and Decimal(str(facts)) != 0 else []
    except ArithmeticError:
        return []


def test_the_limit_goes_with_the_person_and_not_with_the_browser(world: World) -> None:
    assert LOCAL.startswith("http://127.0.0.1")
    own, other = world.stage.visit("finance-us"), world.stage.visit("finance-gb")
    path = "/console/invoices/US01-INV-2026-00001"
    assert (own.get(path).status_code, other.get(path).status_code) == (200, 403)
    assert world.stage.rows(Case) and InvoiceLife.ISSUED
