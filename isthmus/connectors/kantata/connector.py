"""Kantata as the PSA: projects and tasks carry the hub's key as external reference; changes come by watermark."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from isthmus.connectors.kantata import mapping as m
from isthmus.domain.errors import NeedsSetup
from isthmus.domain.objects import Expense, ExternalRef, MilestoneStatus, Project, TimeEntry
from isthmus.domain.work import milestone_of
from isthmus.kit.brainstem import BrainstemConnector
from isthmus.kit.keys import digest, source_id, task_codes, task_key
from isthmus.kit.loaded import Loaded
from isthmus.kit.mapping import readable, to_utc
from isthmus.kit.rate_days import role_rates_by_day
from isthmus.kit.wire import Row, Verb
from isthmus.ports.messages import ExpensePage, InvoicedTime, MilestonePage, ProjectFacts, RateCardIn, TaskIn, TimePage


class Kantata(BrainstemConnector):
    """One Kantata OX account."""

    everything = {"include_archived": "true", "from_archived_workspaces": "true"}  # noqa: RUF012

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
        written = yield from self.write("workspaces", "workspace", body, workspace_id)
        return self.ref("workspace", written["id"])

    def find_project(self, project: Project) -> Verb[ExternalRef | None]:
        """The workspace with our reference, unless it is closed. One with the same title only proves nothing."""
        workspace = yield from self._workspace(project.project_code)
        return self.ref("workspace", workspace["id"]) if workspace and self._is_open(workspace) else None

    def read_project(self, project_code: str) -> Verb[ProjectFacts]:
        """The workspace with the tasks that carry our references."""
        workspace = self.there((yield from self._workspace(project_code)), f"project {project_code}")
        if "currency" not in workspace:
            raise NeedsSetup(f"kantata shows no currency of {project_code}: its user needs financial access")
        loaded, facts = Loaded(), {"name": workspace["title"], "currency": workspace["currency"]}
        stories = yield from self.rows("stories", {"workspace_id": workspace["id"], **m.REFERENCES}, loaded)
        mine = [story for story in stories if str(story["workspace_id"]) == str(workspace["id"])]
        keys = [key for story in mine for key in m.keys_of(story, "task", loaded)]
        where = {"ref": self.ref("workspace", workspace["id"]), "project_code": project_code}
        tasks, active = task_codes(project_code, keys), self._is_open(workspace)
        return ProjectFacts(**where, **facts, active=active, tasks=tasks)

    def close_project(self, project: Project) -> Verb[ExternalRef]:
        """Set the workspace to the cancelled status; it is never deleted."""
        workspace_id = yield from self._project(project.project_code)
        body = {"status_key": int(self.setting("status_cancelled"))}
        written = yield from self.write("workspaces", "workspace", body, workspace_id)
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
        written = yield from self.write("stories", "story", body, story_id)
        return self.ref("story", written["id"])

    def find_task(self, item: TaskIn) -> Verb[ExternalRef | None]:
        """The story with our reference."""
        story_id = yield from self._subject("Story", "task", task_key(item.project_code, item.task.code))
        return self.ref("story", story_id) if story_id else None

    # -- rates -------------------------------------------------------------------------------------------------
    def put_rates(self, card: RateCardIn) -> Verb[ExternalRef]:
        """Make a rate card for the project, which gets it last: until then nothing looks like the project's rates."""
        if found := (yield from self.find_rates(card)):
            return found
        wanted = role_rates_by_day(card.rates, card.currency, self.setting("roles"))
        names = {name for version in wanted.values() for name in version}
        roles = self.ids_by_name((yield from self.rows("roles", {})), names, "role")
        workspace_id = yield from self._project(card.project_code)
        title = f"{m.SERVICE} {card.project_code} {digest(wanted)}"
        rate_card_id, versions = yield from self._rate_card(title, card.currency, list(wanted))
        for day, rates in wanted.items():
            for name, cents in rates.items():
                row = {"role_id": roles[name], "rate": cents}
                yield from self.ensure("rate_card_role", {"rate_card_version_id": versions[day]}, row)
        yield from self.write("workspaces", "workspace", {"rate_card_id": rate_card_id}, workspace_id)
        return self.ref("rate_card", rate_card_id)

    def _rate_card(self, title: str, currency: str, days: list[str]) -> Verb[tuple[str, dict[str, str]]]:
        """A set with one card and its versions by day. What an earlier attempt has left under the title is taken up."""
        made = yield from self.ensure("rate_card_set", {}, {"title": title})
        owner = {"rate_card_set_id": made["id"]}
        dated: dict[str, str] = {}
        rate_card: Row = {}
        for day in days:
            version = yield from self.ensure("rate_card_set_version", owner, {"effective_date": day})
            dated[str(version["id"])] = day
            if not rate_card:
                first = {"rate_card_set_version_id": version["id"]}
                rate_card = yield from self.ensure("rate_card", owner, {"currency": currency}, first)
        loaded = Loaded()
        yield from self.show("rate_cards", rate_card["id"], "rate_card_versions", loaded)
        rows = loaded.all("rate_card_versions").values()
        versions = {dated[i]: str(row["id"]) for row in rows if (i := str(row["rate_card_set_version_id"])) in dated}
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
        rate_card = yield from self.show("rate_cards", workspace["rate_card_id"], "rate_card_versions", loaded)
        if rate_card is None or rate_card["currency"] != card.currency:
            return None
        versions = loaded.all("rate_card_versions")
        yield from self.load("rate_card_versions", versions, m.RATES, loaded)
        rows = loaded.all("rate_card_roles").values()
        yield from self.load("roles", {row["role_id"] for row in rows}, {}, loaded)
        dated = loaded.all("rate_card_set_versions")
        days = {i: dated[str(row["rate_card_set_version_id"])]["effective_date"] for i, row in versions.items()}
        held: dict[str, dict[str, int]] = {day: {} for day in days.values()}
        for row in rows:
            name = loaded.all("roles")[str(row["role_id"])]["name"]
            held[days[str(row["rate_card_version_id"])]][name] = int(row["rate"])
        return self.ref("rate_card", rate_card["id"]) if held == wanted else None

    # -- time and expenses -------------------------------------------------------------------------------------
    def approved_time(self, watermark: str) -> Verb[TimePage]:
        """Approved entries that have changed since the watermark; the hub tells revisions by content."""
        entries, more = yield from self._approved(m.TIME, TimeEntry, watermark)
        return TimePage(entries=entries, **more)

    def approved_expenses(self, watermark: str) -> Verb[ExpensePage]:
        """Approved expenses that have changed since the watermark."""
        expenses, more = yield from self._approved(m.EXPENSES, Expense, watermark)
        return ExpensePage(expenses=expenses, **more)

    def _approved(self, kind: m.Kind, model: Any, watermark: str) -> Verb[tuple[tuple[Any, ...], Row]]:
        """Approved items that have changed, or whose submission has; the others and the deleted are withdrawn."""
        loaded, since = Loaded(), self.since(watermark)
        include = {"include": "user,role,active_submission"}
        yield from self.changed(kind.collection, include, since, loaded)
        gone: dict[str, datetime] = {}
        if since:
            asked = {"all_on_account": "true", "include": kind.collection}
            sheets = yield from self.changed(kind.submissions, asked, since, loaded)
            ids = {item_id for sheet in sheets for item_id in sheet[f"{kind.name}_ids"]}
            yield from self.load(kind.collection, ids, include, loaded)
            gone = yield from self._deleted(kind, since)
        rows = [row for item_id, row in loaded.all(kind.collection).items() if item_id not in gone]
        yield from self.load("workspaces", {row["workspace_id"] for row in rows}, m.REFERENCES, loaded)
        ours = [row for row in rows if self._concerns_us(row, loaded)]
        yield from self.load("stories", {row["story_id"] for row in ours} - {None}, m.REFERENCES, loaded)
        sheets = list(loaded.all(kind.submissions).values())
        yield from self.load("users", {row["current_resolution_creator_id"] for row in sheets} - {None}, {}, loaded)
        read, unreadable = readable(ours, lambda row: self._to_item(kind, model, row, loaded))
        moments = (to_utc(row["updated_at"]) for row in (*rows, *sheets))
        items, more = self.told(read, gone, moments, watermark)
        return items, more | {"unreadable": unreadable}

    def _to_item(self, kind: m.Kind, model: Any, row: Row, loaded: Loaded) -> Any:
        """What the hub is told of an item: who approved it, or nobody where a project wants none; or that it is not."""
        changed, active = to_utc(row["updated_at"]), row["active_submission_id"]
        by, at = "kantata: no approval required", changed
        sheet = loaded.one(kind.submissions, active, "submission") if active else {}
        if sheet and self.state("submission", sheet["status"]) == "approved":
            creator, stamp = sheet["current_resolution_creator_id"], sheet["current_resolution_created_at_date"]
            by = m.name_of(creator, loaded, "approver") if creator else "kantata: nobody named"
            at = to_utc(stamp or sheet["updated_at"])
        elif not row.get("approved") and loaded.one("workspaces", row["workspace_id"], "project")[kind.required]:
            return self.withdrawn(row["id"], "not approved", changed)
        return model(source=self.system, approved_by=by, approved_at=at, **m.facts_of(kind, row, loaded))

    def _concerns_us(self, row: Row, loaded: Loaded) -> bool:
        """False for a project that is not ours. One we cannot see may be."""
        workspace = loaded.all("workspaces").get(str(row["workspace_id"]))
        return workspace is None or bool(m.keys_of(workspace, "project", loaded))

    def _deleted(self, kind: m.Kind, since: datetime) -> Verb[dict[str, datetime]]:
        """Items deleted since a moment, with when. Events come late and out of order: a day is read again."""
        asked = {"event_types": f"{kind.name}:deleted", "created_after": (since - timedelta(days=1)).isoformat()}
        rows = yield from self.rows("subscribed_events", asked)
        return {str(row["subject_id"]): to_utc(row["subject_changed_at"]) for row in rows}

    # -- milestones --------------------------------------------------------------------------------------------
    def milestones_changed(self, watermark: str) -> Verb[MilestonePage]:
        """Milestones of ours changed after the watermark. A state nobody has mapped is not guessed."""
        loaded = Loaded()
        asked = {"story_type": "milestone", "all_on_account": "true", **m.REFERENCES}
        rows = yield from self.changed("stories", asked, self.since(watermark), loaded)
        ours = [row for row in rows if m.keys_of(row, "task", loaded)]
        yield from self.load("workspaces", {row["workspace_id"] for row in ours}, m.REFERENCES, loaded)
        for row in ours:
            asked = {"story_id": row["id"], "include": "user"}
            row["moves"] = yield from self.rows("story_state_changes", asked, loaded)
        read, unreadable = readable(ours, lambda row: self._to_milestone(row, loaded))
        milestones, more = self.told(read, {}, (to_utc(row["updated_at"]) for row in rows), watermark)
        return MilestonePage(milestones=milestones, watermark=more["watermark"], unreadable=unreadable)

    def _to_milestone(self, row: Row, loaded: Loaded) -> MilestoneStatus:
        """As somebody has brought it into its state, or as it was made."""
        code, [key] = m.project_of(row, loaded), m.keys_of(row, "task", loaded)
        line_uid, number = milestone_of(key.removeprefix(task_key(code, "")))
        by = m.name_of(row["moves"][-1]["user_id"], loaded) if row["moves"] else "kantata: nobody has moved it"
        told = {"by": by, "at": to_utc((row["moves"] or [row])[-1]["created_at"]), "source_id": row["id"]}
        state = self.own_state("milestone_states", row["state"])
        where = {"source": self.system, "project_code": code, "line_uid": line_uid, "number": number}
        return MilestoneStatus(**where, **told, state=state)

    # -- billing -----------------------------------------------------------------------------------------------
    def mark_invoiced(self, billed: InvoicedTime) -> Verb[ExternalRef]:
        """Make the invoice that claims the entries there: the one way to set them invoiced."""
        ids = [source_id(key, self.system) for key in billed.entry_keys]
        if found := (yield from self.find_invoiced(billed)):
            return found
        workspace_id = yield from self._project(billed.project_code)
        body = m.to_invoice(billed, ids) | {"workspace_id": workspace_id}
        body["payment_schedule"] = int(self.setting("payment_schedule"))
        made = yield from self.write("invoices", "invoice", body)
        return self.ref("invoice", made["id"])

    def find_invoiced(self, billed: InvoicedTime) -> Verb[ExternalRef | None]:
        """The invoice with our number, if every entry is on it now; a cancelled one sets its entries free."""
        ids = {source_id(key, self.system) for key in billed.entry_keys}
        for invoice_id in (yield from self._subjects("Invoice", "invoice", billed.number)):
            loaded = Loaded()
            invoice = yield from self.show("invoices", invoice_id, "time_entries", loaded)
            held = loaded.all("time_entries").items()
            marked = {i for i, row in held if row["is_invoiced"] and str(row["invoice_id"]) == invoice_id}
            if invoice is not None and invoice["status"] != "cancelled" and ids <= marked:
                return self.ref("invoice", invoice_id)
        return None

    # -- what requests and answers have in common --------------------------------------------------------------
    def _subjects(self, subject_type: str, model: str, key: str) -> Verb[list[str]]:
        """Ids of the records that carry our key. An unknown filter is ignored there, so every row is compared here."""
        wanted = m.to_reference(model, key) | {"subject_type": subject_type}
        rows = yield from self.rows("external_references", wanted)
        return sorted({str(row["subject_id"]) for row in rows if wanted.items() <= row.items()}, key=int)

    def _subject(self, subject_type: str, model: str, key: str) -> Verb[str | None]:
        found = yield from self._subjects(subject_type, model, key)
        if len(found) > 1:
            raise self.refusal(f"{len(found)} records of kantata carry {model} {key}", "TWINS", "external_reference")
        return found[0] if found else None

    def _project(self, project_code: str) -> Verb[str]:
        found = yield from self._subject("Workspace", "project", project_code)
        return self.there(found, f"project {project_code}")

    def _workspace(self, project_code: str) -> Verb[Row | None]:
        workspace_id = yield from self._subject("Workspace", "project", project_code)
        return (yield from self.show("workspaces", workspace_id)) if workspace_id else None

    def _is_open(self, workspace: Row) -> bool:
        cancelled = str(workspace["status_key"]) == self.setting("status_cancelled")
        return self.state("project status color", workspace["status"]["color"]) == "open" and not cancelled
