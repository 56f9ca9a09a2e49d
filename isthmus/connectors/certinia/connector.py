"""Certinia as PSA, rate book, time, expense and milestone source: records under the hub's key, changes by watermark."""

from __future__ import annotations

from typing import Any

from isthmus.connectors.certinia import mapping as m
from isthmus.domain.errors import BadInput, NeedsSetup
from isthmus.domain.objects import Expense, ExternalRef, MilestoneStatus, Project, TimeEntry
from isthmus.kit.keys import task_codes, task_key
from isthmus.kit.mapping import Table, set_at
from isthmus.kit.masters import DisputeBoards
from isthmus.kit.soql import SoqlConnector, columns_of, columns_under, soql_text
from isthmus.kit.wire import Row, Verb, dig
from isthmus.kit.work_source import WorkSource
from isthmus.ports import messages as msg

PROJECT, TASK, MILESTONE = "pse__Proj__c", "pse__Project_Task__c", "pse__Milestone__c"
SPLIT, EXPENSE = "pse__Timecard__c", "pse__Expense__c"
CARD, CARD_SET, JUNCTION = "pse__Rate_Card__c", "pse__Rate_Card_Set__c", "pse__Rate_Card_Set_Junction__c"


class Certinia(SoqlConnector, DisputeBoards, WorkSource):
    """One organisation with Certinia PSA."""

    project_kind, task_kind = PROJECT, TASK

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.hub: str = self.setting("hub_field")
        names = {name: self.setting(name) for name in ("hub_field", "task_field", "approved_at")}
        self._time = m.with_our_keys(m.TIME, names, "pse__Timecard_Header__r")
        self._expense = m.with_our_keys(m.EXPENSE, names, "pse__Expense_Report__r")
        self._client = f"pse__Account__r.{self.setting('client_field')}"
        unknown = set(self.setting("dimensions").values()) - set(m.LOOKUPS)
        if unknown:
            known = ", ".join(m.LOOKUPS)
            raise NeedsSetup(f"certinia: dimensions: {', '.join(sorted(unknown))} is not among {known}")

    # -- project -----------------------------------------------------------------------------------------------
    def put_project(self, project: Project) -> Verb[ExternalRef]:
        """Create or change the project under our code. Client and dimensions must be there: we make none up."""
        body: Row = m.PROJECT.out(project) | self._state(is_open=True) | {"pse__Is_Billable__c": True}
        set_at(body, self._client, project.client_no)
        if self.setting("billing_type"):
            body["pse__Billing_Type__c"] = self.setting("billing_type")
        for dimension, lookup in self.setting("dimensions").items():
            if dimension in project.dimensions:
                body[lookup] = yield from self.named(m.LOOKUPS[lookup], project.dimensions[dimension], dimension)
        return (yield from self.upsert(PROJECT, self.hub, project.project_code, body))

    def retire(self, kind: str, key: str, record: Row) -> Verb[ExternalRef]:
        """See Masters. The project gets the cancelled stage, closed for time and expenses."""
        return self.upsert(PROJECT, self.hub, key, self._state(is_open=False), create=False)

    def put_task(self, item: msg.TaskIn) -> Verb[ExternalRef]:
        """Create or change the task, or the milestone; a milestone's target date is the project's until people plan."""
        entity, key = self.place_of(item)
        body: Row = m.TASK.out(item.task) | {"pse__Project__r": {self.hub: item.project_code}}
        if entity == MILESTONE and (yield from self.held(entity, key)) is None:
            project = yield from self.the_project(item.project_code)
            body["pse__Target_Date__c"] = project["pse__End_Date__c"] or project["pse__Start_Date__c"]
        return (yield from self.upsert(entity, self.hub, key, body))

    def facts_of(self, project_code: str, project: Row) -> Verb[Row]:
        """See Projects. Its tasks and its milestones."""
        ours = f"pse__Project__r.{self.hub} = {soql_text(project_code)} AND {self.hub} != null"
        rows = yield from self.query(TASK, [self.hub], ours, order=self.hub)
        rows += yield from self.query(MILESTONE, [self.hub], ours, order=self.hub)
        facts = {"name": project["Name"], "currency": project["CurrencyIsoCode"]}
        return facts | {
            "client_no": dig(project, self._client) or "",
            "tasks": task_codes(project_code, (row[self.hub] for row in rows)),
        }

    def in_use(self, kind: str, record: Row) -> bool:
        """See Masters."""
        return bool(record["pse__Is_Active__c"])

    def place_of(self, item: msg.TaskIn) -> tuple[str, str]:
        """See Projects. A milestone is an object of its own."""
        return (TASK if item.task.milestone is None else MILESTONE), super().place_of(item)[1]

    def held(self, kind: str, key: str) -> Verb[Row | None]:
        """See Masters. With what stands on the records a project refers to."""
        linked = (self._client, f"pse__Rate_Card_Set__r.{self.hub}")
        columns = [self.hub, *((*m.PROJECT_FACTS, *linked) if kind == PROJECT else ())]
        rows = yield from self.query(kind, columns, f"{self.hub} = {soql_text(key)}")
        return next(iter(rows), None)

    def _state(self, is_open: bool) -> Row:
        stage = self.setting("stage_active" if is_open else "stage_cancelled")
        closed = {f"pse__Closed_for_{what}_Entry__c": not is_open for what in ("Time", "Expense")}
        return {"pse__Stage__c": stage, "pse__Is_Active__c": is_open, **closed}

    def put_note(self, project: Row, field: str, text: str) -> Verb[ExternalRef]:
        """See DisputeBoards."""
        return self.upsert(PROJECT, self.hub, project[self.hub], {field: text}, create=False)

    def note_on(self, project: Row, field: str) -> Verb[str]:
        """See DisputeBoards."""
        row = yield from self.record(PROJECT, self.hub, project[self.hub], [field])
        return str(row[field] or "") if row else ""

    # -- rates -------------------------------------------------------------------------------------------------
    def put_rates(self, card: msg.RateCardIn) -> Verb[ExternalRef]:
        """A rate card set of the project's own with a card per role and window; the project gets the set last."""
        wanted, currency = m.to_rate_cards(card, self.setting("roles")), {"CurrencyIsoCode": card.currency}
        named = {"Name": card.project_code} | currency
        owner = yield from self.upsert(CARD_SET, self.hub, card.project_code, named)
        in_set = {"pse__Rate_Card_Set__c": owner.external_id}
        cost = {"pse__Average_Cost_Rate__c": self.setting("average_cost_rate")}
        yield from self.save_all(CARD, [{self.hub: key} | cost | wanted[key] for key in wanted], self.hub)
        links = [{self.hub: key, "pse__Rate_Card__r": {self.hub: key}} | in_set | currency for key in wanted]
        yield from self.save_all(JUNCTION, links, self.hub)
        held = yield from self._cards(card.project_code)
        yield from self.delete_all(row["id"] for row in held if row[self.hub] not in wanted)
        yield from self.upsert(PROJECT, self.hub, card.project_code, in_set, create=False)
        return owner

    def find_rates(self, card: msg.RateCardIn) -> Verb[ExternalRef | None]:
        """The project's rate card set, if its cards are exactly these."""
        project = yield from self.the_project(card.project_code)
        wanted = m.to_rate_cards(card, self.setting("roles"))
        rows = yield from self._cards(card.project_code)
        found = ((row[self.hub], row["pse__Rate_Card__r"]) for row in rows)
        held = {key: {name: card[name] for name in m.CARD_COLUMNS if card[name] is not None} for key, card in found}
        in_use = dig(project, f"pse__Rate_Card_Set__r.{self.hub}") == card.project_code
        return self.ref(CARD_SET, rows[0]["pse__Rate_Card_Set__c"]) if in_use and held == wanted else None

    def _cards(self, project_code: str) -> Verb[list[Row]]:
        columns = [*columns_under("pse__Rate_Card__r", m.CARD_COLUMNS), self.hub, "pse__Rate_Card_Set__c"]
        return self.query(JUNCTION, columns, f"pse__Rate_Card_Set__r.{self.hub} = {soql_text(project_code)}")

    # -- time, expenses and milestones ---------------------------------------------------------------------------
    def approved_time(self, watermark: str) -> Verb[msg.TimePage]:
        """Days of approved splits changed after the watermark; days without hours or approval are withdrawn."""
        rows = yield from self._changed(SPLIT, [*m.SPAN, *m.DAILY, *columns_of(self._time)], watermark)
        days = [day for row in rows for day in m.to_days(row)]
        return self.page_of(msg.TimePage, days, self._to_time_entry, map(m.changed_at, rows), watermark)

    def _to_time_entry(self, day: Row) -> TimeEntry | msg.Withdrawn:
        if not day["day"]:
            raise BadInput("it has no start or end date")
        if not m.is_approved(day) or not day["hours"]:
            return self.withdrawn(day["id"], m.why_not(day), m.changed_at(day))
        facts = {"role": "", "cost_currency": day["CurrencyIsoCode"], **self._facts(self._time, day)}
        ours = {name: role for role, name in self.setting("roles").items()}
        facts["role"] = ours.get(facts["role"], facts["role"])
        return TimeEntry(**facts, source_id=day["id"], service_date=day["day"], hours=day["hours"], note=day["note"])

    def approved_expenses(self, watermark: str) -> Verb[msg.ExpensePage]:
        """Approved expenses changed after the watermark; those deleted or not approved are withdrawn."""
        rows = yield from self._changed(EXPENSE, ["pse__Approved__c", *columns_of(self._expense)], watermark)
        return self.page_of(msg.ExpensePage, rows, self._to_expense, map(m.changed_at, rows), watermark)

    def _to_expense(self, row: Row) -> Expense | msg.Withdrawn:
        if not m.is_approved(row):
            return self.withdrawn(row["id"], m.why_not(row), m.changed_at(row))
        return Expense(**self._facts(self._expense, row))

    def milestones_changed(self, watermark: str) -> Verb[msg.MilestonePage]:
        """Milestones of our making changed after the watermark."""
        columns = [self.hub, f"pse__Project__r.{self.hub}", "pse__Status__c", *columns_of(m.MILESTONE)]
        rows = yield from self._changed(MILESTONE, columns, watermark, f"{self.hub} != null")
        return self.page_of(msg.MilestonePage, rows, self._to_milestone, map(m.changed_at, rows), watermark)

    def _to_milestone(self, row: Row) -> MilestoneStatus:
        state = "deleted" if row["IsDeleted"] else row["pse__Status__c"]
        return self.milestone(row["pse__Project__r"][self.hub], row[self.hub], state, **m.MILESTONE.back(row))

    def _changed(self, entity: str, columns: list[str], watermark: str, *more: str) -> Verb[list[Row]]:
        """Records of our projects that have changed, deleted ones too."""
        where, order = (
            (f"pse__Project__r.{self.hub} != null", self.changed_since(watermark), *more),
            "SystemModstamp, Id",
        )
        return self.query(entity, [*m.CHANGE, *columns], *where, order=order, deleted=True)

    def _facts(self, table: Table, row: Row) -> Row:
        """What the row says. Its milestone names the task, else its assignment; neither is empty, not unreadable."""
        facts = {"source": self.system, "approved_by": f"{self.system}: no approver named", **table.back(row)}
        key = next(filter(None, [facts.pop(name, "") for name in ("milestone", "task")]), "")
        return facts | {"task_code": key.removeprefix(task_key(facts["project_code"], ""))}

    # -- billing -------------------------------------------------------------------------------------------------
    def mark_invoiced(self, billed: msg.InvoicedTime) -> Verb[ExternalRef]:
        """Set the splits billed and invoiced, with the number. PSA's own rules refuse what is not approved there.

        A split whose days go on several invoices carries all their numbers; its date stays that of the first.
        """
        records = []
        for row in (yield from self._splits(billed)):
            body: Row = {"id": row["Id"], "pse__Billed__c": True, "pse__Invoiced__c": True}
            body |= {} if row["pse__Invoiced__c"] else {"pse__Invoice_Date__c": billed.issue_date.isoformat()}
            body["pse__Invoice_Number__c"] = ", ".join(dict.fromkeys((*m.numbers(row), billed.number)))
            records.append(body)
        yield from self.save_all(SPLIT, records)
        return self.ref("invoice", billed.number)

    def find_invoiced(self, billed: msg.InvoicedTime) -> Verb[ExternalRef | None]:
        """The mark, if every split is billed and invoiced under the number. An invoice without hours marks nothing."""
        rows = yield from self._splits(billed)
        marked = (r["pse__Billed__c"] and r["pse__Invoiced__c"] and billed.number in m.numbers(r) for r in rows)
        return self.ref("invoice", billed.number) if all(marked) else None

    def _splits(self, billed: msg.InvoicedTime) -> Verb[list[Row]]:
        ids = {day.partition("-")[0] for day in self.ids_of(billed)}
        columns = ("pse__Billed__c", "pse__Invoiced__c", "pse__Invoice_Number__c")
        return self.all_there((yield from self.query_each(SPLIT, columns, ids)), ids, "timecard split")
