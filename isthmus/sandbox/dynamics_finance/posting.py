"""Posting: a free text invoice becomes a customer transaction under its number, a payment journal settles some.

Posting through a custom service is what a firm adds itself (docs/connect/dynamics_finance.md); what a posting checks
and makes is modelled from the documentation of free text invoices and payment journals.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.dynamics_finance.books import Books
from isthmus.sandbox.dynamics_finance.schema import BY_SET, NO_DATE
from isthmus.sandbox.dynamics_finance.values import moment, same

HEADERS, LINES, TRANSACTIONS = "FreeTextInvoiceHeaders", "FreeTextInvoiceLines", "CustomerTransactions"
JOURNALS, JOURNAL_LINES = "CustomerPaymentJournalHeaders", "CustomerPaymentJournalLines"
GENERAL, GENERAL_LINES = "LedgerJournalHeaders", "LedgerJournalLines"
MARKS = "CustomerPaymentJournalLineSettledInvoices"
VOUCHERS = "GNJL"  # the number sequence of general journals' vouchers


class CannotPost(Exception):
    """Why a document is not posted."""


class Posting:
    """Posts what is there. closed: months such as 2026-01 of a closed ledger period. keeps_marks: whether the marked
    transactions of a journal are still to be seen when it is posted; no published source says so.
    """

    def __init__(self, books: Books) -> None:
        self.books = books
        self.ledger = books.ledger
        self.closed: set[str] = set()
        self.keeps_marks = True
        self.on_posted: Callable[[Record], None] = lambda _: None

    # -- free text invoices --------------------------------------------------------------------------------------
    def post_invoice(self, company: str, rec_id: int) -> Record:
        """Post one invoice; one that is posted already is left as it is."""
        header = self.ledger.by_key(BY_SET[HEADERS], {"dataAreaId": company, "InvoiceIdentifier": rec_id})
        if header is None:
            raise CannotPost(f"Free text invoice {rec_id} does not exist in company {company}.")
        if header["IsPosted"] == "Yes":
            return header
        lines = self.ledger.current(LINES, dataAreaId=company, ParentRecId=rec_id)
        customer = self._customer(company, header["CustomerAccount"])
        self._check(header, lines, customer)
        number = header["InvoiceId"] or self.ledger.number(company, "FTI", 8)
        if any(row["Invoice"] == number for row in self.ledger.current(TRANSACTIONS, dataAreaId=company)):
            raise CannotPost(f"Invoice number {number} has been used before.")
        amount = sum((line["TransactionCurrencyAmount"] + line["SalesTaxAmount"] for line in lines), Decimal(0))
        self._transaction(header, number, amount)
        made = self.ledger.change(BY_SET[HEADERS], header, {"IsPosted": "Yes", "InvoiceId": number})
        self.on_posted(made)
        return made

    def _check(self, header: Record, lines: list[Record], customer: Record) -> None:
        if not lines:
            raise CannotPost("The invoice does not have any lines.")
        if header["InvoiceDate"][:7] in self.closed:
            raise CannotPost(f"Fiscal period for {header['InvoiceDate'][:10]} is not open.")
        if customer["OnHoldStatus"] in ("Invoice", "All"):
            raise CannotPost(f"Customer {customer['CustomerAccount']} is on hold.")
        if any(line["OverrideSalesTax"] == "Yes" and not line["SalesTaxItemGroupId"] for line in lines):
            raise CannotPost("Sales tax cannot be overridden on a line without an item sales tax group.")

    def _transaction(self, header: Record, number: str, amount: Decimal) -> None:
        company = header["dataAreaId"]
        due = header["DueDate"] if header["DueDate"] != NO_DATE else header["InvoiceDate"]
        values = {
            "dataAreaId": company,
            "Voucher": self.ledger.number(company, "ARFTI", 8),
            "AccountNum": header["InvoiceAccount"],
            "Invoice": number,
            "TransDate": header["InvoiceDate"],
            "DueDate": due,
            "CurrencyCode": header["CurrencyCode"],
            "AmountCur": amount,
            "SettleAmountCur": Decimal(0),
            "TransType": "Sales",
        }
        self.ledger.add(BY_SET[TRANSACTIONS], BY_SET[TRANSACTIONS].empty() | values)

    def _customer(self, company: str, account: str) -> Record:
        rows = self.ledger.current("CustomersV3", dataAreaId=company)
        return next(row for row in rows if same(row["CustomerAccount"], account))

    # -- payments ------------------------------------------------------------------------------------------------
    def pay(self, payment: Record) -> Record:
        """A payment as an accountant records it: journal, line, marked invoices, posted unless ``posted`` is false.

        dataAreaId, account, amount, currency, date, reference; settles: invoices and amounts.
        """
        company, settles = payment["dataAreaId"], payment.get("settles", [])
        head = {"dataAreaId": company, "JournalName": "CustPay", "Description": payment.get("reference", "")}
        journal = self.books.create(BY_SET[JOURNALS], head, company)["JournalBatchNumber"]
        line = {
            "JournalBatchNumber": journal,
            "AccountType": "Cust",
            "AccountDisplayValue": payment["account"],
            "CreditAmount": Decimal(str(payment["amount"])),
            "CurrencyCode": payment["currency"],
            "TransactionDate": moment(f"{payment['date']}T12:00:00Z"),
            "PaymentReference": payment.get("reference", ""),
            "MarkedInvoice": settles[0]["invoice"] if len(settles) == 1 else "",
        }
        made = self.books.create(BY_SET[JOURNAL_LINES], {"dataAreaId": company, **line}, company)
        for mark in settles:
            self._mark(made, mark)
        if payment.get("posted", True):
            self.post_journal(company, journal)
        return made

    def _mark(self, line: Record, mark: dict[str, Any]) -> None:
        entity = BY_SET[MARKS]
        values = {
            "JournalLineCompany": line["dataAreaId"],
            "JournalBatchNumber": line["JournalBatchNumber"],
            "JournalLineNumber": line["LineNumber"],
            "JournalLineAccountType": "Cust",
            "InvoiceNumber": mark["invoice"],
            "InvoiceCompany": line["dataAreaId"],
            "AccountDisplayValue": line["AccountDisplayValue"],
            "SettlementAmountInInvoiceCurrency": Decimal(str(mark["amount"])),
        }
        self.ledger.add(entity, entity.empty() | values)

    def post_journal(self, company: str, number: str) -> None:
        """Post a payment journal: its marked invoices are settled."""
        header = self.ledger.by_key(BY_SET[JOURNALS], {"dataAreaId": company, "JournalBatchNumber": number})
        if header is None or header["IsPosted"] == "Yes":
            raise CannotPost(f"Journal {number} has already been posted.")
        for mark in self.ledger.current(MARKS, JournalLineCompany=company, JournalBatchNumber=number):
            invoices = self.ledger.current(TRANSACTIONS, dataAreaId=company, Invoice=mark["InvoiceNumber"])
            for invoice in invoices:
                settled = invoice["SettleAmountCur"] + mark["SettlementAmountInInvoiceCurrency"]
                self.ledger.change(BY_SET[TRANSACTIONS], invoice, {"SettleAmountCur": settled})
            if not self.keeps_marks:
                self.ledger.delete(MARKS, str(mark["_rec_id"]))
        self.ledger.change(BY_SET[JOURNALS], header, {"IsPosted": "Yes"})

    def post_general(self, company: str, number: str) -> Record:
        """Post a general journal, lines of customers as transactions; one that is posted already is left as it is."""
        header = self.ledger.by_key(BY_SET[GENERAL], {"dataAreaId": company, "JournalBatchNumber": number})
        if header is None:
            raise CannotPost(f"Journal {number} does not exist in company {company}.")
        if header["IsPosted"] == "Yes":
            return header
        lines = self.ledger.current(GENERAL_LINES, dataAreaId=company, JournalBatchNumber=number)
        if not lines:
            raise CannotPost(f"Journal {number} does not have any lines.")
        for line in lines:
            if line["TransDate"][:7] in self.closed:
                raise CannotPost(f"Fiscal period for {line['TransDate'][:10]} is not open.")
        self._check_vouchers(lines)
        lines = self._numbered(company, lines)
        for line in lines:
            if line["AccountType"] == "Cust":
                self._of_customer(line)
        return self.ledger.change(BY_SET[GENERAL], header, {"IsPosted": "Yes"})

    def _check_vouchers(self, lines: list[Record]) -> None:
        """Each voucher of a day balances by itself."""
        off: dict[tuple[str, str, str], Decimal] = {}
        for line in lines:
            place = (line["Voucher"], line["TransDate"][:10], line["CurrencyCode"])
            off[place] = off.get(place, Decimal(0)) + line["DebitAmount"] - line["CreditAmount"]
        for (voucher, day, currency), amount in off.items():
            if amount:
                where = f"voucher {voucher} do not balance as per {day}"
                raise CannotPost(f"The transactions on {where}. ({currency}: {amount})")

    def _numbered(self, company: str, lines: list[Record]) -> list[Record]:
        """Vouchers that came with a data package are temporary: the journal name allocates numbers at posting."""
        given: dict[str, str] = {}
        for line in lines:
            if not line["Voucher"].startswith(VOUCHERS) and line["Voucher"] not in given:
                given[line["Voucher"]] = self.ledger.number(company, VOUCHERS, 8)
        entity = BY_SET[GENERAL_LINES]
        for line in [line for line in lines if line["Voucher"] in given]:
            self.ledger.change(entity, line, {"Voucher": given[line["Voucher"]]})
        return self.ledger.current(GENERAL_LINES, dataAreaId=company, JournalBatchNumber=lines[0]["JournalBatchNumber"])

    def _of_customer(self, line: Record) -> None:
        values = {name: line[name] for name in ("dataAreaId", "Voucher", "TransDate", "CurrencyCode")}
        values |= {"AccountNum": line["AccountDisplayValue"], "AmountCur": line["DebitAmount"] - line["CreditAmount"]}
        self.ledger.add(BY_SET[TRANSACTIONS], BY_SET[TRANSACTIONS].empty() | values)

    def post_hours(self, company: str, number: str) -> None:
        """Post a project hour journal."""
        keys = {"dataAreaId": company, "JournalBatchNumber": number}
        header = self.ledger.by_key(BY_SET["ProjectHourJournals"], keys)
        if header is None or header["Posted"] == "Yes":
            raise CannotPost(f"Journal {number} has already been posted.")
        self.ledger.change(BY_SET["ProjectHourJournals"], header, {"Posted": "Yes"})
