"""Salesforce fills Crm: contract terms from Contract and its CPQ quote, and the hub's status on the contract."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from isthmus.connectors.salesforce import mapping as m
from isthmus.domain.errors import BadInput, NeedsSetup, NotFound, StaleRead
from isthmus.domain.objects import (
    Address,
    BillingType,
    Cap,
    CapKind,
    Client,
    ContractLine,
    ContractVersion,
    ExternalRef,
    Milestone,
    Rate,
)
from isthmus.kit.mapping import Field, StatusTable, Table, at_minor_unit
from isthmus.kit.soql import SoqlConnector, columns_under, latest_stamp, soql_text
from isthmus.kit.wire import Request, Verb, dig
from isthmus.ports.messages import ContractNotice, ContractNotices, ContractStatus

Record = dict[str, Any]
_TABLES = {
    "contract": m.CONTRACT,
    "client": m.CLIENT,
    "address": m.ADDRESS,
    "line": m.LINE,
    "status": m.STATUS,
}


class Salesforce(SoqlConnector):
    """Salesforce with CPQ. settings: fields (our name to the firm's, by object), dimensions, billing_types."""

    settings_known = frozenset({"fields", "dimensions", "billing_types"})

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        super().__init__(settings)
        names = self.settings.get("fields", {})
        if set(names) - set(_TABLES):
            raise NeedsSetup(f"salesforce: fields: unknown {set(names) - set(_TABLES)}; known: {', '.join(_TABLES)}")
        self._tables = {name: table.renamed(names.get(name, {})) for name, table in _TABLES.items()}
        dimensions = self.settings.get("dimensions")
        self._dimensions = m.DIMENSIONS if dimensions is None else Table(*(Field(k, v) for k, v in dimensions.items()))
        types = {**m.BILLING_TYPES, **self.settings.get("billing_types", {})}
        wrong = set(types.values()) - set(BillingType)
        if wrong:
            raise NeedsSetup(f"salesforce: billing_types: {wrong} is not among {', '.join(BillingType)}")
        self._billing_types = StatusTable(f"salesforce {_theirs(self._tables['line'], 'billing_type')}", types)

    # -- Crm -----------------------------------------------------------------------------------------------------
    def contracts_changed(self, watermark: str) -> Verb[ContractNotices]:
        """Activated contracts changed since the watermark less the overlap, oldest first."""
        number, version = (_theirs(self._tables["contract"], name) for name in ("contract_no", "version"))
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
        contract, line = self._tables["contract"], self._tables["line"]
        columns = [*_columns(contract), *_columns(self._dimensions)]
        columns += [c for t in ("client", "address") for c in columns_under("Account", _columns(self._tables[t]))]
        where = f"{_theirs(contract, 'contract_no')} = {soql_text(contract_no)}"
        rows = yield from self.query(columns, "Contract", (where,), "Id")
        if not rows:
            raise NotFound(f"salesforce has no contract {contract_no}")
        terms = self._terms(rows[0], contract_no)
        where = f"SBQQ__Quote__c = {soql_text(terms['quote'])}"
        columns = [*_columns(line), m.UNCALCULATED]
        found = yield from self.query(columns, "SBQQ__QuoteLine__c", (where,), "SBQQ__Number__c, Id")
        if not found:
            raise BadInput(f"contract {contract_no}: its quote {terms['quote']} has no lines")
        if any(dig(row, m.UNCALCULATED) for row in found):
            raise StaleRead(f"contract {contract_no}: CPQ has not calculated the prices of quote {terms['quote']} yet")
        return self._version(terms, rows[0], [line.back(row) for row in found])

    def report_status(self, status: ContractStatus) -> Verb[ExternalRef]:
        """Show state and money on the contract. updateOnly: a wrong number must not make a new contract."""
        body = {field.theirs: getattr(status, field.ours) for field in self._tables["status"].fields}
        answer = yield Request(
            "PATCH",
            self._by_number(status.contract_no),
            query={"updateOnly": "true"},
            json={name: None if value == "" else value for name, value in body.items()},
            headers={"Sforce-Call-Options": "client=isthmus"},
        )
        return self.ref("Contract", answer.body["id"])

    def find_status(self, status: ContractStatus) -> Verb[ExternalRef | None]:
        """The contract, if it shows this status; read by external id, which is served from the primary."""
        table = self._tables["status"]
        fields = ",".join(["Id", *_columns(table)])
        answer = yield Request("GET", self._by_number(status.contract_no), query={"fields": fields}, allow=(404,))
        if answer.status == 404:
            return None
        wanted = {field.ours: getattr(status, field.ours) for field in table.fields}
        shown = table.back(answer.body)
        same = shown == {name: value for name, value in wanted.items() if value != ""}
        return self.ref("Contract", answer.body["Id"]) if same else None

    # -- requests ------------------------------------------------------------------------------------------------
    def _by_number(self, contract_no: str) -> str:
        return self.by_key("Contract", _theirs(self._tables["contract"], "contract_no"), contract_no)

    # -- answers -------------------------------------------------------------------------------------------------
    def _terms(self, record: Record, contract_no: str) -> Record:
        """The contract's own fields; an amendment is effective from its own date, the first version from the start."""
        terms = self._tables["contract"].back(record)
        if "effective_from" not in terms and "start" in terms:
            terms["effective_from"] = terms["start"]
        _need(terms, m.CONTRACT_NEEDS, self._tables["contract"], f"contract {contract_no}")
        if "transaction_price" in terms:
            terms["transaction_price"] = at_minor_unit(terms["transaction_price"], terms["currency"])
        return terms

    def _version(self, terms: Record, record: Record, lines: list[Record]) -> ContractVersion:
        client = self._client(record["Account"] or {}, terms["contract_no"])
        caps = [_cap(terms, terms, "")]
        for line in lines:
            _need(line, ("line_uid",), self._tables["line"], f"contract {terms['contract_no']}: a quote line")
            caps.append(_cap(terms, line, line["line_uid"]))
        return ContractVersion(
            **{name: value for name, value in terms.items() if name not in m.CONTRACT_AIDS},
            client_no=client.client_no,
            client=client,
            dimensions=self._dimensions.back(record),
            lines=tuple(self._line(terms, line, place) for place, line in enumerate(lines, start=1)),
            caps=tuple(cap for cap in caps if cap),
        )

    def _client(self, account: Record, contract_no: str) -> Client:
        facts = self._tables["client"].back(account)
        _need(facts, m.CLIENT_NEEDS, self._tables["client"], f"contract {contract_no}: its account")
        return Client(**facts, address=Address(**self._tables["address"].back(account)))

    def _line(self, terms: Record, line: Record, place: int) -> ContractLine:
        """One quote line as one contract line. A billing type nobody has mapped is BadInput with its name."""
        where = f"contract {terms['contract_no']}: line {line['line_uid']}"
        if line.get("currency", terms["currency"]) != terms["currency"]:
            raise BadInput(f"{where}: priced in {line['currency']}, the contract is in {terms['currency']}")
        kind = BillingType(self._billing_types.read(line.get("billing_type")))
        price = line.get("net_total")
        table = self._tables["line"]
        return ContractLine(
            line_uid=line["line_uid"],
            description=line.get("description", ""),
            billing_type=kind,
            rates=(_rate(terms, line, table, where),) if kind is BillingType.TM else (),
            milestones=(_milestone(terms, line, table, place, where),) if kind is BillingType.FIXED_MILESTONE else (),
            roles=(line["role"],) if "role" in line else (),
            price=None if price is None else at_minor_unit(price, terms["currency"]),
            tax_code=line.get("tax_code", ""),
            deliverable=line.get("deliverable", ""),
        )


def _rate(terms: Record, line: Record, table: Table, where: str) -> Rate:
    """The line's price for its role: the firm's negotiated rate, else the quote's net price."""
    price = line.get("rate", line.get("net_price"))
    _need(line, ("role",), table, where)
    if price is None:
        raise BadInput(f"{where}: neither {_theirs(table, 'rate')} nor {_theirs(table, 'net_price')} holds a price")
    return Rate(
        role=line["role"],
        bill_rate=m.rate(price, terms["currency"]),
        unit=m.RATE_UNITS.read(line["unit"]) if "unit" in line else "hour",
        effective_from=terms["effective_from"],
    )


def _milestone(terms: Record, line: Record, table: Table, place: int, where: str) -> Milestone:
    _need(line, ("net_total", "due"), table, where)
    return Milestone(
        number=line.get("number", place),
        name=line.get("deliverable") or line.get("description") or line["line_uid"],
        amount=at_minor_unit(line["net_total"], terms["currency"]),
        due=line["due"],
    )


def _cap(terms: Record, holder: Record, line_uid: str) -> Cap | None:
    """The not-to-exceed of the contract (no line_uid) or of a line; hard when nothing is said."""
    if "cap_limit" not in holder:
        return None
    kind = m.CAP_KINDS.read(holder["cap_kind"]) if "cap_kind" in holder else CapKind.HARD
    return Cap(
        cap_id=":".join(part for part in (terms["contract_no"], line_uid, "cap") if part),
        scope="line" if line_uid else "contract",
        line_uid=line_uid,
        kind=CapKind(kind),
        limit=at_minor_unit(holder["cap_limit"], terms["currency"]),
    )


def _columns(table: Table) -> list[str]:
    return [field.theirs for field in table.fields]


def _theirs(table: Table, ours: str) -> str:
    return next((field.theirs for field in table.fields if field.ours == ours), ours)


def _need(found: Mapping[str, Any], names: Iterable[str], table: Table, what: str) -> None:
    """BadInput that names the first empty field in the words of the people who fill it."""
    for name in names:
        if found.get(name) is None:
            raise BadInput(f"{what}: {_theirs(table, name)} is empty")
