"""Salesforce fills Crm: contract terms from Contract and its CPQ quote, and the hub's status on the contract."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from isthmus.connectors.salesforce import mapping as m
from isthmus.domain.errors import BadInput, NotFound, StaleRead
from isthmus.domain.objects import ContractVersion, ExternalRef
from isthmus.kit.contract_rows import SETTINGS, ContractRows
from isthmus.kit.mapping import Table
from isthmus.kit.soql import OURS, SoqlConnector, columns_under, latest_stamp, soql_text
from isthmus.kit.wire import Request, Verb, dig
from isthmus.ports.messages import ContractNotice, ContractNotices, ContractStatus


class Salesforce(SoqlConnector):
    """Salesforce with CPQ. settings: fields (our name to the firm's, by object), dimensions, billing_types."""

    settings_known = SETTINGS

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        self._rows = ContractRows(self.system, m.SHAPE, self.settings)

    def tables(self) -> dict[str, Table]:
        """The tables under the firm's own names."""
        return {**self._rows.tables, "dimensions": self._rows.dimensions}

    # -- Crm -----------------------------------------------------------------------------------------------------
    def contracts_changed(self, watermark: str) -> Verb[ContractNotices]:
        """Activated contracts changed since the watermark less the overlap, oldest first."""
        number, version = (self._rows.theirs("contract", name) for name in ("contract_no", "version"))
        where = ("Status = 'Activated'", self.changed_since(watermark))
        columns = ("Id", number, version, "SystemModstamp")
        rows = yield from self.query(columns, "Contract", where, "SystemModstamp, Id")
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
        return ContractNotices(notices=notices, watermark=latest_stamp(rows, watermark))

    def read_contract(self, contract_no: str) -> Verb[ContractVersion]:
        """The contract with its client and the lines of its quote. StaleRead while CPQ recalculates the prices."""
        columns = [*self._rows.columns("contract"), *columns_under("Account", self._rows.columns("client", "address"))]
        where = f"{self._rows.theirs('contract', 'contract_no')} = {soql_text(contract_no)}"
        rows = yield from self.query(columns, "Contract", (where,), "Id")
        if not rows:
            raise NotFound(f"salesforce has no contract {contract_no}")
        terms = self._rows.terms(rows[0], contract_no)
        where = f"SBQQ__Quote__c = {soql_text(terms['quote'])}"
        columns = [*self._rows.columns("line"), m.UNCALCULATED]
        found = yield from self.query(columns, "SBQQ__QuoteLine__c", (where,), "SBQQ__Number__c, Id")
        if not found:
            raise BadInput(f"contract {contract_no}: its quote {terms['quote']} has no lines")
        if any(dig(row, m.UNCALCULATED) for row in found):
            raise StaleRead(f"contract {contract_no}: CPQ has not calculated the prices of quote {terms['quote']} yet")
        return self._rows.version(terms, rows[0], rows[0]["Account"] or {}, found)

    def report_status(self, status: ContractStatus) -> Verb[ExternalRef]:
        """Show state and money on the contract. updateOnly: a wrong number must not make a new contract."""
        answer = yield Request(
            "PATCH",
            self._by_number(status.contract_no),
            query={"updateOnly": "true"},
            json=self._rows.status_body(status, None),
            headers=OURS,
        )
        return self.ref("Contract", answer.body["id"])

    def find_status(self, status: ContractStatus) -> Verb[ExternalRef | None]:
        """The contract, if it shows this status; read by external id, which is served from the primary."""
        fields = ",".join(["Id", *self._rows.columns("status")])
        answer = yield Request("GET", self._by_number(status.contract_no), query={"fields": fields}, allow=(404,))
        if answer.status == 404 or not self._rows.shows(answer.body, status):
            return None
        return self.ref("Contract", answer.body["Id"])

    def _by_number(self, contract_no: str) -> str:
        return self.by_key("Contract", self._rows.theirs("contract", "contract_no"), contract_no)
