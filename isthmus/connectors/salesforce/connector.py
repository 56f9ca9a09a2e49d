"""Salesforce fills Crm: contract terms from Contract and its CPQ quote, and the hub's status on the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from isthmus.connectors.salesforce import mapping as m
from isthmus.domain.errors import BadInput, StaleRead
from isthmus.domain.objects import ContractVersion, ExternalRef
from isthmus.kit.capture import LogPage, from_event_log, is_echo, moment_of, text_of
from isthmus.kit.contract_rows import SETTINGS, ContractRows
from isthmus.kit.eventbus import GONE, listen
from isthmus.kit.mapping import Table, to_utc
from isthmus.kit.paging import PAGES_MAX
from isthmus.kit.soql import SoqlConnector, columns_under, latest_stamp, soql_text
from isthmus.kit.wire import Row, Verb, dig
from isthmus.ports.messages import ContractNotice, ContractNotices, ContractStatus


class Salesforce(SoqlConnector):
    """Salesforce with CPQ. settings: fields (our name to the firm's, by object), dimensions, billing_types; event_bus,
    organization_id and listen_seconds (how long a look listens) where changes are heard by the Pub/Sub API.
    """

    defaults: ClassVar = {"event_bus": "", "organization_id": "", "listen_seconds": "2"}
    settings_known = SETTINGS | frozenset(defaults)

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._rows = ContractRows(self.system, m.SHAPE, self.settings)

    def tables(self) -> dict[str, Table]:
        """The tables under the firm's own names."""
        return {**self._rows.tables, "dimensions": self._rows.dimensions}

    # -- Crm -----------------------------------------------------------------------------------------------------
    def contracts_changed(self, watermark: str) -> Verb[ContractNotices]:
        """Activated contracts changed since the watermark, oldest first: by change events where the firm has them."""
        number, version = (self._rows.theirs("contract", name) for name in ("contract_no", "version"))
        since = moment_of(watermark)
        if self.setting("event_bus"):
            marks = watermark if watermark.startswith("{") else text_of(since=since)
            rows, watermark, _ = yield from from_event_log(self._heard, self._swept, marks)
        else:
            rows, watermark = yield from self._swept(since)
        notices = tuple(
            ContractNotice(
                message_id=f"{row['Id']}:{row['SystemModstamp']}",
                # Without a number the contract cannot be read, and reading it says so: it is not passed over here.
                contract_no=row[number] or row["Id"],
                version=int(row[version] or 0),
                changed_at=row["SystemModstamp"],
            )
            for row in rows
        )
        return ContractNotices(notices=notices, watermark=watermark)

    def _noticed(self) -> list[str]:
        return [*(self._rows.theirs("contract", name) for name in ("contract_no", "version")), "SystemModstamp"]

    def _swept(self, since: str) -> Verb[tuple[list[Row], str]]:
        """Contracts changed since a moment less the overlap, and the moment after them."""
        conditions = (m.ACTIVATED, self.changed_since(since))
        rows = yield from self.query("Contract", self._noticed(), *conditions, order="SystemModstamp, Id")
        return rows, latest_stamp(rows, since)

    def _heard(self, position: str) -> Verb[LogPage]:
        """Contracts that change events after a place speak of, as they are now; the hub's own changes are no news.

        Without a place it tells the one after all that is kept. An event that names no single record is a gap: a sweep.
        """
        bus, tenant = str(self.setting("event_bus")), self.needed("organization_id")
        place, events, more = position, list[Row](), True
        for _ in range(1 if position else PAGES_MAX):
            if not more:
                break
            answer = yield listen(bus, m.CHANGES, place, tenant, float(self.setting("listen_seconds")))
            if answer.status == GONE:
                return LogPage([], position, gone=True)
            place, more = answer.body["position"], answer.body["more"]
            events += answer.body["events"] if position else []
        ids = m.records_of([one for one in events if not is_echo(self.manifest.capture.origin, one, self.settings)])
        rows = yield from self.query_each("Contract", self._noticed(), ids - {m.ANY}, m.ACTIVATED)
        at = max((one["ChangeEventHeader"]["commitTimestamp"] for one in events), default=0)
        told = to_utc(at).isoformat() if at else ""
        return LogPage(rows, place, at=told, more=more and bool(position), gone=m.ANY in ids)

    def read_contract(self, contract_no: str) -> Verb[ContractVersion]:
        """The contract with its client and the lines of its quote. StaleRead while CPQ recalculates the prices."""
        columns = [*self._rows.columns("contract"), *columns_under("Account", self._rows.columns("client", "address"))]
        where = f"{self._rows.theirs('contract', 'contract_no')} = {soql_text(contract_no)}"
        rows = yield from self.query("Contract", columns, where)
        contract = self.there(next(iter(rows), None), f"contract {contract_no}")
        terms = self._rows.terms(contract, contract_no)
        where = f"SBQQ__Quote__c = {soql_text(terms['quote'])}"
        columns = [*self._rows.columns("line"), m.UNCALCULATED]
        found = yield from self.query("SBQQ__QuoteLine__c", columns, where, order="SBQQ__Number__c, Id")
        if not found:
            raise BadInput(f"contract {contract_no}: its quote {terms['quote']} has no lines")
        if any(dig(row, m.UNCALCULATED) for row in found):
            raise StaleRead(f"contract {contract_no}: CPQ has not calculated the prices of quote {terms['quote']} yet")
        return self._rows.version(terms, contract, contract["Account"] or {}, found)

    def report_status(self, status: ContractStatus) -> Verb[ExternalRef]:
        """Show state and money on the contract. updateOnly: a wrong number must not make a new contract."""
        number = self._rows.theirs("contract", "contract_no")
        body = self._rows.status_body(status, None)
        return self.upsert("Contract", number, status.contract_no, body, create=False)

    def find_status(self, status: ContractStatus) -> Verb[ExternalRef | None]:
        """The contract, if it shows this status; read by external id, which is served from the primary."""
        number, columns = self._rows.theirs("contract", "contract_no"), self._rows.columns("status")
        contract = yield from self.record("Contract", number, status.contract_no, columns)
        return self.ref("Contract", contract["id"]) if contract and self._rows.shows(contract, status) else None
