"""General journals of Microsoft's finance and operations apps, for connectors to them: a header that a number sequence
names, and its lines.

No data entity posts a journal: a custom service of the firm does, or its batch job, which is waited for. Sources: the
Common Data Model, LedgerJournalHeaderEntity and LedgerJournalLineEntity; published metadata and clients for the rest.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from isthmus.domain.errors import Underway
from isthmus.domain.journals import Journal, JournalLine
from isthmus.domain.objects import ExternalRef
from isthmus.kit.journals import DraftedJournals, client_of
from isthmus.kit.mapping import shortened
from isthmus.kit.odata import CompanyConnector, noon, same
from isthmus.kit.wire import Request, Row, Verb

HEADERS, LINES, NUMBER = "LedgerJournalHeaders", "LedgerJournalLines", "JournalBatchNumber"
_cut = shortened(60)


class GeneralJournals(DraftedJournals, CompanyConnector):
    """Settings: general_journal, the name of the journals; journal_key, the field of our number; journal_service."""

    def journals_of(self, journal: Journal) -> Verb[list[Row]]:
        """See DraftedJournals."""
        keys = self.company(journal.entity) | {self.setting("journal_key"): journal.journal_no}
        return self.rows(HEADERS, same(keys), order=NUMBER)

    def make_journal(self, journal: Journal) -> Verb[Any]:
        """See DraftedJournals. The header alone: its number is given when it is made, and the lines have to say it."""
        head = {"JournalName": self.needed("general_journal"), "Description": _cut(journal.memo)}
        ours = {self.setting("journal_key"): journal.journal_no}
        return self.create(HEADERS, self.company(journal.entity) | head | ours)

    def drop_journal(self, row: Row) -> Verb[None]:
        """See DraftedJournals. Its lines go with it."""
        yield Request("DELETE", self.at(HEADERS, _key(row)), if_match=row["@odata.etag"])

    def finish_journal(self, journal: Journal, row: Row) -> Verb[ExternalRef]:
        """See DraftedJournals. All lines or none in one change set; looked at once more before it is posted."""
        lines = yield from self.rows(LINES, same(_key(row)))
        if not lines:
            sides = [_key(row) | self._side(journal, line) for line in journal.lines]
            yield from self.all_or_nothing([self.part("POST", LINES, body=side) for side in sides])
            lines = yield from self.rows(LINES, same(_key(row)))
        debit = sum((Decimal(line["DebitAmount"]) for line in lines), Decimal(0))
        self.ready_to_book(journal, len(lines), debit)
        if self.setting("journal_service"):
            yield Request("POST", f"api/services/{self.setting('journal_service')}", json=_key(row))
        return (yield from self.poll_journal(":".join(_key(row).values())))

    def poll_journal(self, job: str) -> Verb[ExternalRef]:
        """What became of a journal that was to be posted, by the service or by the firm's posting job."""
        company, _, number = job.partition(":")
        row = yield from self.read(HEADERS, {"dataAreaId": company, NUMBER: number})
        if row is None:
            raise self.refusal(f"{self.system}: journal {number}, which waited to be posted, is gone", "GONE", "number")
        booked = self.booked_as(row)
        if booked is None:
            raise Underway(f"{self.system}: journal {number} waits to be posted", job=job, state="staged")
        return booked

    def booked_as(self, row: Row) -> ExternalRef | None:
        """See DraftedJournals. Company and batch number."""
        posted = self.state("IsPosted", row["IsPosted"]) == "posted"
        return self.ref(HEADERS, ":".join(_key(row).values())) if posted else None

    def _side(self, journal: Journal, line: JournalLine) -> Row:
        """A debit or a credit; what customers owe goes to the customer, whose posting profile says the account."""
        whose = client_of(line)
        amounts = {"DebitAmount": line.debit, "CreditAmount": line.credit, "CurrencyCode": journal.currency}
        account = {"AccountType": "Cust" if whose else "Ledger", "AccountDisplayValue": whose or self.account_of(line)}
        return account | amounts | {"TransDate": noon(journal.booked_on), "Text": _cut(line.text)}


def _key(row: Row) -> dict[str, str]:
    return {"dataAreaId": row["dataAreaId"], NUMBER: row[NUMBER]}
