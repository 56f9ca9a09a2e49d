"""HubSpot fills Crm: contract terms from a won deal with its line items, and the hub's status on the deal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from isthmus.connectors.hubspot import mapping as m
from isthmus.domain.errors import BadInput, NeedsSetup, StaleRead
from isthmus.domain.objects import BillingType, ContractVersion, ExternalRef
from isthmus.kit.connector import Connector
from isthmus.kit.contract_rows import SETTINGS, ContractRows, amount
from isthmus.kit.drift import Described, RemoteField
from isthmus.kit.mapping import Table
from isthmus.kit.paging import Page, by_cursor, by_last_change, in_batches, latest
from isthmus.kit.wire import Request, Row, Verb, dig
from isthmus.ports.messages import ContractNotice, ContractNotices, ContractStatus

BATCH_MAX, LINKS_MAX = 100, 500  # records a batch reads, associations a page holds


class Hubspot(Connector):
    """HubSpot. settings: fields (our name to the firm's, by object), dimensions, billing_types; objects (which object
    is contract, line, client), signed_stages; objects_path, associations_path, properties_path (the API's version).
    """

    defaults = m.DEFAULTS
    settings_known = SETTINGS | frozenset(defaults) | {"signed_stages"}

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._rows = ContractRows(self.system, m.SHAPE, self.settings)
        self._objects = self.setting("objects")
        if set(self._objects) != set(m.OBJECTS):
            unknown, known = ", ".join(set(self._objects) - set(m.OBJECTS)), ", ".join(m.OBJECTS)
            raise NeedsSetup(f"hubspot: objects: unknown {unknown}; known: {known}")
        self._signed: Sequence[str] = self.settings.get("signed_stages", m.SIGNED_STAGES)

    def tables(self) -> dict[str, Table]:
        """The tables under the firm's own names, each at the object that holds its fields."""
        known = {**self._rows.tables, "dimensions": self._rows.dimensions}
        return {name: table.at(self._objects[m.KEPT_BY[name]]) for name, table in known.items()}

    def describe(self, there: str) -> Verb[Described]:
        """The properties of an object; read-only ones are the vendor's own, such as ids and moments."""
        answer = yield Request("GET", f"{self.setting('properties_path')}/{there}")
        rows = answer.body["results"]
        return {
            row["name"]: RemoteField(not (row.get("modificationMetadata") or {}).get("readOnlyValue")) for row in rows
        }

    # -- Crm -----------------------------------------------------------------------------------------------------
    def contracts_changed(self, watermark: str) -> Verb[ContractNotices]:
        """Deals in a signed stage that were changed since the watermark less the overlap, oldest first."""
        number, version, stage = (self._rows.theirs("contract", name) for name in ("contract_no", "version", "stage"))
        wanted = [number, version, m.MODIFIED]

        def ask(since: datetime | None, place: int) -> Verb[Page]:
            filters: list[Row] = [{"propertyName": stage, "operator": "IN", "values": list(self._signed)}]
            if since is not None:
                moment = str(int(since.timestamp() * 1000))
                filters.append({"propertyName": m.MODIFIED, "operator": "GTE", "value": moment})
            asked = {
                "filterGroups": [{"filters": filters}],
                "sorts": [m.MODIFIED],  # ascending; a minus before it would turn it round
                "properties": wanted,
                "limit": self.manifest.page_size,
                "after": str(place * self.manifest.page_size),
            }
            answer = yield Request("POST", self._path("contract", "search"), json=asked, writes=False)
            rows = [self._held(row, wanted) for row in answer.body["results"]]
            return Page(rows, dig(answer.body, "paging.next.after") is not None, answer.body["total"])

        rows = yield from by_last_change(ask, self.since(watermark), m.MODIFIED)
        notices = tuple(
            ContractNotice(
                message_id=f"{row['id']}:{row[m.MODIFIED]}",
                # Without a number the contract cannot be read, and reading it says so: it is not passed over here.
                contract_no=row[number] or row["id"],
                version=m.whole(row[version] or "0"),
                changed_at=row[m.MODIFIED],
            )
            for row in rows
        )
        return ContractNotices(notices=notices, watermark=latest(rows, m.MODIFIED, watermark))

    def read_contract(self, contract_no: str) -> Verb[ContractVersion]:
        """The deal with its company and line items. StaleRead when it was changed while they were read."""
        found = yield from self._by_number(contract_no, self._rows.columns("contract"))
        deal = self.there(found, f"{self._objects['contract']} with the number {contract_no}")
        terms = self._rows.terms(deal, contract_no)
        if terms["stage"] not in self._signed:
            raise BadInput(
                f"contract {contract_no} is in stage {terms['stage']}: {' and '.join(self._signed)} is signed"
            )
        lines = yield from self._lines(deal["id"], contract_no)
        company = yield from self._company(deal["id"], contract_no)
        again = yield from self._by_number(contract_no, [m.MODIFIED])
        if again is None or again[m.MODIFIED] != deal[m.MODIFIED]:
            raise StaleRead(f"contract {contract_no} was changed while it was read")
        return self._rows.version(terms, deal, company, lines)

    def report_status(self, status: ContractStatus) -> Verb[ExternalRef]:
        """Show state and money on the deal. An update by number, not an upsert: a wrong one must not make a deal."""
        answer = yield Request(
            "PATCH",
            self._path("contract", quote(status.contract_no, safe="")),
            query={"idProperty": self._rows.theirs("contract", "contract_no")},
            json={"properties": {name: str(value) for name, value in self._rows.status_body(status, "").items()}},
        )
        return self.ref(self._objects["contract"], answer.body["id"])

    def find_status(self, status: ContractStatus) -> Verb[ExternalRef | None]:
        """The deal, if it shows this status; read by its number, which search has no part in."""
        deal = yield from self._by_number(status.contract_no, self._rows.columns("status"))
        shown = deal is not None and self._rows.shows(deal, status)
        return self.ref(self._objects["contract"], deal["id"]) if deal and shown else None

    # -- requests ------------------------------------------------------------------------------------------------
    def _path(self, what: str, *more: str) -> str:
        return "/".join([self.setting("objects_path"), self._objects[what], *more])

    def _by_number(self, contract_no: str, columns: Iterable[str]) -> Verb[Row | None]:
        """The deal with this number, from the primary; None when there is none."""
        wanted = [*dict.fromkeys(columns)]
        query = {"idProperty": self._rows.theirs("contract", "contract_no"), "properties": ",".join(wanted)}
        path = self._path("contract", quote(contract_no, safe=""))
        answer = yield Request("GET", path, query=query, allow=(404,))
        return None if answer.status == 404 else self._held(answer.body, wanted)

    def _lines(self, deal_id: str, contract_no: str) -> Verb[list[Row]]:
        """The line items in their order on the quote."""
        links = yield from self._linked(deal_id, "line")
        wanted = self._rows.columns("line")

        def ask(ids: list[str]) -> Verb[list[Row]]:
            asked = {"inputs": [{"id": each} for each in ids], "properties": wanted, "propertiesWithHistory": []}
            answer = yield Request("POST", self._path("line", "batch/read"), json=asked, writes=False)
            if answer.status == 207:
                raise BadInput(
                    f"contract {contract_no}: line items cannot be read: {dig(answer.body, 'errors.0.message')}"
                )
            return [self._held(row, wanted) for row in answer.body["results"]]

        rows = yield from in_batches((link["toObjectId"] for link in links), BATCH_MAX, ask)
        if not rows:
            raise BadInput(f"contract {contract_no}: its deal has no line items")
        for row in rows:
            self._refuse_discount(row, contract_no)
        place = self._rows.theirs("line", "number")
        # Those without a place come last, in the order they were made in.
        return sorted(rows, key=lambda row: (not row.get(place), amount(row.get(place) or 0), int(row["id"])))

    def _refuse_discount(self, row: Row, contract_no: str) -> None:
        """A price per hour less a discount is no rate anybody has agreed to: the net rate has a property of its own."""
        line = self._rows.tables["line"].back(row)
        discounted = line.get("discount") or line.get("discount_percent")
        if discounted and "rate" not in line and self._rows.billing_type(line) is BillingType.TM:
            where = f"contract {contract_no}: line {line.get('line_uid', row['id'])}"
            raise BadInput(f"{where} has a discount: put its net rate into {self._rows.theirs('line', 'rate')}")

    def _company(self, deal_id: str, contract_no: str) -> Verb[Row]:
        """The company that buys: the primary one, or the only one."""
        links = yield from self._linked(deal_id, "client")
        primary = [one for one in links if any(t["typeId"] == m.PRIMARY_COMPANY for t in one["associationTypes"])]
        chosen = primary or links
        if len(chosen) != 1:
            raise BadInput(f"contract {contract_no}: its deal has {len(links)} companies, none of them the primary one")
        wanted = list(dict.fromkeys(self._rows.columns("client", "address")))
        path = self._path("client", str(chosen[0]["toObjectId"]))
        answer = yield Request("GET", path, query={"properties": ",".join(wanted)})
        return self._held(answer.body, wanted)

    def _linked(self, deal_id: str, what: str) -> Verb[list[Row]]:
        """Associations of the deal, page by page."""
        start = f"{self.setting('associations_path')}/{self._objects['contract']}/{deal_id}/associations"

        def ask(cursor: str) -> Verb[tuple[list[Row], str]]:
            query = {"limit": LINKS_MAX, **({"after": cursor} if cursor else {})}
            answer = yield Request("GET", f"{start}/{self._objects[what]}", query=query)
            return answer.body["results"], dig(answer.body, "paging.next.after") or ""

        return (yield from by_cursor(ask))

    # -- answers -------------------------------------------------------------------------------------------------
    def _held(self, record: Row, wanted: Sequence[str]) -> Row:
        """The properties of a record, with its id. NeedsSetup when one is not there at all.

        HubSpot answers null for a property that is empty, and leaves one that it does not have out without a word: a
        misspelt name would read as an empty field.
        """
        held = record["properties"]
        missing = [name for name in wanted if name not in held]
        if missing:
            raise NeedsSetup(f"hubspot has no property {', '.join(missing)}, or hides it: see the setting fields")
        return {**held, "id": record["id"]}
