"""ERPs as a test sees them: how each is connected, what it has posted, and its accountant."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from isthmus.app.demo import world
from isthmus.app.demo.firm import connections
from isthmus.domain.objects import Invoice
from isthmus.sandbox.server import Running
from isthmus.store.records import CrossReference

if TYPE_CHECKING:
    from tests.pairings.pair import Pair


def money(value: Any) -> Decimal:
    """An amount of a sandbox, exactly to the cent."""
    return Decimal(str(value)).quantize(Decimal("0.01"), ROUND_HALF_UP)


class Erp(Protocol):
    """How a test looks at an ERP's sandbox, and is its accountant."""

    system: str

    def connection(self, folder: Path, served: Running) -> dict[str, Any]:
        """The connection of the firm folder."""

    def documents(self, pair: Pair) -> dict[str, tuple[Decimal, Decimal]]:
        """Posted invoices and credit memos: (total, tax) by number, negative for a credit memo."""

    def hours(self, pair: Pair) -> Decimal:
        """All hours of cost, corrections taken off."""

    def receive(self, pair: Pair, invoice: Invoice, amount: Decimal) -> None:
        """The accountant records a payment."""

    def lose_an_answer(self, pair: Pair) -> None:
        """The answer to the next posting is lost after the ERP has worked on it."""


class Finance:
    """Dynamics 365 Finance."""

    system: ClassVar[str] = "dynamics_finance"

    def connection(self, folder: Path, served: Running) -> dict[str, Any]:
        """See Erp."""
        known = served.sandbox.credentials()
        secrets = {name: f"demo:{known[name]}" for name in ("tenant", "client_id", "client_secret")}
        return {
            "name": self.system,
            "connector": self.system,
            "base_url": served.url,
            "auth": "client_credentials",
            "fills": ["Erp", "ScheduleBook"],
            "writes_as": "erp",
            "secrets": secrets | {"token_url": f"demo:{served.url}/{known['tenant']}/oauth2/v2.0/token"},
            "settings": {
                "companies": {"US01": "usmf"},
                "customer_group": "30",
                "project_group": "TM",
                "account": "401100",
                "tax_group": "EXT",
                "tax_item_group": "EXT",
                "post_service": "IsthmusServices/FreeTextInvoice/post",
                "hour_journal": "HOUR",
                "hour_category": "CONSULT",
                "forecast_model": "CURRENT",
                "dimension_delimiter": "|",  # cost centres have hyphens in them
            },
        }

    def documents(self, pair: Pair) -> dict[str, tuple[Decimal, Decimal]]:
        """See Erp."""
        found = {}
        for header in pair.state(self.system, "FreeTextInvoiceHeaders"):
            lines = [
                line
                for line in pair.state(self.system, "FreeTextInvoiceLines")
                if line["ParentRecId"] == header["InvoiceIdentifier"]
            ]
            tax = sum((money(line["SalesTaxAmount"]) for line in lines), Decimal(0))
            net = sum((money(line["TransactionCurrencyAmount"]) for line in lines), Decimal(0))
            assert header["IsPosted"] == "Yes" and header["InvoiceId"] not in found
            found[header["InvoiceId"]] = (net + tax, tax)
        return found

    def hours(self, pair: Pair) -> Decimal:
        """See Erp."""
        lines = pair.state(self.system, "ProjectHourJournalLines")
        return sum((Decimal(str(line["Hours"])) for line in lines), Decimal(0))

    def receive(self, pair: Pair, invoice: Invoice, amount: Decimal) -> None:
        """See Erp."""
        paid = {"dataAreaId": "usmf", "account": invoice.client_no, "amount": float(amount), "currency": "USD"}
        paid |= {"date": f"{pair.clock.now():%Y-%m-%d}", "reference": "WIRE"}
        marks = [{"invoice": invoice.number, "amount": float(amount)}]
        pair.control(self.system, "seed", {"CustomerPayment": [paid | {"settles": marks}]})

    def lose_an_answer(self, pair: Pair) -> None:
        """See Erp. The change set is carried out, and the hub does not know; the invoice is there and not posted."""
        fault = {"kind": "timeout_after_commit", "method": "POST", "path": "batch"}
        pair.control(self.system, "faults", fault)


class NetSuite:
    """NetSuite, as the demo has it."""

    system: ClassVar[str] = "netsuite"

    def connection(self, folder: Path, served: Running) -> dict[str, Any]:
        """See Erp."""
        [made] = connections(folder, {self.system: served})
        people = {person: "11" for _, person in world.TEAM.values()}
        return made | {"settings": made["settings"] | {"employees": people}}

    def documents(self, pair: Pair) -> dict[str, tuple[Decimal, Decimal]]:
        """See Erp."""
        rows = [(1, row) for row in pair.state(self.system, "invoice")]
        rows += [(-1, row) for row in pair.state(self.system, "creditMemo")]
        return {row["tranId"]: (sign * money(row["total"]), sign * money(row["taxTotal"])) for sign, row in rows}

    def hours(self, pair: Pair) -> Decimal:
        """See Erp."""
        whole = Decimal(0)
        for row in pair.state(self.system, "timeBill"):
            hours, minutes = str(row["hours"]).split(":")
            whole += int(hours) + Decimal(minutes) / 60
        return whole

    def receive(self, pair: Pair, invoice: Invoice, amount: Decimal) -> None:
        """See Erp."""
        remote = {ref.key: ref.remote_id for ref in pair.rows(CrossReference, system=self.system)}
        paid = {
            "customer": {"id": remote[invoice.client_no]},
            "payment": float(amount),
            "currency": {"id": "1"},
            "tranDate": f"{pair.clock.now():%Y-%m-%d}",
            "apply": [{"doc": {"id": remote[invoice.number]}, "apply": True, "amount": float(amount)}],
            "lastModifiedDate": f"{pair.clock.now():%Y-%m-%dT%H:%M:%SZ}",
        }
        pair.control(self.system, "seed", {"customerPayment": [paid]})

    def lose_an_answer(self, pair: Pair) -> None:
        """See Erp."""
        fault = {"kind": "timeout_after_commit", "method": "PUT", "path": "/record/v1/invoice/eid"}
        pair.control(self.system, "faults", fault)


class Tryton:
    """Tryton itself, behind the fault gate: what a test looks at is asked of its own JSON-RPC, not of our way in."""

    system: ClassVar[str] = "tryton"

    def connection(self, folder: Path, served: Running) -> dict[str, Any]:
        """See Erp. Everybody who works is employed there."""
        for role, (_, email) in world.TEAM.items():
            served.sandbox.seed("employee", {"name": role, "email": email})
        return {
            "name": self.system,
            "connector": self.system,
            "base_url": f"{served.url}/psa/rest",
            "auth": "bearer",
            "fills": ["Erp", "JournalBook", "ReceivableList"],
            "writes_as": "erp",
            "secrets": {"token": f"demo:{served.sandbox.credentials()['token']}"},
            "settings": {
                "companies": {"US01": "1"},
                "receivable_account": "1.2.1",
                "revenue_account": "4.1.2",
                "tax_account": "6.3.6",
                "warnings": "skip",  # the month of the test is long past for the machine's clock
            },
        }

    def documents(self, pair: Pair) -> dict[str, tuple[Decimal, Decimal]]:
        """See Erp. Only what Tryton has booked and numbered itself."""
        found = {}
        for row in pair.state(self.system, "invoice"):
            assert row["state"] in ("posted", "paid") and row["move"]["state"] == "posted" and row["number"], row
            assert row["reference"] not in found
            found[row["reference"]] = (money(row["total_amount"]), money(row["tax_amount"]))
        return found

    def hours(self, pair: Pair) -> Decimal:
        """See Erp."""
        return sum((Decimal(str(row["duration"])) / 3600 for row in pair.state(self.system, "time")), Decimal(0))

    def receive(self, pair: Pair, invoice: Invoice, amount: Decimal) -> None:
        """See Erp. By the wizard with which accountants pay an invoice."""
        paid = {"invoice": invoice.number, "amount": str(amount), "date": f"{pair.clock.now():%Y-%m-%d}"}
        pair.control(self.system, "seed", {"payment": [paid]})

    def lose_an_answer(self, pair: Pair) -> None:
        """See Erp. The invoice is posted, and the hub does not know."""
        pair.control(self.system, "faults", {"kind": "timeout_after_commit", "method": "POST", "path": "/post$"})
