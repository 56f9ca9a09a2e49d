"""PSAs of the pairing tests: how each is connected, and the people who work there."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from isthmus.app.demo import world
from isthmus.app.demo.firm import connections
from isthmus.app.demo.world import Deal
from isthmus.sandbox.jira.reference import AMARA, BELA, PETRA
from isthmus.sandbox.server import Running

if TYPE_CHECKING:
    from tests.pairings.pair import Pair

Days = tuple[tuple[date, str, str], ...]


class Psa(Protocol):
    """How a test looks at a PSA's sandbox, and is the people who work there."""

    system: str

    def connection(self, served: Running) -> dict[str, Any]:
        """The connection of the firm folder."""

    def open_office(self, pair: Pair, deal: Deal) -> None:
        """What is there before the hub comes: clients and people."""

    def work(self, pair: Pair, project: str, deal: Deal, days: Days) -> None:
        """Approved time of the deal's project: (day, line, hours)."""

    def numbers(self, pair: Pair) -> list[str]:
        """The invoice each piece of work shows."""


def roles(deal: Deal) -> dict[str, str]:
    """Role by line."""
    return {line.uid: line.role for line in deal.lines}


class Kantata:
    """Kantata, as the demo has it."""

    system: ClassVar[str] = "kantata"

    def connection(self, served: Running) -> dict[str, Any]:
        """See Psa."""
        [made] = connections(Path(), {self.system: served})
        return made

    def open_office(self, pair: Pair, deal: Deal) -> None:
        """See Psa. Its people are there from the start."""

    def work(self, pair: Pair, project: str, deal: Deal, days: Days) -> None:
        """See Psa."""
        rows = [
            {
                "workspace_id": pair.remote(project, self.system),
                "story_id": pair.remote(f"{project}:{line}", self.system),
                "user_id": world.TEAM[roles(deal)[line]][0],
                "date_performed": day.isoformat(),
                "time_in_minutes": int(Decimal(hours) * 60),
                "notes": f"Work of {day}",
                "approved": True,
                "billable": True,
            }
            for day, line, hours in days
        ]
        pair.control(self.system, "seed", {"time_entries": rows})

    def numbers(self, pair: Pair) -> list[str]:
        """The invoice each piece of work shows."""
        told = {row["id"]: row["user_invoice_number"] for row in pair.state(self.system, "invoices")}
        return [told.get(row.get("invoice_id"), "") for row in pair.state(self.system, "time_entries")]


KANTATA = Kantata()


class Jira:
    """Jira: whoever has moved the issue to Approved has approved its work logs. It knows neither roles nor rates."""

    system: ClassVar[str] = "jira"
    accounts: ClassVar[dict[str, tuple[str, str]]] = {
        "HM-PM": (PETRA, "Program Manager I"),
        "HM-SE": (AMARA, "Software Engineer II"),
        "HM-BA": (BELA, "Business Analyst II"),
    }

    def connection(self, served: Running) -> dict[str, Any]:
        """See Psa."""
        known = served.sandbox.credentials()
        people = {account: world.TEAM[role][1] for account, role in self.accounts.values()}
        return {
            "name": self.system,
            "connector": self.system,
            "base_url": f"{served.url}/rest/api/3",
            "auth": "basic",
            "fills": ["Psa", "TimeSource", "Delivery"],
            "writes_as": "psa",
            "settling_seconds": 0,
            "secrets": {"username": f"demo:{known['email']}", "password": f"demo:{known['api_token']}"},
            "settings": {
                "projects": {"US01": "CONS"},
                "approval": "issue_status",
                "approved_statuses": "Approved",
                "persons": people,
                "roles": {world.TEAM[role][1]: role for _, role in self.accounts.values()},
            },
        }

    def open_office(self, pair: Pair, deal: Deal) -> None:
        """See Psa. Its people are there from the start."""

    def work(self, pair: Pair, project: str, deal: Deal, days: Days) -> None:
        """See Psa. Logged ten minutes ago: lists of changes leave out the last minute."""
        stamp = (pair.clock.now() - timedelta(minutes=10)).isoformat()
        for day, line, hours in days:
            issue = self._issue(pair, f"{project}:{line}")
            log = {"issue": issue, "author": self.accounts[line][0], "started": f"{day}T15:00:00.000+0000"}
            spent = {"timeSpentSeconds": int(Decimal(hours) * 3600), "created": stamp, "updated": stamp}
            pair.control(self.system, "seed", {"worklog": [log | spent]})
            pair.control(self.system, "seed", {"issue": [{"id": issue, "status": "Approved", "status_at": stamp}]})

    def mark(self, pair: Pair, deal: Deal) -> None:
        """The site's automation has put its mark on the epic and tasks that people have made for the deal's project."""
        code = f"P-{deal.contract_no}"

        def marked(mark: dict[str, str], **fields: Any) -> str:
            record = {"project": "CONS", "properties": {"isthmus": mark}, **fields}
            record["labels"] = ["isthmus", f"isthmus-{mark['key'].replace(':', '_3A')}"]
            return str(pair.control(self.system, "seed", {"issue": [record]})["issue"][0]["id"])

        epic = marked({"kind": "epic", "key": code}, summary=deal.client, type="Epic")
        for line in deal.lines:
            task = {"kind": "task", "key": f"{code}:{line.uid}", "code": line.uid, "project": code}
            marked(task, summary=line.title, parent={"id": epic})

    def _issue(self, pair: Pair, key: str) -> str:
        marks = {row["id"]: row["properties"].get("isthmus", {}) for row in pair.state(self.system, "issue")}
        [found] = [issue for issue, mark in marks.items() if mark.get("key") == key]
        return str(found)

    def take_back(self, pair: Pair) -> None:
        """Somebody deletes the first work log."""
        first = pair.state(self.system, "worklog")[0]
        pair.control(self.system, "seed", {"worklog": [{"id": first["id"], "deleted": True}]})
        pair.clock.move(timedelta(minutes=2))
        pair.tell_time()

    def numbers(self, pair: Pair) -> list[str]:
        """The invoice each piece of work shows."""
        return [row["properties"]["isthmus-invoice"]["numbers"][0] for row in pair.state(self.system, "worklog")]


class Certinia:
    """Certinia PSA: a timecard per week and assignment, approved and included in financials."""

    system: ClassVar[str] = "certinia"

    def connection(self, served: Running) -> dict[str, Any]:
        """See Psa."""
        known = served.sandbox.credentials()
        names = ("consumer_key", "username", "audience", "private_key")
        return {
            "name": self.system,
            "connector": self.system,
            "base_url": served.url,
            "auth": "jwt_bearer",
            "fills": ["Psa", "RateBook", "TimeSource", "ExpenseSource", "Delivery"],
            "writes_as": "psa",
            "secrets": {name: f"demo:{known[name]}" for name in names},
        }

    def open_office(self, pair: Pair, deal: Deal) -> None:
        """See Psa."""
        self._seed(pair, "Account", {"Name": deal.client, "Client_No__c": deal.client_no})
        for role in roles(deal).values():
            email = world.TEAM[role][1]
            person = {"LastName": email.partition("@")[0], "Email": email}
            self._seed(pair, "Contact", person | {"pse__Is_Resource__c": True, "pse__Is_Resource_Active__c": True})

    def work(self, pair: Pair, project: str, deal: Deal, days: Days) -> None:
        """See Psa. Each day goes on its line's card of that week."""
        people = {row["Email"]: row["Id"] for row in pair.state(self.system, "Contact")}
        for line in sorted({line for _, line, _ in days}):
            place = {
                "pse__Project__c": pair.remote(project, self.system),
                "pse__Resource__c": people[world.TEAM[roles(deal)[line]][1]],
            }
            role = {"pse__Role__c": roles(deal)[line], "pse__Is_Billable__c": True, "pse__Bill_Rate__c": 100}
            staffed = self._seed(pair, "pse__Assignment__c", place | role | {"Hub_Task__c": f"{project}:{line}"})
            monday = min(day - timedelta(days=day.weekday()) for day, _, _ in days)
            span = {"pse__Start_Date__c": monday, "pse__End_Date__c": monday + timedelta(days=6)}
            card = {**place, **span, "pse__Assignment__c": staffed["Id"], "pse__Status__c": "Approved"}
            worked = {f"pse__{day:%A}_Hours__c": float(hours) for day, uid, hours in days if uid == line}
            shown = {"pse__Include_In_Financials__c": True}
            self._seed(pair, "pse__Timecard_Header__c", {**card, **worked, **shown})

    def take_back(self, pair: Pair) -> None:
        """The Monday of the developer's card is set to nothing."""
        cards = pair.state(self.system, "pse__Timecard_Header__c")
        [card] = [row for row in cards if row["pse__Monday_Hours__c"]]
        self._seed(pair, "pse__Timecard_Header__c", {"Id": card["Id"], "pse__Monday_Hours__c": 0})

    def numbers(self, pair: Pair) -> list[str]:
        """The invoice each piece of work shows."""
        return [row["pse__Invoice_Number__c"] for row in pair.state(self.system, "pse__Timecard__c")]

    def _seed(self, pair: Pair, entity: str, record: dict[str, Any]) -> dict[str, Any]:
        told = {name: str(value) if isinstance(value, date) else value for name, value in record.items()}
        made: dict[str, Any] = pair.control(self.system, "seed", {entity: [told]})[entity][0]
        return made
