"""Certinia as PSA, rate book, time, expense and milestone source: records under the hub's key, changes by watermark."""

from __future__ import annotations

from typing import Any

from isthmus.connectors.certinia import mapping as m
from isthmus.domain.errors import NeedsSetup
from isthmus.domain.objects import Expense, ExternalRef, MilestoneStatus, Project, TimeEntry
from isthmus.domain.work import milestone_of
from isthmus.kit.keys import source_id, task_codes, task_key
from isthmus.kit.mapping import Table, readable
from isthmus.kit.paging import chunks
from isthmus.kit.soql import SoqlConnector, columns_of, latest_stamp, soql_text, soql_texts
from isthmus.kit.wire import Row, Verb, dig
from isthmus.ports.messages import ExpensePage, InvoicedTime, MilestonePage, ProjectFacts, RateCardIn, TaskIn, TimePage

PROJECT, TASK, MILESTONE = "pse__Proj__c", "pse__Project_Task__c", "pse__Milestone__c"
SPLIT, EXPENSE = "pse__Timecard__c", "pse__Expense__c"
CARD, CARD_SET, JUNCTION = "pse__Rate_Card__c", "pse__Rate_Card_Set__c", "pse__Rate_Card_Set_Junction__c"


class Certinia(SoqlConnector):
    """One organisation with Certinia PSA."""

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.hub: str = self.setting("hub_field")
        names = {name: self.setting(name) for name in ("hub_field", "task_field", "approved_at")}
        self._time = m.with_our_keys(m.TIME, names, "pse__Timecard_Header__r")
        self._expense = m.with_our_keys(m.EXPENSE, names, "pse__Expense_Report__r")
        unknown = set(self.setting("dimensions").values()) - set(m.LOOKUPS)
        if unknown:
            known = ", ".join(m.LOOKUPS)
            raise NeedsSetup(f"certinia: dimensions: {', '.join(sorted(unknown))} is not among {known}")

    # -- project -----------------------------------------------------------------------------------------------
    def put_project(self, project: Project) -> Verb[ExternalRef]:
        """Create or change the project under our code. Client and dimensions must be there: we make none up."""
        body: Row = m.PROJECT.out(project) | self._state(is_open=True) | {"pse__Is_Billable__c": True}
        body["pse__Account__r"] = {self.setting("client_field"): project.client_no}
        if self.setting("billing_type"):
            body["pse__Billing_Type__c"] = self.setting("billing_type")
        for dimension, lookup in self.setting("dimensions").items():
            if dimension in project.dimensions:
                body[lookup] = yield from self.named(m.LOOKUPS[lookup], project.dimensions[dimension], dimension)
        return (yield from self._put(PROJECT, project.project_code, body))

    def find_project(self, project: Project) -> Verb[ExternalRef | None]:
        """The project under our code, unless it is closed."""
        return self._found(project, is_open=True)

    def read_project(self, project_code: str) -> Verb[ProjectFacts]:
        """The project with its tasks and milestones."""
        row = yield from self._project(project_code)
        where = (f"pse__Project__r.{self.hub} = {soql_text(project_code)}", f"{self.hub} != null")
        keys: list[str] = []
        for entity in (TASK, MILESTONE):
            keys += [found[self.hub] for found in (yield from self.query((self.hub,), entity, where, self.hub))]
        return ProjectFacts(
            ref=self.ref(PROJECT, row["Id"]),
            project_code=project_code,
            name=row["Name"],
            currency=row["CurrencyIsoCode"],
            active=row["pse__Is_Active__c"],
            client_no=str(dig(row, f"pse__Account__r.{self.setting('client_field')}") or ""),
            tasks=task_codes(project_code, keys),
        )

    def close_project(self, project: Project) -> Verb[ExternalRef]:
        """Set the project to the cancelled stage, closed for time and expenses; it is never deleted."""
        return (yield from self._put(PROJECT, project.project_code, self._state(is_open=False), create=False))

    def find_closed(self, project: Project) -> Verb[ExternalRef | None]:
        """The project, if it is closed."""
        return self._found(project, is_open=False)

    def _state(self, is_open: bool) -> Row:
        stage = self.setting("stage_active" if is_open else "stage_cancelled")
        closed = {f"pse__Closed_for_{what}_Entry__c": not is_open for what in ("Time", "Expense")}
        return {"pse__Stage__c": stage, "pse__Is_Active__c": is_open, **closed}

    def _found(self, project: Project, is_open: bool) -> Verb[ExternalRef | None]:
        row = yield from self.record(PROJECT, self.hub, project.project_code, ("Id", "pse__Is_Active__c"))
        return self.ref(PROJECT, row["Id"]) if row and row["pse__Is_Active__c"] is is_open else None

    def _project(self, project_code: str) -> Verb[Row]:
        links = (f"pse__Account__r.{self.setting('client_field')}", f"pse__Rate_Card_Set__r.{self.hub}")
        columns = ("Id", "Name", "CurrencyIsoCode", "pse__Is_Active__c", "pse__Start_Date__c", "pse__End_Date__c")
        where = f"{self.hub} = {soql_text(project_code)}"
        rows = yield from self.query([*columns, *links], PROJECT, (where,), "Id")
        return self.there(next(iter(rows), None), f"project {project_code}")

    def put_task(self, item: TaskIn) -> Verb[ExternalRef]:
        """Create or change the task, or the milestone; a milestone's target date is the project's until people plan."""
        entity, key = self._task(item)
        body: Row = m.TASK.out(item.task) | {"pse__Project__r": {self.hub: item.project_code}}
        if entity == MILESTONE and (yield from self.record(entity, self.hub, key, ("Id",))) is None:
            project = yield from self._project(item.project_code)
            body["pse__Target_Date__c"] = project["pse__End_Date__c"] or project["pse__Start_Date__c"]
        return (yield from self._put(entity, key, body))

    def find_task(self, item: TaskIn) -> Verb[ExternalRef | None]:
        """The task or milestone under our key."""
        entity, key = self._task(item)
        row = yield from self.record(entity, self.hub, key, ("Id",))
        return self.ref(entity, row["Id"]) if row else None

    def _task(self, item: TaskIn) -> tuple[str, str]:
        return (TASK if item.task.milestone is None else MILESTONE), task_key(item.project_code, item.task.code)

    def _put(self, entity: str, key: str, body: Row, *, create: bool = True) -> Verb[ExternalRef]:
        made = yield from self.upsert(entity, self.hub, key, body, create=create)
        return self.ref(entity, made["id"])

    # -- rates -------------------------------------------------------------------------------------------------
    def put_rates(self, card: RateCardIn) -> Verb[ExternalRef]:
        """A rate card set of the project's own with a card per role and window; the project gets the set last."""
        wanted = m.to_rate_cards(card.rates, self.setting("roles"))
        named = {"Name": card.project_code, "CurrencyIsoCode": card.currency}
        owner = yield from self._put(CARD_SET, card.project_code, named)
        in_set = {"pse__Rate_Card_Set__c": owner.external_id}
        keys = {window: ":".join((card.project_code, *window)) for window in wanted}
        cost = self.setting("average_cost_rate")
        cards = [{self.hub: keys[w]} | m.to_card(card, w, rate, cost) for w, rate in wanted.items()]
        yield from self.save_all(CARD, cards, self.hub)
        currency = {"CurrencyIsoCode": card.currency}
        links = [{self.hub: key, "pse__Rate_Card__r": {self.hub: key}} | in_set | currency for key in keys.values()]
        yield from self.save_all(JUNCTION, links, self.hub)
        held = yield from self._cards(card.project_code)
        yield from self.delete_all(row["Id"] for row in held if row[self.hub] not in keys.values())
        yield from self._put(PROJECT, card.project_code, in_set, create=False)
        return owner

    def find_rates(self, card: RateCardIn) -> Verb[ExternalRef | None]:
        """The project's rate card set, if its cards are exactly these."""
        project = yield from self._project(card.project_code)
        if dig(project, f"pse__Rate_Card_Set__r.{self.hub}") != card.project_code:
            return None
        rows = yield from self._cards(card.project_code)
        found = [row["pse__Rate_Card__r"] for row in rows]
        held = {m.window_of(each): (each["pse__Suggested_Bill_Rate__c"], each["CurrencyIsoCode"]) for each in found}
        wanted = m.to_rate_cards(card.rates, self.setting("roles"))
        same = held == {window: (rate, card.currency) for window, rate in wanted.items()} and len(rows) == len(held)
        return self.ref(CARD_SET, rows[0]["pse__Rate_Card_Set__c"]) if rows and same else None

    def _cards(self, project_code: str) -> Verb[list[Row]]:
        names = ("pse__Role__c", "pse__Start_Date__c", "pse__End_Date__c", "pse__Suggested_Bill_Rate__c")
        columns = [f"pse__Rate_Card__r.{name}" for name in (*names, "CurrencyIsoCode")]
        where = f"pse__Rate_Card_Set__r.{self.hub} = {soql_text(project_code)}"
        return self.query([*columns, "Id", self.hub, "pse__Rate_Card_Set__c"], JUNCTION, (where,), "Id")

    # -- time --------------------------------------------------------------------------------------------------
    def approved_time(self, watermark: str) -> Verb[TimePage]:
        """Days of approved splits changed after the watermark; days without hours or approval are withdrawn."""
        rows = yield from self._changed(SPLIT, [*m.SPAN, *m.DAILY, *columns_of(self._time)], watermark)
        listed, undated = readable(rows, m.to_days, "Id")
        days = [day for each in listed for day in each]
        good = [day for day in days if m.is_approved(day) and day["hours"]]
        entries, unreadable = readable(good, self._to_time_entry)
        counted = {day["id"] for day in good}
        gone = tuple(m.to_withdrawn(day, day["id"], self.system) for day in days if day["id"] not in counted)
        stamp = latest_stamp(rows, watermark)
        return TimePage(entries=entries, watermark=stamp, unreadable=undated + unreadable, withdrawn=gone)

    def _to_time_entry(self, day: Row) -> TimeEntry:
        facts = {"role": "", "cost_currency": day["CurrencyIsoCode"], **self._facts(self._time, day)}
        ours = {name: role for role, name in self.setting("roles").items()}
        facts["role"] = ours.get(facts["role"], facts["role"])
        return TimeEntry(**facts, source_id=day["id"], service_date=day["day"], hours=day["hours"], note=day["note"])

    def mark_invoiced(self, billed: InvoicedTime) -> Verb[ExternalRef]:
        """Set the splits billed and invoiced, with the number. PSA's own rules refuse what is not approved there.

        A split whose days go on several invoices carries all their numbers; its date stays that of the first.
        """
        records = []
        for row in (yield from self._splits(billed)):
            numbers = _numbers(row)
            body: Row = {"id": row["Id"], "pse__Billed__c": True, "pse__Invoiced__c": True}
            body |= {} if row["pse__Invoiced__c"] else {"pse__Invoice_Date__c": billed.issue_date.isoformat()}
            body["pse__Invoice_Number__c"] = ", ".join(dict.fromkeys((*numbers, billed.number)))
            records.append(body)
        yield from self.save_all(SPLIT, records)
        return self.ref("invoice", billed.number)

    def find_invoiced(self, billed: InvoicedTime) -> Verb[ExternalRef | None]:
        """The mark, if every split is billed and invoiced under the number. An invoice without hours marks nothing."""
        rows = yield from self._splits(billed)
        marked = (r["pse__Billed__c"] and r["pse__Invoiced__c"] and billed.number in _numbers(r) for r in rows)
        return self.ref("invoice", billed.number) if all(marked) else None

    def _splits(self, billed: InvoicedTime) -> Verb[list[Row]]:
        ids = sorted({source_id(key, self.system).partition("-")[0] for key in billed.entry_keys})
        columns = ("Id", "pse__Billed__c", "pse__Invoiced__c", "pse__Invoice_Number__c")
        rows: list[Row] = []
        for some in chunks(ids, self.together):
            rows += yield from self.query(columns, SPLIT, (f"Id IN {soql_texts(some)}",), "Id")
        missing = sorted(set(ids) - {row["Id"] for row in rows})
        if missing:
            raise self.refusal(f"certinia has no timecard split {', '.join(missing)}", "SPLIT", "entry_keys")
        return rows

    # -- expenses and milestones -------------------------------------------------------------------------------
    def approved_expenses(self, watermark: str) -> Verb[ExpensePage]:
        """Approved expenses changed after the watermark; those deleted or not approved are withdrawn."""
        rows = yield from self._changed(EXPENSE, ["pse__Approved__c", *columns_of(self._expense)], watermark)
        good = [row for row in rows if m.is_approved(row)]
        expenses, unreadable = readable(good, lambda row: Expense(**self._facts(self._expense, row)), "Id")
        gone = tuple(m.to_withdrawn(row, row["Id"], self.system) for row in rows if not m.is_approved(row))
        stamp = latest_stamp(rows, watermark)
        return ExpensePage(expenses=expenses, watermark=stamp, unreadable=unreadable, withdrawn=gone)

    def milestones_changed(self, watermark: str) -> Verb[MilestonePage]:
        """Milestones of our making changed after the watermark. A status nobody has mapped is not guessed."""
        columns = [self.hub, f"pse__Project__r.{self.hub}", "pse__Status__c", *columns_of(m.MILESTONE)]
        rows = yield from self._changed(MILESTONE, columns, watermark, f"{self.hub} != null")
        milestones, unreadable = readable(rows, self._to_milestone, "Id")
        return MilestonePage(milestones=milestones, watermark=latest_stamp(rows, watermark), unreadable=unreadable)

    def _to_milestone(self, row: Row) -> MilestoneStatus:
        code = str(dig(row, f"pse__Project__r.{self.hub}"))
        line_uid, number = milestone_of(row[self.hub].removeprefix(task_key(code, "")))
        state = self.own_state("milestone_states", "deleted" if row["IsDeleted"] else row["pse__Status__c"])
        where = {"project_code": code, "line_uid": line_uid, "number": number, "state": state}
        return MilestoneStatus(source=self.system, **where, **m.MILESTONE.back(row))

    # -- what changes have in common ---------------------------------------------------------------------------
    def _changed(self, entity: str, columns: list[str], watermark: str, *more: str) -> Verb[list[Row]]:
        """Records of our projects that have changed, deleted ones too."""
        where = (f"pse__Project__r.{self.hub} != null", self.changed_since(watermark), *more)
        return self.query([*m.CHANGE, *columns], entity, where, "SystemModstamp, Id", deleted=True)

    def _facts(self, table: Table, row: Row) -> Row:
        """What the row says. Its milestone names the task, else its assignment; neither is empty, not unreadable."""
        facts = {"source": self.system, "approved_by": f"{self.system}: no approver named", **table.back(row)}
        key = next(filter(None, [facts.pop(name, "") for name in ("milestone", "task")]), "")
        return facts | {"task_code": key.removeprefix(task_key(facts["project_code"], ""))}


def _numbers(row: Row) -> list[str]:
    """The invoices a split is on."""
    return [number for number in (row["pse__Invoice_Number__c"] or "").split(", ") if number]
