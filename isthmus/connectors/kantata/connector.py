"""Kantata as the PSA: projects and tasks carry the hub's key as external reference; time comes by watermark."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import partial
from typing import Any

from isthmus.connectors.kantata import mapping as m
from isthmus.domain.errors import NeedsSetup, NotFound
from isthmus.domain.objects import ExternalRef, Project
from isthmus.kit.connector import Connector
from isthmus.kit.keys import digest, source_id, task_codes, task_key
from isthmus.kit.loaded import Loaded
from isthmus.kit.mapping import readable
from isthmus.kit.paging import Page, all_pages, batches, by_last_change, latest
from isthmus.kit.rate_days import role_rates_by_day
from isthmus.kit.wire import Request, Row, Verb
from isthmus.ports.messages import InvoicedTime, ProjectFacts, RateCardIn, TaskIn, TimePage


class Kantata(Connector):
    """One Kantata OX account."""

    # -- project -----------------------------------------------------------------------------------------------
    def put_project(self, project: Project) -> Verb[ExternalRef]:
        """Create the workspace with our reference, or bring the one that carries it to these facts."""
        workspace_id = yield from self._subject("Workspace", "project", project.project_code)
        body = m.PROJECT.out(project) | {
            "status_key": int(self.setting("status_active")),
            "budgeted": project.budget is not None,
            "description": f"Contract {project.contract_no} version {project.contract_version}",
        }
        if workspace_id is None:
            body |= {"creator_role": "maven", "external_reference": m.to_reference("project", project.project_code)}
            template = self.setting("templates").get(project.template)
            body |= {"project_tracker_template_id": int(template)} if template else {}
        written = yield from self._write("workspaces", "workspace", body, workspace_id)
        return self.ref("workspace", written["id"])

    def find_project(self, project: Project) -> Verb[ExternalRef | None]:
        """The workspace with our reference, unless it is closed. One with the same title only proves nothing."""
        workspace = yield from self._workspace(project.project_code)
        return self.ref("workspace", workspace["id"]) if workspace and self._is_open(workspace) else None

    def read_project(self, project_code: str) -> Verb[ProjectFacts]:
        """The workspace with the tasks that carry our references."""
        workspace = yield from self._workspace(project_code)
        if workspace is None:
            raise NotFound(f"kantata has no project {project_code}")
        if "currency" not in workspace:
            raise NeedsSetup(f"kantata shows no currency of {project_code}: its user needs financial access")
        loaded = Loaded()
        query = {"workspace_id": workspace["id"], "include": "external_references"}
        stories = yield from self._list("stories", query, loaded)
        mine = [story for story in stories if str(story["workspace_id"]) == str(workspace["id"])]
        keys = [key for story in mine for key in m.keys_of(story, "task", loaded)]
        return ProjectFacts(
            ref=self.ref("workspace", workspace["id"]),
            project_code=project_code,
            name=workspace["title"],
            currency=workspace["currency"],
            active=self._is_open(workspace),
            tasks=task_codes(project_code, keys),
        )

    def close_project(self, project: Project) -> Verb[ExternalRef]:
        """Set the workspace to the cancelled status; it is never deleted."""
        workspace_id = yield from self._project(project.project_code)
        body = {"status_key": int(self.setting("status_cancelled"))}
        written = yield from self._write("workspaces", "workspace", body, workspace_id)
        return self.ref("workspace", written["id"])

    def find_closed(self, project: Project) -> Verb[ExternalRef | None]:
        """The workspace, if it is cancelled or finished."""
        workspace = yield from self._workspace(project.project_code)
        return self.ref("workspace", workspace["id"]) if workspace and not self._is_open(workspace) else None

    def put_task(self, item: TaskIn) -> Verb[ExternalRef]:
        """Create the story with our reference, or bring the one that carries it to these facts."""
        key = task_key(item.project_code, item.task.code)
        story_id = yield from self._subject("Story", "task", key)
        body = {"story_type": "task"} | m.TASK.out(item.task)
        if story_id is None:
            workspace_id = yield from self._project(item.project_code)
            body |= {"workspace_id": workspace_id, "external_reference": m.to_reference("task", key)}
        written = yield from self._write("stories", "story", body, story_id)
        return self.ref("story", written["id"])

    def find_task(self, item: TaskIn) -> Verb[ExternalRef | None]:
        """The story with our reference."""
        story_id = yield from self._subject("Story", "task", task_key(item.project_code, item.task.code))
        return self.ref("story", story_id) if story_id else None

    # -- rates -------------------------------------------------------------------------------------------------
    def put_rates(self, card: RateCardIn) -> Verb[ExternalRef]:
        """Make a rate card of its own for the project, a version per day on which a rate changes.

        The workspace gets the card last: until then nothing there looks like the project's rates.
        """
        found = yield from self.find_rates(card)
        if found is not None:
            return found
        wanted = role_rates_by_day(card.rates, card.currency, self.setting("roles"))
        names = {name for version in wanted.values() for name in version}
        roles = self.ids_by_name((yield from self._list("roles", {})), names, "role")
        workspace_id = yield from self._project(card.project_code)
        title = f"{m.SERVICE} {card.project_code} {digest(wanted)}"
        rate_card_id, versions = yield from self._rate_card(title, card.currency, list(wanted))
        for day, rates in wanted.items():
            for name, cents in rates.items():
                row = {"role_id": roles[name], "rate": cents}
                yield from self._ensure("rate_card_role", {"rate_card_version_id": versions[day]}, row)
        yield from self._write("workspaces", "workspace", {"rate_card_id": rate_card_id}, workspace_id)
        return self.ref("rate_card", rate_card_id)

    def _rate_card(self, title: str, currency: str, days: list[str]) -> Verb[tuple[str, dict[str, str]]]:
        """A set of its own with one card and a version per day: the card's id, and its version of each day.

        Whatever an earlier attempt has left of it is taken up: its title says which rates it is made for.
        """
        made = yield from self._ensure("rate_card_set", {}, {"title": title})
        owner = {"rate_card_set_id": made["id"]}
        dated: dict[str, str] = {}
        rate_card: Row = {}
        for day in days:
            version = yield from self._ensure("rate_card_set_version", owner, {"effective_date": day})
            dated[str(version["id"])] = day
            if not rate_card:
                first = {"rate_card_set_version_id": version["id"]}
                rate_card = yield from self._ensure("rate_card", owner, {"currency": currency}, first)
        loaded = Loaded()
        yield from self._show("rate_cards", rate_card["id"], "rate_card_versions", loaded)
        rows = loaded.all("rate_card_versions").values()
        versions = {dated[str(row["rate_card_set_version_id"])]: str(row["id"]) for row in rows}
        if sorted(versions) != days:
            raise self.refusal(f"kantata made versions for {sorted(versions)} of {days}", "VERSIONS", "effective_date")
        return str(rate_card["id"]), versions

    def find_rates(self, card: RateCardIn) -> Verb[ExternalRef | None]:
        """The project's rate card, if it holds exactly these rates, day by day and role by role, to the cent."""
        wanted = role_rates_by_day(card.rates, card.currency, self.setting("roles"))
        workspace = yield from self._workspace(card.project_code)
        if workspace is None or not workspace["rate_card_id"]:
            return None
        loaded = Loaded()
        rate_card = yield from self._show("rate_cards", workspace["rate_card_id"], "rate_card_versions", loaded)
        if rate_card is None or rate_card["currency"] != card.currency:
            return None
        versions = loaded.all("rate_card_versions")
        yield from self._load("rate_card_versions", versions, "rate_card_roles,rate_card_set_version", loaded)
        rows = loaded.all("rate_card_roles").values()
        yield from self._load("roles", {row["role_id"] for row in rows}, "", loaded)
        dated = loaded.all("rate_card_set_versions")
        days = {i: dated[str(row["rate_card_set_version_id"])]["effective_date"] for i, row in versions.items()}
        held: dict[str, dict[str, int]] = {day: {} for day in days.values()}
        for row in rows:
            name = loaded.all("roles")[str(row["role_id"])]["name"]
            held[days[str(row["rate_card_version_id"])]][name] = int(row["rate"])
        return self.ref("rate_card", rate_card["id"]) if held == wanted else None

    # -- time --------------------------------------------------------------------------------------------------
    def approved_time(self, watermark: str) -> Verb[TimePage]:
        """Approved entries of our projects changed after the watermark. The hub tells revisions by content."""
        loaded = Loaded()
        rows = yield from by_last_change(partial(self._entries_page, loaded), self.since(watermark), "updated_at")
        references = "external_references"
        yield from self._load("workspaces", {row["workspace_id"] for row in rows}, references, loaded)
        ours = [row for row in rows if self._concerns_us(row, loaded)]
        yield from self._load("stories", {row["story_id"] for row in ours if row["story_id"]}, references, loaded)
        sheets = loaded.all("timesheet_submissions").values()
        approvers = {sheet["current_resolution_creator_id"] for sheet in sheets} - {None}
        yield from self._load("users", approvers, "", loaded)
        entries, unreadable = readable(ours, lambda row: m.to_time_entry(row, loaded, self.system))
        return TimePage(entries=entries, watermark=latest(rows, "updated_at", watermark), unreadable=unreadable)

    def _concerns_us(self, row: Row, loaded: Loaded) -> bool:
        """False for time of a project that is not ours, or not approved. A project we cannot see may be ours."""
        workspace = loaded.all("workspaces").get(str(row["workspace_id"]))
        if workspace is None:
            return True
        approved = row["approved"] or not workspace["require_time_approvals"]
        return bool(approved and m.keys_of(workspace, "project", loaded))

    def _entries_page(self, loaded: Loaded, since: datetime | None, place: int) -> Verb[Page]:
        query: Row = {"approved": "true", "from_archived_workspaces": "true", "order": "updated_at:asc"}
        query |= {"updated_after": since.isoformat()} if since else {}
        return self._page("time_entries", query | {"include": "user,role,active_submission"}, place, loaded)

    # -- billing -----------------------------------------------------------------------------------------------
    def mark_invoiced(self, billed: InvoicedTime) -> Verb[ExternalRef]:
        """Make the invoice that claims the entries there: the one way to set them invoiced."""
        ids = [source_id(key, self.system) for key in billed.entry_keys]
        found = yield from self.find_invoiced(billed)
        if found is not None:
            return found
        workspace_id = yield from self._project(billed.project_code)
        body = m.to_invoice(billed, ids) | {"workspace_id": workspace_id}
        body["payment_schedule"] = int(self.setting("payment_schedule"))
        made = yield from self._write("invoices", "invoice", body)
        return self.ref("invoice", made["id"])

    def find_invoiced(self, billed: InvoicedTime) -> Verb[ExternalRef | None]:
        """The invoice with our number, if every entry is on it now; a cancelled one sets its entries free."""
        ids = {source_id(key, self.system) for key in billed.entry_keys}
        for invoice_id in (yield from self._subjects("Invoice", "invoice", billed.number)):
            loaded = Loaded()
            invoice = yield from self._show("invoices", invoice_id, "time_entries", loaded)
            held = loaded.all("time_entries").items()
            marked = {i for i, row in held if row["is_invoiced"] and str(row["invoice_id"]) == invoice_id}
            if invoice is not None and invoice["status"] != "cancelled" and ids <= marked:
                return self.ref("invoice", invoice_id)
        return None

    # -- what requests and answers have in common --------------------------------------------------------------
    def _subjects(self, subject_type: str, model: str, key: str) -> Verb[list[str]]:
        """Ids of the records that carry our key. An unknown filter is ignored there, so every row is compared here."""
        wanted = m.to_reference(model, key) | {"subject_type": subject_type}
        rows = yield from self._list("external_references", wanted)
        return sorted({str(row["subject_id"]) for row in rows if wanted.items() <= row.items()}, key=int)

    def _subject(self, subject_type: str, model: str, key: str) -> Verb[str | None]:
        found = yield from self._subjects(subject_type, model, key)
        if len(found) > 1:
            raise self.refusal(f"{len(found)} records of kantata carry {model} {key}", "TWINS", "external_reference")
        return found[0] if found else None

    def _project(self, project_code: str) -> Verb[str]:
        workspace_id = yield from self._subject("Workspace", "project", project_code)
        if workspace_id is None:
            raise NotFound(f"kantata has no project {project_code}")
        return workspace_id

    def _workspace(self, project_code: str) -> Verb[Row | None]:
        workspace_id = yield from self._subject("Workspace", "project", project_code)
        return (yield from self._show("workspaces", workspace_id)) if workspace_id else None

    def _is_open(self, workspace: Row) -> bool:
        cancelled = str(workspace["status_key"]) == self.setting("status_cancelled")
        return m.PROJECT_COLOR.read(workspace["status"]["color"]) == "open" and not cancelled

    def _write(self, collection: str, singular: str, body: Row, record_id: str | None = None) -> Verb[Row]:
        """Create, or change the record with this id; the record as it is then."""
        method, path = ("PUT", f"{collection}/{record_id}") if record_id else ("POST", collection)
        answer = yield Request(method, path, json={singular: body})
        return Loaded().take(answer.body)[0]

    def _ensure(self, singular: str, owner: Row, facts: Row, more: Row | None = None) -> Verb[Row]:
        """The record of an owner with these facts: one that is there, else a new one, with more."""
        rows = yield from self._list(f"{singular}s", owner)
        wanted = {name: str(value) for name, value in {**owner, **facts}.items()}
        there = [row for row in rows if {name: str(row[name]) for name in wanted} == wanted]
        body = {**owner, **facts, **(more or {})}
        return there[0] if there else (yield from self._write(f"{singular}s", singular, body))

    def _show(
        self, collection: str, record_id: Any, include: str = "", loaded: Loaded | None = None
    ) -> Verb[Row | None]:
        """One record by id, archived or not; None when it is gone."""
        query = {"include": include, "include_archived": "true"}
        answer = yield Request("GET", f"{collection}/{record_id}", query=query, allow=(404,))
        if answer.status == 404:
            return None
        return (loaded or Loaded()).take(answer.body)[0]

    def _load(self, collection: str, ids: Iterable[Any], include: str, loaded: Loaded) -> Verb[None]:
        """Records by id, with their associations, into loaded."""
        query = {"include": include, "include_archived": "true"}
        for some in batches(ids, self.manifest.page_size):
            yield from self._page(collection, query | {"only": ",".join(some)}, 0, loaded)

    def _list(self, collection: str, query: Row, loaded: Loaded | None = None) -> Verb[list[Row]]:
        """All rows, by the time of creation: a change while we read moves none over the page edge."""
        ordered = query | {"order": "created_at:asc"}
        return all_pages(lambda place: self._page(collection, ordered, place, loaded or Loaded()))

    def _page(self, collection: str, query: Row, place: int, loaded: Loaded) -> Verb[Page]:
        paged = query | {"per_page": self.manifest.page_size, "page": place + 1}
        answer = yield Request("GET", collection, query=paged)
        meta = answer.body["meta"]
        more = place + 1 < int(meta["page_count"])
        return Page(rows=loaded.take(answer.body), more=more, total=int(meta["count"]))
