"""The General journal entity of data packages: header and lines of a journal in one row each.

From Microsoft's pages "General journal entity" and "Importing vouchers by using the General journal entity": lines go
into the unposted journal whose number they name; where there is none, that number is a placeholder for a new journal.
"""

from __future__ import annotations

from decimal import Decimal

from isthmus.sandbox.base import Record
from isthmus.sandbox.dynamics_finance.books import Books
from isthmus.sandbox.dynamics_finance.errors import write_failed
from isthmus.sandbox.dynamics_finance.schema import BY_SET, Entity

LABEL = "General journal"
HEADERS = "LedgerJournalHeaders"
ENTITY = Entity(
    "LedgerJournal",
    "",
    "LedgerJournalEntity",
    "Journal lines (LedgerJournalTrans)",
    ("JOURNALBATCHNUMBER", "LINENUMBER"),
    {},
)
_REQUIRED = ("LINENUMBER", "JOURNALNAME", "TRANSDATE", "VOUCHER", "CURRENCYCODE", "ACCOUNTDISPLAYVALUE")
_TYPES = {"": "Ledger", "Ledger": "Ledger", "Customer": "Cust", "Vendor": "Vend", "Bank": "Bank"}
_FIELDS = {
    "AccountDisplayValue": "ACCOUNTDISPLAYVALUE",
    "CurrencyCode": "CURRENCYCODE",
    "DebitAmount": "DEBITAMOUNT",
    "CreditAmount": "CREDITAMOUNT",
    "Text": "TEXT",
}


class Rows:
    """The rows of one package. numbers: what placeholders for journals have become in it."""

    def __init__(self, books: Books, company: str) -> None:
        self._books = books
        self._company = company
        self._numbers: dict[str, str] = {}

    def put(self, row: dict[str, str]) -> None:
        """Put one line in, or change the one of its number. Refusal when the row is not one."""
        for name in _REQUIRED:
            if not row.get(name):
                raise write_failed(ENTITY, f"Warning: Field '{name}' must be filled in.")
        kind = row.get("ACCOUNTTYPE", "")
        if kind not in _TYPES:
            raise write_failed(ENTITY, f"Error: Value '{kind}' of field 'ACCOUNTTYPE' is not supported.")
        body: Record = {field: row[column] for field, column in _FIELDS.items() if row.get(column)}
        body |= {"AccountType": _TYPES[kind], "TransDate": f"{row['TRANSDATE']}T12:00:00Z"}
        number = Decimal(row["LINENUMBER"])
        self._books.import_journal_line(self._company, self._journal(row), number, row["VOUCHER"], body)

    def _journal(self, row: dict[str, str]) -> str:
        """The number of the journal a row belongs to."""
        named = row.get("JOURNALBATCHNUMBER", "")
        number = self._numbers.get(named, named)
        held = self._books.ledger.by_key(BY_SET[HEADERS], {"dataAreaId": self._company, "JournalBatchNumber": number})
        if held is None or held["IsPosted"] == "Yes":
            head = {"JournalName": row["JOURNALNAME"], "Description": row.get("DESCRIPTION", "")}
            made = self._books.create(BY_SET[HEADERS], {"dataAreaId": self._company, **head}, self._company)
            number = str(made["JournalBatchNumber"])
        self._numbers[named] = number
        return number


def keys(row: dict[str, str]) -> str:
    """How a row is named in error files."""
    return ";".join(row.get(name, "") for name in ENTITY.key)
