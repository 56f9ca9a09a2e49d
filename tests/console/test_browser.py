"""People in a real browser, on a hub with its sandboxes: they log in by a provider, find what is stuck, solve it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from typing import Any

import pytest
from oidc_provider_mock import User, run_server_in_thread

from isthmus.app.cli.serving import _address, _bind, _served
from isthmus.app.demo import firm, world
from isthmus.app.demo.left_open import WEEK, leave_open
from isthmus.app.demo.play import Play
from isthmus.desk import work
from isthmus.domain.objects import BillablePart, Client, Engagement, Invoice
from isthmus.domain.states import CaseState, EngagementState, Posting
from isthmus.policies.authority import Actor
from isthmus.store.desk_records import ClientAlias, Proposal
from isthmus.store.records import Case
from tests.console import browser
from tests.console.browser import PHONE, WIDE, browsing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(420)]

GROUPS = {
    "finn@narrows.example": ["finance"],
    "fay@narrows.example": ["finance"],
    "carla@narrows.example": ["controlling"],
    "stella@narrows.example": ["stewards"],
    "ines@narrows.example": ["integration"],
}
OIDC = """
[console.oidc]
issuer = "{issuer}"
client_id = "isthmus"
client_secret = "demo:a client's secret"

[[console.grants]]
group = "finance"
roles = ["finance"]

[[console.grants]]
group = "controlling"
roles = ["controller"]

[[console.grants]]
group = "stewards"
roles = ["steward"]

[[console.grants]]
group = "integration"
roles = ["integration", "admin"]
"""
EXACT = world.Deal(
    "K-1230",
    "C-1230",
    "Twelve Thirty Partners (synthetic)",
    "Albany",
    "12207",
    (world.Line("TT-1", "Board review", "Architect II"),),
    start=date(2026, 5, 11),
)
KEYED = world.Deal(
    "K-1231",
    "C-1231",
    "Quay Seven Foods (synthetic)",
    "Utica",
    "13501",
    (world.Line("QS-1", "Cold chain review", "Architect II", tax_class=""),),
    start=date(2026, 5, 11),
)


class Playing:
    """The demo's hub and systems with its cases left open, served, and people who log in by a provider."""

    def __init__(self, play: Play, url: str, playwright: Any) -> None:
        self.play, self.url, self.playwright = play, url, playwright

    @contextmanager
    def person(self, name: str, **options: Any) -> Iterator[Any]:
        """A page of somebody who has logged in by the provider."""
        with browsing(self.playwright, **options) as page:
            self.log_in(page, name)
            yield page
            assert page.problems == [], "the browser had nothing to complain about"

    def log_in(self, page: Any, name: str) -> None:
        """By the company account; the provider's own form asks who it is."""
        page.goto(f"{self.url}/console/")
        page.get_by_role("link", name="Log in with your company account").click()
        page.locator("input[name=sub]").fill(f"{name}@narrows.example")
        page.locator("input[name=sub]").press("Enter")
        page.wait_for_url(f"{self.url}/console/**")
        page.problems.clear()  # those of the provider's own page are not ours

    def case(self, exception: str) -> Case:
        """The open case of a type, the first of several."""
        found = self.play.rows(Case, exception=exception, state=CaseState.OPEN, order=("case_no",))
        return found[0]  # type: ignore[no-any-return]

    def agreed(self, case_no: str, by: str) -> None:
        """Another person agrees to what was proposed, in a browser of their own."""
        with self.person(by) as page:
            page.get_by_role("link", name="Cases", exact=True).click()
            page.get_by_role("link", name="One by one").click()
            page.get_by_label("Waits for a second person").check()
            page.locator("#list a", has_text=case_no).click()
            page.get_by_role("heading", name="Waits for a second person").wait_for()
            page.locator("#why-agree").fill("checked with the contract")
            page.get_by_role("button", name="Agree: carry it out").click()
            page.get_by_role("heading", name="Decided").wait_for()


@pytest.fixture(scope="module")
def playing(pg_server: str) -> Iterator[Playing]:
    """One stage for all tests of the module: they leave each other's cases alone."""
    from playwright.sync_api import sync_playwright
    from rich.console import Console

    browser.chromium()
    with ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        users = [User(sub=name, claims={"email": name, "groups": groups}) for name, groups in GROUPS.items()]
        provider = stack.enter_context(run_server_in_thread(user_claims=users))
        patch.setenv("ISTHMUS_DATABASE_URL", pg_server)
        patch.setattr(firm, "ACCESS", firm.ACCESS + OIDC.format(issuer=f"http://localhost:{provider.server_port}"))
        play = Play(Console(quiet=True), 7, every_step=False)
        play.set_up(stack)
        play.win_deals()
        play.fill_dimension()
        bill_exactly(play)
        leave_open(play)
        one_more_without_tax_code(play)
        listener = _bind("127.0.0.1", 0)
        stack.enter_context(_served(play.hub, listener))
        yield Playing(play, _address(listener), stack.enter_context(sync_playwright()))


def bill_exactly(play: Play) -> None:
    """A contract at 164.00 an hour, 7.5 hours of it approved and billed: 1,230.00."""
    play.move_to(WEEK[0], 8)
    prices = world.price_list()
    prices["Architect II"] = prices["Architect II"].model_copy(update={"bill_rate": 164})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(world, "price_list", lambda: prices)
        play.enter([EXACT])
    play.until("K-1230 is active", lambda: active(play, "K-1230"))
    play.work_week(WEEK[0], [{**rows_of(play, EXACT)[0], "time_in_minutes": 450}])
    play.start_billing("K-1230", "2026-05", "2026-05-31")
    play._approve_reviews(1)


def rows_of(play: Play, deal: world.Deal) -> list[dict[str, Any]]:
    return [row for day in WEEK for row in play.time_rows(deal, day)]


def one_more_without_tax_code(play: Play) -> None:
    """For the one who works by keyboard alone."""
    play.enter([KEYED])
    play.until("K-1231 is active", lambda: active(play, "K-1231"))
    play.work_week(date(2026, 5, 16), rows_of(play, KEYED))
    play.start_billing("K-1231", "2026-05", "2026-05-31")
    play.until("its case is open", lambda: bool(play.rows(Case, contract_no="K-1231", state=CaseState.OPEN)))


def active(play: Play, contract_no: str) -> bool:
    found = play.rows(Engagement, contract_no=contract_no)
    return bool(found) and found[0].state is EngagementState.ACTIVE and play.quiet()


# -- the people -------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("EXC-01", "EXE-06", "EXC-03")
def test_finance_fixes_a_missing_tax_code_and_a_missing_dimension(playing: Playing) -> None:
    tax, post = playing.case("EX-TAX-CODE"), playing.case("EX-POST-REJECT")
    with playing.person("finn") as page:
        page.get_by_role("link", name="Invoices that cannot go out").click()
        page.get_by_role("link", name="One by one").click()
        page.locator("#list a", has_text=tax.case_no).click()
        page.get_by_role("button", name=re.compile("^SERVICES")).click()
        page.locator("#why-fill").fill("a lending workshop is a service")
        page.get_by_role("button", name="Dry run").first.click()
        page.get_by_text("What would be written where").wait_for()
        page.get_by_role("button", name="Propose it").click()
        page.get_by_role("heading", name="Waits for a second person").wait_for()

        page.goto(f"{playing.url}/console/cases/{post.case_no}")
        assert "Please enter value(s) for: Region." in page.locator(".lead").inner_text()
        page.get_by_label("Region").fill("NORTHEAST")
        page.locator("#why-edit").fill("delivered from Syracuse")
        page.get_by_role("button", name="Dry run").first.click()
        page.locator("ins", has_text="NORTHEAST").wait_for()
        page.get_by_role("button", name="Propose it").click()
        page.get_by_role("heading", name="Waits for a second person").wait_for()
        assert page.get_by_role("button", name="Agree: carry it out").count() == 0, "nobody agrees to their own"

        playing.agreed(tax.case_no, "fay")
        playing.agreed(post.case_no, "fay")
        for contract_no in ("K-1004", "K-1005"):
            playing.play.until(f"{contract_no} is posted", lambda c=contract_no: posted(playing, c))  # type: ignore[misc]
            page.goto(f"{playing.url}/console/engagements/{contract_no}")
            page.locator(".rail a", has_text="US01-INV").first.click()
            page.locator(".track", has_text="Posting").get_by_text("posted", exact=True).wait_for()
    kept = playing.play.rows(Proposal, case_no=post.case_no)[0]
    assert kept.values["changes"] == {"dimensions.region": "NORTHEAST"} and kept.dry_run["writes"]
    invoices = playing.play.state_of_systems()["netsuite"]["invoice"]
    numbers = [invoice["externalId"] for invoice in invoices]
    assert len(set(numbers)) == len(numbers) and any(i.get("custbody_region") == "NORTHEAST" for i in invoices)


def posted(playing: Playing, contract_no: str) -> bool:
    found = playing.play.rows(Invoice, contract_no=contract_no)
    return bool(found) and all(one.posting is Posting.POSTED for one in found) and playing.play.quiet()


def test_a_steward_merges_a_duplicate_client(playing: Playing) -> None:
    case = playing.case("EX-CLIENT-DUP")
    with playing.person("stella") as page:
        page.get_by_role("link", name="Cases", exact=True).click()
        page.locator("#list a", has_text="The client looks like one we have").click()
        page.get_by_text("Merge the two for good").click()
        form = page.locator("details.action[open]")
        assert "89 %" in form.inner_text() and "Harbour Mutual Insurance Company" in form.inner_text()
        form.locator("#why-merge").fill("same company, spelt the English way")
        form.get_by_role("button", name="Dry run").click()
        form.get_by_role("button", name="Decide").click()
        page.get_by_role("heading", name="Decided").wait_for()
    playing.play.until("K-1006 goes on", lambda: active(playing.play, "K-1006"))
    (alias,) = playing.play.rows(ClientAlias)
    assert (alias.client_no, alias.canonical_no) == ("C-2006", "C-2001")
    assert not playing.play.rows(Client, client_no="C-2006")
    assert playing.play.rows(Engagement, contract_no="K-1006")[0].client_no == "C-2001"
    names = [customer["companyName"] for customer in playing.play.state_of_systems()["netsuite"]["customer"]]
    assert len([name for name in names if "Mutual" in name]) == 1, "no second customer in the ERP"
    assert playing.play.rows(Case, case_no=case.case_no)[0].resolved_by == "stella@narrows.example"


def test_a_controller_reads_why_a_line_is_1230(playing: Playing) -> None:
    with playing.person("carla") as page:
        page.get_by_role("searchbox").fill("K-1230")
        page.keyboard.press("Enter")
        page.locator("main a", has_text="K-1230").first.click()
        page.locator(".rail a", has_text="US01-INV").first.click()
        assert page.locator(".lines b", has_text="1,230.00").first.is_visible()
        page.get_by_role("link", name="why this amount").click()
        page.locator("#why-1").get_by_text("computed again, equal").wait_for()
        told = page.locator("#why-1").inner_text()
        for said in ("7.50", "164.00", "1,230.00", "dmitri.castellanos", "K-1230 version 1"):
            assert said in told
    (part,) = playing.play.rows(BillablePart, contract_no="K-1230")
    assert str(part.net) == "1230.00"


def test_a_case_is_decided_by_keyboard_alone(playing: Playing) -> None:
    """No mouse from the first page to the decision."""
    case = playing.play.rows(Case, contract_no="K-1231", state=CaseState.OPEN)[0]
    with playing.person("finn") as page:
        keys = page.keyboard
        for key in ("g", "c"):
            keys.press(key)
        page.wait_for_url("**/console/cases")
        keys.press("/")
        keys.type(case.case_no)
        keys.press("Enter")
        page.wait_for_url("**/search**")
        for key in ("Escape", "j", "Enter"):
            keys.press(key)
        page.wait_for_url(f"**/cases/{case.case_no}")
        tab_to(page, "input[name='value:tax_code']")
        keys.type("SERVICES")
        tab_to(page, "#why-fill")
        keys.type("a review is a service")
        keys.press("Enter")
        page.get_by_role("button", name="Propose it").wait_for()
        tab_to(page, ".dry form button")
        keys.press("Enter")
        page.get_by_role("heading", name="Waits for a second person").wait_for()
    proposal = playing.play.rows(Proposal, case_no=case.case_no)[0]
    assert (proposal.values, proposal.proposed_by) == ({"tax_code": "SERVICES"}, "finn@narrows.example")


def tab_to(page: Any, selector: str) -> None:
    """With Tab alone, as far as it takes."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("wanted => document.activeElement.matches(wanted)", selector):
            return
    raise AssertionError(f"{selector} cannot be reached with Tab")


# -- every page ---------------------------------------------------------------------------------------------------


def pages_of(playing: Playing) -> list[str]:
    cases = playing.play.rows(Case, order=("case_no",))
    numbers = [invoice.number for invoice in playing.play.rows(Invoice) if invoice.number]
    return [
        "/console/",
        "/console/?view=executive",
        "/console/?view=integration",
        "/console/cases",
        "/console/cases?view=list",
        *(f"/console/cases/{one.case_no}" for one in cases),
        "/console/engagements",
        "/console/engagements/K-1001",
        "/console/invoices",
        f"/console/invoices/{numbers[0]}?line=1",
        "/console/runs",
        f"/console/runs/{cases[-1].run_id}",
        "/console/connections",
        "/console/rules",
        "/console/catalog",
        "/console/catalog?part=types",
        "/console/access",
        "/console/audit?verify=yes",
        "/console/search?q=K-1001",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_violation_on_any_page(playing: Playing, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    found: list[str] = []
    with playing.person("finn", color_scheme=scheme) as page:
        for path in pages_of(playing):
            page.goto(f"{playing.url}{path}")
            for one in Axe().run(page).response["violations"]:
                if one["impact"] in ("serious", "critical"):
                    where = "; ".join(f"{node['target']} {node['failureSummary']}" for node in one["nodes"][:3])
                    found.append(f"{path} {one['id']}: {where}")
    assert not found, "\n".join(found)


@pytest.mark.parametrize("viewport", [PHONE, WIDE], ids=["390", "1920"])
def test_no_page_is_wider_than_the_screen(playing: Playing, viewport: dict[str, int]) -> None:
    with playing.person("finn", viewport=viewport) as page:
        for path in pages_of(playing):
            page.goto(f"{playing.url}{path}")
            over = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
            assert over <= 0, f"{path} is {over} px wider than the screen"


def test_an_open_page_shows_what_has_moved(playing: Playing) -> None:
    """Server-sent events: somebody takes a case, and nobody reloads the list that shows it."""
    case = playing.play.rows(Case, contract_no="K-1231")[0]
    with playing.person("finn") as page:
        page.goto(f"{playing.url}/console/cases?view=list")
        page.locator("#live.on").wait_for(state="attached")
        row = page.locator("#list a", has_text=case.case_no)
        assert "fay" not in row.inner_text()
        with playing.play.hub.store.transaction() as tx:
            books = playing.play.hub.kernel.books(tx, key="test", actor="fay")
            work.assign(books, Actor("fay", frozenset({"finance"})), case.case_no, "fay")
        row.get_by_text("fay").wait_for()
