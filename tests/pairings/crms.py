"""CRMs of the pairing tests: how each is connected, and the people who sell there."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from isthmus.app.demo import world
from isthmus.app.demo.firm import connections
from isthmus.app.demo.world import Deal
from isthmus.sandbox.server import Running

if TYPE_CHECKING:
    from tests.pairings.pair import Pair


class Crm(Protocol):
    """How a test looks at a CRM's sandbox, and is its sales team."""

    system: str

    def connection(self, folder: Path, served: Running) -> dict[str, Any]:
        """The connection of the firm folder."""

    def win(self, pair: Pair, deal: Deal, entity: str) -> None:
        """The deal is won and its contract signed."""

    def shown(self, pair: Pair) -> dict[str, Any]:
        """What the hub has put on the contract: state, billed, paid, last invoice."""


class Salesforce:
    """Salesforce with CPQ, as the demo has it. hears: its changes are heard by the Pub/Sub API instead of polled."""

    system: ClassVar[str] = "salesforce"

    def __init__(self, hears: bool = False) -> None:
        self.hears = hears

    def connection(self, folder: Path, served: Running) -> dict[str, Any]:
        """See Crm."""
        [made] = connections(folder, {self.system: served})
        known = served.sandbox.credentials()
        bus = {"event_bus": known["pubsub_url"], "organization_id": known["organization_id"], "listen_seconds": "0.2"}
        return made | {"settings": made["settings"] | bus} if self.hears else made

    def win(self, pair: Pair, deal: Deal, entity: str) -> None:
        """See Crm."""
        ids: dict[str, str] = {}
        for name, record in world.salesforce_records(deal, world.price_list(), ids):
            row = {k: ids.get(v[1:], v) if isinstance(v, str) and v.startswith("@") else v for k, v in record.items()}
            row |= {"Legal_Entity__c": entity} if name == "Contract" else {}
            ids[name] = pair.control(self.system, "seed", {name: [row]})[name][0]["Id"]

    def shown(self, pair: Pair) -> dict[str, Any]:
        """See Crm."""
        [row] = pair.state(self.system, "Contract")
        names = {"state": "Status", "billed": "Billed", "paid": "Paid", "last_invoice": "Last_Invoice"}
        return {ours: row[f"Hub_{theirs}__c"] for ours, theirs in names.items()}


class HubSpot:
    """HubSpot: a won deal with its company and line items."""

    system: ClassVar[str] = "hubspot"

    def connection(self, folder: Path, served: Running) -> dict[str, Any]:
        """See Crm."""
        return {
            "name": self.system,
            "connector": self.system,
            "base_url": served.url,
            "auth": "bearer",
            "fills": ["Crm"],
            "writes_as": "crm",
            "secrets": {"token": f"demo:{served.sandbox.credentials()['access_token']}"},
        }

    def win(self, pair: Pair, deal: Deal, entity: str) -> None:
        """See Crm."""
        company = {"name": deal.client, "client_no": deal.client_no, "address": "1 Main St", "city": deal.city}
        company |= {"state": "NY", "zip": deal.postal_code, "hs_country_code": "US", "billing_currency": "USD"}
        buyer = self._seed(pair, "companies", company)
        lines = []
        for place, line in enumerate(deal.lines, start=1):
            row: dict[str, Any] = {"name": line.title, "line_uid": line.uid, "hs_position_on_quote": place}
            row |= {
                "billing_type": line.billing,
                "role": line.role,
                "billing_unit": "Hour",
                "tax_class": line.tax_class,
            }
            row["bill_rate"] = str(world.price_list()[line.role].bill_rate)
            lines.append(self._seed(pair, "line_items", row | {"hs_line_item_currency_code": "USD"}))
        terms = {"dealname": deal.client, "contract_no": deal.contract_no, "contract_version": 1}
        terms |= {"dealstage": "closedwon", "deal_currency_code": "USD", "legal_entity": entity}
        terms |= {"payment_terms": "NET30", "contract_start_date": deal.start.isoformat()}
        terms |= {"effective_date": deal.start.isoformat(), "signed_on": (deal.start - timedelta(days=3)).isoformat()}
        terms |= {"legal_approved_by": "lea.legal", "finance_approved_by": "finn.finance"}
        terms |= {"practice": deal.practice, "cost_center": deal.cost_center}
        terms |= {"billing_cap": str(deal.cap), "cap_kind": "hard"} if deal.cap else {}
        links = {"companies": [[buyer, 5]], "line_items": lines}
        self._seed(pair, "deals", terms | {"associations": links})
        pair.clock.move(timedelta(minutes=1))  # its search shows a change after some seconds
        pair.tell_time()

    def shown(self, pair: Pair) -> dict[str, Any]:
        """See Crm."""
        [row] = pair.state(self.system, "deals")
        return {name: row["properties"][f"hub_{name}"] for name in ("billed", "paid", "last_invoice")} | {
            "state": row["properties"]["hub_status"]
        }

    def _seed(self, pair: Pair, kind: str, record: dict[str, Any]) -> str:
        made = pair.control(self.system, "seed", {kind: [record]})
        return str(made[kind][0]["id"])


SALESFORCE = Salesforce()
