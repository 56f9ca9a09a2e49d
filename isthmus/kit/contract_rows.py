"""A contract as CRMs hold it: a header, the client's account, and priced lines, under names that are the firm's own.

A connector brings tables of its names for ``contract``, ``client``, ``address``, ``line`` and ``status``; the firm's
settings ``fields``, ``dimensions`` and ``billing_types`` change them. Rows come back as one ContractVersion; what is
missing or cannot be read is BadInput in the words of the people who fill it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from isthmus.domain.errors import BadInput, NeedsSetup
from isthmus.domain.money import is_exact_amount
from isthmus.domain.objects import (
    Address,
    BillingType,
    Cap,
    CapKind,
    Client,
    ContractLine,
    ContractVersion,
    Milestone,
    Rate,
)
from isthmus.kit.mapping import StatusTable, Table, at_minor_unit
from isthmus.kit.wire import Row
from isthmus.ports.messages import ContractStatus

SETTINGS = frozenset({"fields", "dimensions", "billing_types"})
CLIENT_NEEDS = ("client_no", "legal_name", "country")
# A value of the firm's own picklist says which of these a line is; nothing else has terms a CRM line can hold.
BILLING_TYPES = {"tm": "tm", "fixed_milestone": "fixed_milestone", "non_billable": "non_billable"}


def day(value: str) -> date:
    """A date field."""
    return date.fromisoformat(value)


def day_after(value: str) -> date:
    """The last day of a contract as our exclusive end."""
    return date.fromisoformat(value) + timedelta(days=1)


def amount(value: Any) -> Decimal:
    """A number field, exact as it was written."""
    return Decimal(str(value))


def price(value: Decimal, currency: str) -> Decimal:
    """A rate: with the currency's decimals when they hold it, else with its own and no trailing zeros."""
    return at_minor_unit(value, currency) if is_exact_amount(value, currency) else value.normalize()


@dataclass(frozen=True)
class Shape:
    """What one CRM brings. needs: fields of the contract table that must not be empty.

    units: total table of the unit a rate is per; a price per month or per piece is neither an hourly nor a daily rate.
    """

    tables: Mapping[str, Table]
    dimensions: Table
    needs: Sequence[str]
    units: StatusTable
    cap_kinds: StatusTable


class ContractRows:
    """The tables of one firm's CRM, and contract versions made of its rows."""

    def __init__(self, system: str, shape: Shape, settings: Mapping[str, Any]) -> None:
        names = settings.get("fields", {})
        if set(names) - set(shape.tables):
            unknown, known = ", ".join(set(names) - set(shape.tables)), ", ".join(shape.tables)
            raise NeedsSetup(f"{system}: fields: unknown {unknown}; known: {known}")
        self._shape = shape
        self.tables = {name: table.renamed(names.get(name, {})) for name, table in shape.tables.items()}
        own = settings.get("dimensions")
        self.dimensions = shape.dimensions if own is None else shape.dimensions.replaced(own)
        types = {**BILLING_TYPES, **settings.get("billing_types", {})}
        wrong = set(types.values()) - set(BillingType)
        if wrong:
            raise NeedsSetup(f"{system}: billing_types: {', '.join(wrong)} is not among {', '.join(BillingType)}")
        self._billing_types = StatusTable(f"{system} {self.theirs('line', 'billing_type')}", types)

    # -- names ---------------------------------------------------------------------------------------------------
    def theirs(self, table: str, ours: str) -> str:
        """What the firm calls a field of ours."""
        return next((field.theirs for field in self.tables[table].fields if field.ours == ours), ours)

    def columns(self, *tables: str) -> list[str]:
        """The firm's names of all fields of tables; those of a contract with its dimensions."""
        found = [field.theirs for name in tables for field in self.tables[name].fields]
        return found + ([field.theirs for field in self.dimensions.fields] if "contract" in tables else [])

    # -- the status the hub shows ----------------------------------------------------------------------------------
    def status_body(self, status: ContractStatus, empty: Any) -> Row:
        """The fields that show a status. empty: what empties a field there."""
        body = {field.theirs: getattr(status, field.ours) for field in self.tables["status"].fields}
        return {name: empty if value == "" else value for name, value in body.items()}

    def shows(self, record: Mapping[str, Any], status: ContractStatus) -> bool:
        """True when the record shows exactly this status."""
        table = self.tables["status"]
        wanted = {field.ours: getattr(status, field.ours) for field in table.fields}
        return table.back(record) == {name: value for name, value in wanted.items() if value != ""}

    # -- the contract ----------------------------------------------------------------------------------------------
    def terms(self, record: Mapping[str, Any], contract_no: str) -> Row:
        """The contract's own fields; an amendment is effective from its own date, the first version from the start."""
        terms = self.tables["contract"].back(record)
        if "effective_from" not in terms and "start" in terms:
            terms["effective_from"] = terms["start"]
        self._need(terms, self._shape.needs, "contract", f"contract {contract_no}")
        if "transaction_price" in terms:
            terms["transaction_price"] = at_minor_unit(terms["transaction_price"], terms["currency"])
        return terms

    def version(
        self, terms: Row, record: Mapping[str, Any], account: Mapping[str, Any], rows: Iterable[Mapping[str, Any]]
    ) -> ContractVersion:
        """The version of these terms. account: the client with its address; rows: the lines in their order."""
        lines = [self.tables["line"].back(row) for row in rows]
        client = self._client(account, terms["contract_no"])
        caps = [self._cap(terms, terms, "")]
        for line in lines:
            self._need(line, ("line_uid",), "line", f"contract {terms['contract_no']}: a line")
            caps.append(self._cap(terms, line, line["line_uid"]))
        return ContractVersion(
            **{name: value for name, value in terms.items() if name in ContractVersion.model_fields},
            client_no=client.client_no,
            client=client,
            dimensions=self.dimensions.back(record),
            lines=tuple(self._line(terms, line, place) for place, line in enumerate(lines, start=1)),
            caps=tuple(cap for cap in caps if cap),
        )

    def billing_type(self, line: Row) -> BillingType:
        """How a line (its fields under our names) earns money, by the firm's own value."""
        return BillingType(self._billing_types.read(line.get("billing_type")))

    def _client(self, account: Mapping[str, Any], contract_no: str) -> Client:
        facts = self.tables["client"].back(account)
        self._need(facts, CLIENT_NEEDS, "client", f"contract {contract_no}: its account")
        return Client(**facts, address=Address(**self.tables["address"].back(account)))

    def _line(self, terms: Row, line: Row, place: int) -> ContractLine:
        """One row as one contract line. A billing type nobody has mapped is BadInput with its name."""
        where = f"contract {terms['contract_no']}: line {line['line_uid']}"
        if line.get("currency", terms["currency"]) != terms["currency"]:
            raise BadInput(f"{where}: priced in {line['currency']}, the contract is in {terms['currency']}")
        kind = self.billing_type(line)
        total = line.get("net_total")
        return ContractLine(
            line_uid=line["line_uid"],
            description=line.get("description", ""),
            billing_type=kind,
            rates=(self._rate(terms, line, where),) if kind is BillingType.TM else (),
            milestones=(self._milestone(terms, line, place, where),) if kind is BillingType.FIXED_MILESTONE else (),
            roles=(line["role"],) if "role" in line else (),
            price=None if total is None else at_minor_unit(total, terms["currency"]),
            tax_code=line.get("tax_code", ""),
            deliverable=line.get("deliverable", ""),
        )

    def _rate(self, terms: Row, line: Row, where: str) -> Rate:
        """The line's price for its role: the firm's negotiated rate, else the line's net price."""
        found = line.get("rate", line.get("net_price"))
        self._need(line, ("role",), "line", where)
        if found is None:
            names = " nor ".join(self.theirs("line", name) for name in ("rate", "net_price"))
            raise BadInput(f"{where}: neither {names} holds a price")
        return Rate(
            role=line["role"],
            bill_rate=price(found, terms["currency"]),
            unit=self._shape.units.read(line["unit"]) if "unit" in line else "hour",
            effective_from=terms["effective_from"],
        )

    def _milestone(self, terms: Row, line: Row, place: int, where: str) -> Milestone:
        self._need(line, ("net_total", "due"), "line", where)
        return Milestone(
            number=line.get("number", place),
            name=line.get("deliverable") or line.get("description") or line["line_uid"],
            amount=at_minor_unit(line["net_total"], terms["currency"]),
            due=line["due"],
        )

    def _cap(self, terms: Row, holder: Row, line_uid: str) -> Cap | None:
        """The not-to-exceed of the contract (no line_uid) or of a line; hard when nothing is said."""
        if "cap_limit" not in holder:
            return None
        kind = self._shape.cap_kinds.read(holder["cap_kind"]) if "cap_kind" in holder else CapKind.HARD
        return Cap(
            cap_id=":".join(part for part in (terms["contract_no"], line_uid, "cap") if part),
            scope="line" if line_uid else "contract",
            line_uid=line_uid,
            kind=CapKind(kind),
            limit=at_minor_unit(holder["cap_limit"], terms["currency"]),
        )

    def _need(self, found: Mapping[str, Any], names: Iterable[str], table: str, what: str) -> None:
        """BadInput that names the first empty field in the words of the people who fill it."""
        for name in names:
            if found.get(name) is None:
                raise BadInput(f"{what}: {self.theirs(table, name)} is empty")
