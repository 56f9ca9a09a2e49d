"""Kantata as the PSA: projects and tasks carry the hub's key as external reference; changes come by watermark."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from isthmus.connectors.kantata import mapping as m
from isthmus.domain.errors import NeedsSetup
from isthmus.domain.objects import Expense, ExternalRef, MilestoneStatus, Project, TimeEntry
from isthmus.kit.brainstem import BrainstemConnector, collection_of
from isthmus.kit.keys import digest, task_codes
from isthmus.kit.loaded import Loaded
from isthmus.kit.mapping import to_utc
from isthmus.kit.masters import DisputeBoards
from isthmus.kit.rate_days import role_rates_by_day
from isthmus.kit.wire import Row, Verb
from isthmus.kit.work_source import WorkSource
from isthmus.ports import messages as msg


class Kantata(BrainstemConnector, DisputeBoards, WorkSource):
    """One Kantata OX account."""

    everything = {"include_archived": "true", "from_archived_workspaces": "true"}  # noqa: RUF012
    project_kind, task_kind = "workspace", "story"

    # -- project -----------------------------------------------------------------------------------------------
    def put_project(self, project: Project) -> Verb[ExternalRef]:
        """Create the workspace with our reference, or bring the one that carries it to these facts."""
        body = m.PROJECT.out(project) | {
            "status_key": int(self.setting("status_active")),
            "budgeted": project.budget is not None,
            "description": f"Contract {project.contract_no} version {project.contract_version}",
        }
        template = self.setting("templates").get(project.template)
        first = {"creator_role": "maven"} | ({"project_tracker_template_id": int(template)} if template else {})
        held = yield from self._subject("workspace", project.project_code)
        return (yield from self._put("workspace", project.project_code, held, body, first))

    def retire(self, kind: str, key: str, record: Row) -> Verb[Row]:
        """See Masters. The workspace gets the cancelled status."""
        return self.write("workspace", {"status_key": int(self.setting("status_cancelled"))}, record["id"])

    def put_task(self, item: msg.TaskIn) -> Verb[ExternalRef]:
        """Create the story with our reference, or bring the one that carries it to these facts."""
        kind, key = self.place_of(item)
        held = yield from self._subject(kind, key)
        first = {} if held else {"workspace_id": (yield from self.the_project(item.project_code))["id"]}
        return (yield from self._put(kind, key, held, {"story_type": "task"} | m.TASK.out(item.task), first))

    def facts_of(self, project_code: str, project: Row) -> Verb[Row]:
        """See Projects. The tasks are those that carry our references."""
        if "currency" not in project:
            raise NeedsSetup(f"kantata shows no currency of {project_code}: its user needs financial access")
        loaded = Loaded()
        stories = yield from self.rows("stories", {"workspace_id": project["id"], **m.REFERENCES}, loaded)
        mine = [story for story in stories if str(story["workspace_id"]) == str(project["id"])]
        keys = [key for story in mine for key in m.keys_of(story, "story", loaded)]
        return {"name": project["title"], "currency": project["currency"], "tasks": task_codes(project_code, keys)}

    def in_use(self, kind: str, record: Row) -> bool:
        """See Masters. Neither cancelled nor finished."""
        cancelled = str(record["status_key"]) == self.setting("status_cancelled")
        return self.state("project status color", record["status"]["color"]) == "open" and not cancelled

    def held(self, kind: str, key: str) -> Verb[Row | None]:
        """See Masters. By our reference; one with the same title only proves nothing."""
        record_id = yield from self._subject(kind, key)
        return (yield from self.show(collection_of(kind), record_id)) if record_id else None

    def _put(self, kind: str, key: str, held: str | None, body: Row, first: Row) -> Verb[ExternalRef]:
        """Change the record, or create it with our reference. first: what is said only then."""
        body |= {} if held else first | {"external_reference": m.to_reference(kind, key)}
        written = yield from self.write(kind, body, held)
        return self.ref(kind, written["id"])

    def _subjects(self, kind: str, key: str) -> Verb[list[str]]:
        """Ids of the records that carry our key. An unknown filter is ignored there, so every row is compared here."""
        wanted = m.to_reference(kind, key) | {"subject_type": kind.capitalize()}
        rows = yield from self.rows("external_references", wanted)
        return sorted({str(row["subject_id"]) for row in rows if wanted.items() <= row.items()}, key=int)

    def _subject(self, kind: str, key: str) -> Verb[str | None]:
        return self.one_of((yield from self._subjects(kind, key)), f"{kind} {key}")

    def put_note(self, project: Row, field: str, text: str) -> Verb[Row]:
        """See DisputeBoards. A new value of a custom field takes the place of the one before."""
        place = {"subject_type": "Workspace", "subject_id": project["id"], "custom_field_id": field}
        return self.write("custom_field_value", place | {"value": text})

    def note_on(self, project: Row, field: str) -> Verb[str]:
        """See DisputeBoards."""
        loaded = Loaded()
        yield from self.show("workspaces", project["id"], "custom_field_values", loaded)
        values = loaded.all("custom_field_values").values()
        return next((str(row["value"]) for row in values if str(row["custom_field_id"]) == field), "")

    # -- rates -------------------------------------------------------------------------------------------------
    def put_rates(self, card: msg.RateCardIn) -> Verb[ExternalRef]:
        """Make a rate card for the project, which gets it last: until then nothing looks like the project's rates."""
        if found := (yield from self.find_rates(card)):
            return found
        wanted = role_rates_by_day(card.rates, card.currency, self.setting("roles"))
        names = {name for version in wanted.values() for name in version}
        roles = self.ids_by_name((yield from self.rows("roles", {})), names, "role")
        workspace = yield from self.the_project(card.project_code)
        title = f"{m.SERVICE} {card.project_code} {digest(wanted)}"
        rate_card_id = yield from self._rate_card(title, card.currency, wanted)
        versions = {day: version for version, day in (yield from self._days(rate_card_id, Loaded())).items()}
        if sorted(versions) != list(wanted):
            raise self.refusal(f"kantata made versions for {sorted(versions)} of {[*wanted]}", "VERSIONS", "rates")
        for day, rates in wanted.items():
            for name, cents in rates.items():
                row = {"role_id": roles[name], "rate": cents}
                yield from self.ensure("rate_card_role", {"rate_card_version_id": versions[day]}, row)
        yield from self.write("workspace", {"rate_card_id": rate_card_id}, workspace["id"])
        return self.ref("rate_card", rate_card_id)

    def _rate_card(self, title: str, currency: str, days: Iterable[str]) -> Verb[str]:
        """A set with one card and a version for each day; what an earlier attempt has left there is taken up."""
        owner = {"rate_card_set_id": (yield from self.ensure("rate_card_set", {}, {"title": title}))["id"]}
        rate_card: Row = {}
        for day in days:
            version = yield from self.ensure("rate_card_set_version", owner, {"effective_date": day})
            first = {"rate_card_set_version_id": version["id"]}
            rate_card = rate_card or (yield from self.ensure("rate_card", owner, {"currency": currency}, first))
        return str(rate_card["id"])

    def _days(self, rate_card_id: str, loaded: Loaded) -> Verb[dict[str, str]]:
        """The versions of a rate card with their days, and their rates into loaded."""
        yield from self.show("rate_cards", rate_card_id, "rate_card_versions", loaded)
        yield from self.load("rate_card_versions", [*loaded.all("rate_card_versions")], m.RATES, loaded)
        dated, versions = loaded.all("rate_card_set_versions"), loaded.all("rate_card_versions").items()
        return {i: dated[str(row["rate_card_set_version_id"])]["effective_date"] for i, row in versions}

    def find_rates(self, card: msg.RateCardIn) -> Verb[ExternalRef | None]:
        """The project's rate card, if it holds exactly these rates, day by day and role by role, to the cent."""
        wanted = role_rates_by_day(card.rates, card.currency, self.setting("roles"))
        workspace = yield from self.held("workspace", card.project_code)
        if workspace is None or not (rate_card_id := workspace["rate_card_id"]):
            return None
        loaded = Loaded()
        days = yield from self._days(rate_card_id, loaded)
        rows = loaded.all("rate_card_roles").values()
        yield from self.load("roles", {row["role_id"] for row in rows}, {}, loaded)
        held: dict[str, dict[str, int]] = {day: {} for day in days.values()}
        for row in rows:
            name = loaded.one("roles", row["role_id"], "role")["name"]
            held[days[str(row["rate_card_version_id"])]][name] = int(row["rate"])
        currency = loaded.all("rate_cards").get(str(rate_card_id), {}).get("currency")
        return self.ref("rate_card", rate_card_id) if (held, currency) == (wanted, card.currency) else None

    # -- time and expenses -------------------------------------------------------------------------------------
    def approved_time(self, watermark: str) -> Verb[msg.TimePage]:
        """Approved entries that have changed since the watermark; the hub tells revisions by content."""
        return self._approved(m.TIME, TimeEntry, msg.TimePage, watermark)

    def approved_expenses(self, watermark: str) -> Verb[msg.ExpensePage]:
        """Approved expenses that have changed since the watermark."""
        return self._approved(m.EXPENSES, Expense, msg.ExpensePage, watermark)

    def _approved(self, kind: m.Kind, model: Any, page: Any, watermark: str) -> Verb[Any]:
        """Approved items that have changed, or whose submission has; the others and the deleted are withdrawn."""
        loaded, since = Loaded(), self.since(watermark)
        items, submissions = collection_of(kind.name), collection_of(kind.submission)
        include, gone = {"include": "user,role,active_submission"}, dict[str, datetime]()
        yield from self.changed(items, include, since, loaded)
        if since:
            asked = {"all_on_account": "true", "include": items}
            sheets = yield from self.changed(submissions, asked, since, loaded)
            ids = {item_id for sheet in sheets for item_id in sheet[f"{kind.name}_ids"]}
            yield from self.load(items, ids, include, loaded)
            gone = yield from self._deleted(kind, since)
        rows = [row for item_id, row in loaded.all(items).items() if item_id not in gone]
        yield from self.load("workspaces", {row["workspace_id"] for row in rows}, m.REFERENCES, loaded)
        ours = [row for row in rows if self._concerns_us(row, loaded)]
        yield from self.load("stories", {row["story_id"] for row in ours} - {None}, m.REFERENCES, loaded)
        sheets = list(loaded.all(submissions).values())
        yield from self.load("users", {row["current_resolution_creator_id"] for row in sheets} - {None}, {}, loaded)
        moments = (to_utc(row["updated_at"]) for row in (*rows, *sheets))
        return self.page_of(page, ours, lambda row: self._to_item(kind, model, row, loaded), moments, watermark, gone)

    def _to_item(self, kind: m.Kind, model: Any, row: Row, loaded: Loaded) -> Any:
        """What the hub is told of an item: who approved it, or nobody where a project wants none; or that it is not."""
        changed, active = to_utc(row["updated_at"]), row["active_submission_id"]
        by, at = "kantata: no approval required", changed
        sheet = loaded.one(collection_of(kind.submission), active, "submission") if active else {}
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
        return workspace is None or bool(m.keys_of(workspace, "workspace", loaded))

    def _deleted(self, kind: m.Kind, since: datetime) -> Verb[dict[str, datetime]]:
        """Items deleted since a moment, with when. Events come late and out of order: a day is read again."""
        asked = {"event_types": f"{kind.name}:deleted", "created_after": (since - timedelta(days=1)).isoformat()}
        rows = yield from self.rows("subscribed_events", asked)
        return {str(row["subject_id"]): to_utc(row["subject_changed_at"]) for row in rows}

    # -- milestones --------------------------------------------------------------------------------------------
    def milestones_changed(self, watermark: str) -> Verb[msg.MilestonePage]:
        """Milestones of ours changed after the watermark."""
        loaded = Loaded()
        asked = {"story_type": "milestone", "all_on_account": "true", **m.REFERENCES}
        rows = yield from self.changed("stories", asked, self.since(watermark), loaded)
        ours = [row for row in rows if m.keys_of(row, "story", loaded)]
        yield from self.load("workspaces", {row["workspace_id"] for row in ours}, m.REFERENCES, loaded)
        for row in ours:
            asked = {"story_id": row["id"], "include": "user"}
            row["moves"] = yield from self.rows("story_state_changes", asked, loaded)
        moments = (to_utc(row["updated_at"]) for row in rows)
        return self.page_of(msg.MilestonePage, ours, lambda row: self._to_milestone(row, loaded), moments, watermark)

    def _to_milestone(self, row: Row, loaded: Loaded) -> MilestoneStatus:
        """As somebody has brought it into its state, or as it was made."""
        [key], moved = m.keys_of(row, "story", loaded), (row["moves"] or [row])[-1]
        by = m.name_of(moved["user_id"], loaded) if row["moves"] else "kantata: nobody has moved it"
        told: Row = {"source_id": row["id"], "by": by, "at": to_utc(moved["created_at"])}
        return self.milestone(m.project_of(row, loaded), key, row["state"], **told)

    # -- billing -----------------------------------------------------------------------------------------------
    def mark_invoiced(self, billed: msg.InvoicedTime) -> Verb[ExternalRef]:
        """Make the invoice that claims the entries there: the one way to set them invoiced."""
        if found := (yield from self.find_invoiced(billed)):
            return found
        ids = sorted(self.ids_of(billed), key=int)
        workspace = yield from self.the_project(billed.project_code)
        body = m.INVOICE.out(billed) | {"time_entry_ids": ids, "expense_ids": [], "workspace_id": workspace["id"]}
        body["payment_schedule"] = int(self.setting("payment_schedule"))
        # It goes to nobody: the client has the hub's own.
        body |= {"message": f"Invoiced {billed.number}", "suppress_emails": True}
        body |= {} if ids else {"additional_items": [m.lump_sum(billed)]}
        return (yield from self._put("invoice", billed.number, None, body, {}))

    def find_invoiced(self, billed: msg.InvoicedTime) -> Verb[ExternalRef | None]:
        """The invoice with our number, if every entry is on it now; a cancelled one sets its entries free."""
        ids = self.ids_of(billed)
        for invoice_id in (yield from self._subjects("invoice", billed.number)):
            loaded = Loaded()
            invoice = yield from self.show("invoices", invoice_id, "time_entries", loaded)
            held = loaded.all("time_entries").items()
            marked = {i for i, row in held if row["is_invoiced"] and str(row["invoice_id"]) == invoice_id}
            if invoice is not None and invoice["status"] != "cancelled" and ids <= marked:
                return self.ref("invoice", invoice_id)
        return None
