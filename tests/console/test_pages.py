"""Every page: it comes up for whoever may see it, works without scripts, and takes nothing from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pytest

from isthmus.app.console.pages import PAGES
from isthmus.app.console.site import STATIC
from isthmus.desk.types import all_types
from isthmus.domain.objects import Project
from isthmus.domain.states import CaseState
from isthmus.ports.calls import FINANCIAL
from isthmus.runtime.lanes import SharedPlaces
from isthmus.store.desk_records import BulkFix
from isthmus.store.records import Case, RunRow
from tests.app.stage import PEOPLE, an_entry
from tests.console.stage import LOCAL, ConsoleStage, Visitor, text_of
from tests.processes.hub import contract
from tests.runtime.test_edits import refuse


def busy(stage: ConsoleStage) -> None:
    """A contract billed and posted, two that are parked for one cause, and a bulk fix begun about them."""
    stage.set_up()
    stage.record(an_entry(1, "4.25", note="Interviews"), an_entry(2, "2.40", day=4, note="Report"))
    assert stage.bill().status_code == 202
    stage.go()
    for number in ("K-2", "K-3"):
        stage.set_up(contract(contract_no=number, dimensions={"practice": "DIGITAL"}))
    stage.visit("finn").post(
        f"/console/groups/{_case(stage).group_key}", action="fill", others="yes", **{"fill/reason": "x"}
    )


def _case(stage: ConsoleStage) -> Case:
    found: Case = stage.rows(Case, state=CaseState.OPEN, order=("case_no",))[0]
    return found


def addresses(stage: ConsoleStage) -> Iterator[str]:
    """Every page that is only looked at, with keys of things there are."""
    case = _case(stage)
    (bulk,) = stage.rows(BulkFix)
    keys = {
        "{case_no}": case.case_no,
        "{group_key}": case.group_key,
        "{bulk_no}": bulk.bulk_no,
        "/engagements/{contract_no:path}": "/engagements/K-1",
        "/invoices/{key:path}": "/invoices/US01-INV-2026-00001?line=1",
        "/runs/{run_id:path}": "/runs/contract_to_project/K-2@1",
    }
    for one in PAGES.values():
        if one.method == "GET":
            path = one.path
            for name, value in keys.items():
                path = path.replace(name, value)
            yield f"/console{path}"
    yield from (f"/console/?view={view}" for view in ("controller", "pmo", "sales", "integration", "executive"))
    yield from (f"/console/catalog?part={part}" for part in ("types", "ports", "connectors", "events", "api"))
    yield from ("/console/cases?view=list", "/console/cases?state=decided", "/console/cases?q=cost&severity=high")
    yield from ("/console/audit?verify=yes", "/console/search?q=K-1", "/console/invoices?where=open")


class Marks(HTMLParser):
    """Tags with their attributes, and what is wrong with them."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.problems: list[str] = []
        self.labels: set[str] = set()
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.links += [given[name] for name in ("href", "src", "action", "hx-get", "hx-post") if given.get(name)]
        self.ids += [given["id"]] if given.get("id") else []
        self.problems += [f"{tag} with {name}" for name in given if name == "style" or name.startswith("on")]
        if tag == "script" and not given.get("src"):
            self.problems.append("a script in the page")
        if tag == "form" and given.get("method") == "post" and not given["action"].startswith("/console/"):
            self.problems.append(f"a form that goes to {given['action']}")


def look_at(page: str) -> Marks:
    marks = Marks()
    marks.feed(page)
    return marks


def test_every_page_comes_up_and_takes_nothing_from_elsewhere(stage: ConsoleStage) -> None:
    busy(stage)
    visitor = stage.visit("finn")
    for path in addresses(stage):
        answer = visitor.get(path)
        assert answer.status_code == 200, f"{path}: {text_of(answer.text)[:300]}"
        marks = look_at(answer.text)
        assert not marks.problems, path
        assert len(marks.ids) == len(set(marks.ids)), f"{path}: the same id twice: {sorted(marks.ids)}"
        for link in marks.links:
            assert link.startswith(("/console/", "#", "?")), f"{path} leads to {link}"
            if link.startswith("/console/static/"):
                assert (STATIC / link.removeprefix("/console/static/").partition("#")[0]).is_file(), link


def test_every_role_has_its_pages(stage: ConsoleStage) -> None:
    busy(stage)
    paths = list(addresses(stage))
    for name in sorted(set(PEOPLE) - {"bert"}):
        visitor = stage.visit(name)
        auditor = PEOPLE[name] in ("finance", "controller", "integration", "admin")
        for path in paths:
            wanted = 403 if "/audit" in path and not auditor else 200
            assert visitor.get(path).status_code == wanted, f"{path} for {name}"
        assert ('href="/console/audit"' in visitor.get("/console/").text) is auditor


def test_only_a_part_is_sent_when_only_a_part_is_wanted(stage: ConsoleStage) -> None:
    busy(stage)
    visitor = stage.visit("finn")
    part = visitor.get("/console/invoices/US01-INV-2026-00001?line=1", **{"hx-request": "true"}).text
    assert "<html" not in part and "computed again, equal" in part


@pytest.mark.requirement("EXC-02")
@pytest.mark.parametrize("exception", [*sorted(all_types()), "EX-NEVER-HEARD-OF"])
def test_a_case_of_every_type_has_a_page_and_forms(many: Callable[[str], Visitor], exception: str) -> None:
    page = many(exception).get(f"/console/cases/{exception}")
    assert page.status_code == 200, text_of(page.text)[:400]
    told = text_of(page.text)
    assert "At stake 1,230.00 USD" in told and "what somebody has said" in told
    assert "Dry run" in told, "something can be decided"


@pytest.fixture(scope="module")
def many(pg_server: str, api_template: str) -> Iterator[Callable[[str], Visitor]]:
    """A case of any type, as a program may raise it, and somebody who decides its queue."""
    from tests.console.conftest import stage_on

    with stage_on(pg_server, api_template) as stage:
        stage.set_up()
        run: RunRow = stage.rows(RunRow)[0]
        visitors: dict[str, Visitor] = {}

        def raised(exception: str) -> Visitor:
            kind = all_types().get(exception)
            queue = kind.queue if kind else "integration"
            with stage.hub.store.transaction() as tx:
                tx.insert(_a_case(exception, queue, run, stage))
            role = min(_deciders(queue))
            name = next(name for name, own in PEOPLE.items() if own == role)
            return visitors.setdefault(name, stage.visit(name))

        yield raised


def _deciders(queue: str) -> frozenset[str]:
    from isthmus.policies.authority import deciders

    return deciders(queue)


def _a_case(exception: str, queue: str, run: RunRow, stage: ConsoleStage) -> Case:
    facts: dict[str, Any] = {
        "case_no": exception,
        "exception": exception,
        "cause": "what somebody has said",
        "queue": queue,
        "run_id": run.run_id,
        "seq": 2,
        "subject": "contract:K-1",
        "entity": "US01",
        "contract_no": "K-1",
        "client_no": "C-1",
        "amount": Decimal("1230.00"),
        "currency": "USD",
        "correlation_id": "contract:K-1",
        "group_key": exception,
        "tried": "Find the client",
        "severity": "normal",
        "actions": ("approve", "fill", "retry", "cancel"),
        "context": {"missing": ["practice"], "lines": ["L1"], "open": {"I-1": "12.00"}, "unknown": [{"a": 1}]},
        "opened_by": "hub",
        "opened_at": stage.clock.now(),
    }
    return Case.model_validate({name: value for name, value in facts.items() if name in Case.model_fields})


def test_a_decision_is_made_without_scripts(stage: ConsoleStage) -> None:
    """Forms alone: the dry run is a page of its own, with the decision on it."""
    busy(stage)
    case, visitor = _case(stage), stage.visit("finn")
    form = {"action": "fill", "reason": "as agreed", "value:cost_center": "CC-9"}
    dry = visitor.post(f"/console/cases/{case.case_no}/dry-run", **form)
    assert dry.status_code == 200 and "What would be written where" in dry.text and "<html" in dry.text
    digest = re.search(r'name="digest" value="([^"]+)"', dry.text)
    assert digest
    decided = visitor.post(f"/console/cases/{case.case_no}/decide", digest=digest[1], **form)
    assert decided.headers["location"] == f"/console/cases/{case.case_no}"
    assert stage.rows(Case, case_no=case.case_no)[0].state is CaseState.RESOLVED
    told = text_of(visitor.get(f"/console/cases/{case.case_no}").text)
    assert "Fill by finn" in told and "as agreed" in told


def test_what_has_changed_since_the_dry_run_is_shown_before_it_is_decided(stage: ConsoleStage) -> None:
    busy(stage)
    case, visitor = _case(stage), stage.visit("finn")
    form = {"action": "fill", "reason": "as agreed", "value:cost_center": "CC-9"}
    answer = visitor.post(f"/console/cases/{case.case_no}/decide", digest="of another day", **form)
    assert answer.status_code == 200 and "Something has changed since you looked" in answer.text
    assert _case(stage).state is CaseState.OPEN


def test_what_people_type_is_shown_as_text(stage: ConsoleStage) -> None:
    busy(stage)
    case, visitor = _case(stage), stage.visit("finn")
    evil = "<script>alert(1)</script>"
    visitor.post(f"/console/cases/{case.case_no}/work", do="comment", text=evil)
    visitor.post(f"/console/cases/{case.case_no}/work", do="tag", tags=evil)
    for path in (f"/console/cases/{case.case_no}", "/console/cases?view=list", f"/console/search?q={evil}"):
        assert evil not in visitor.get(path).text, path
    assert "&lt;script&gt;" in visitor.get(f"/console/cases/{case.case_no}").text


def test_words_with_signs_find_nothing_they_should_not(stage: ConsoleStage) -> None:
    busy(stage)
    visitor = stage.visit("finn")
    for words in ("%", "_", "'; drop table invoice; --", "\\", " ", "K-1' or '1'='1"):
        for path in ("/console/search", "/console/cases"):
            assert visitor.client.get(path, params={"q": words}).status_code == 200
    assert "Nothing is known under this" in text_of(visitor.client.get("/console/search", params={"q": "%%%"}).text)


def test_each_action_of_a_group_has_its_own_fields_and_its_own_reason(stage: ConsoleStage) -> None:
    """All forms of a group's page are one form: what is typed into one of them must not be lost to the next."""
    stage.set_up()
    for number in ("K-2", "K-3"):
        stage.set_up(contract(contract_no=number, dimensions={"practice": "DIGITAL"}))
    visitor, key = stage.visit("finn"), _case(stage).group_key
    page = visitor.get(f"/console/groups/{key}").text
    names = re.findall(r'form="chosen"[^>]* name="([^"]+)"', page)
    assert {"fill/value:cost_center", "fill/reason", "retry/reason", "cancel/reason"} <= set(names)
    assert len(names) == len(set(names)) + names.count("action") - 1
    typed = {"fill/value:cost_center": "CC-1", "fill/reason": "agreed", "retry/reason": "", "cancel/reason": ""}
    assert visitor.post(f"/console/groups/{key}", action="retry", others="yes", **typed).status_code == 422
    assert visitor.post(f"/console/groups/{key}", action="fill", others="yes", **typed).status_code == 303
    (fix,) = stage.rows(BulkFix)
    assert (fix.values, fix.reason) == ({"cost_center": "CC-1"}, "agreed")


def test_a_refusal_keeps_the_frame_and_leads_back(stage: ConsoleStage) -> None:
    stage.set_up(contract(dimensions={"practice": "DIGITAL"}))
    visitor, path = stage.visit("finn"), f"/console/cases/{_case(stage).case_no}"
    form = {"csrf": visitor.csrf, "action": "fill", "reason": ""}
    answer = visitor.client.post(f"{path}/dry-run", data=form, headers={"referer": f"{LOCAL}{path}"})
    assert answer.status_code == 422 and "Say why" in answer.text
    assert 'aria-label="Pages"' in answer.text and f'href="{path}">Back</a>' in answer.text
    elsewhere = visitor.client.post(f"{path}/dry-run", data=form, headers={"referer": "https://evil.example/x"})
    assert "evil.example" not in elsewhere.text


def test_a_connection_says_how_much_of_its_limit_is_taken(stage: ConsoleStage) -> None:
    places = SharedPlaces(stage.hub.store.engine, "erp", 5)
    visitor = stage.visit("ines")
    with places.slot(FINANCIAL), places.slot(FINANCIAL):
        assert "5 requests at once 2 taken now" in text_of(visitor.get("/console/connections").text)
    places.close()
    assert "5 requests at once 0 taken now" in text_of(visitor.get("/console/connections").text)


def test_a_correction_of_many_leaves_in_each_case_what_is_its_own(stage: ConsoleStage) -> None:
    """Each invoice has an order number of its own; a region for all of them must not give them the first one's."""
    refuse(stage, "erp", "post_invoice", lambda invoice: invoice.dimensions.get("region"))
    for number in ("K-1", "K-2"):
        stage.set_up(contract(contract_no=number, po_number=f"PO-{number}"))
        stage.record(an_entry(int(number[2]), "4", project_code=f"P-{number}"), message_id=number)
        body = {"contract_no": number, "cutoff": "2026-03-31", "name": "m"}
        assert stage.post("/v1/billing-runs", body, by="ana").status_code == 202
        stage.go()
    with stage.hub.store.transaction() as tx:  # another project has a region, so it may be filled in here
        project = tx.find(Project)[0]
        dimensions = {**project.dimensions, "region": "AMER"}
        tx.insert(project.model_copy(update={"project_code": "P-9", "dimensions": dimensions}))
    visitor, key = stage.visit("finn"), _case(stage).group_key
    page = visitor.get(f"/console/groups/{key}").text
    assert "PO-K-" not in page and "left empty, it stays in each case as it is" in page
    names = dict.fromkeys(re.findall(r'name="(edit/value:[^"]+)"', page), "")
    form = {**names, "edit/value:dimensions.region": "EMEA", "edit/reason": "delivered there"}
    assert visitor.post(f"/console/groups/{key}", action="edit", others="yes", **form).status_code == 303
    assert stage.rows(BulkFix)[0].values == {"dimensions.region": "EMEA"}
