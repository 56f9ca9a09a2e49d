"""Journals in systems that know no idempotency key: made under our number, looked for under it, then posted."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

from isthmus.domain.errors import StaleRead
from isthmus.domain.journals import Journal, JournalLine
from isthmus.domain.objects import ExternalRef
from isthmus.kit.connector import Connector
from isthmus.kit.posting import made_once, one_of_copies
from isthmus.kit.wire import Row, Verb


class DraftedJournals(Connector):
    """Fills JournalBook. Subclasses say how journals are found, made, dropped and posted. Their setting ledger_accounts
    says which account is for what.
    """

    def journals_of(self, journal: Journal) -> Verb[list[Row]]:
        """Every journal of this number over there, in a stable order."""
        raise NotImplementedError

    def make_journal(self, journal: Journal) -> Verb[Any]:
        """A new one, not yet posted."""
        raise NotImplementedError

    def drop_journal(self, row: Row) -> Verb[Any]:
        """Delete one that is not posted."""
        raise NotImplementedError

    def finish_journal(self, journal: Journal, row: Row) -> Verb[ExternalRef]:
        """Post one that is not, and say as what it is booked."""
        raise NotImplementedError

    def booked_as(self, row: Row) -> ExternalRef | None:
        """What a journal is called once it is posted; None before."""
        raise NotImplementedError

    def post_journal(self, journal: Journal) -> Verb[ExternalRef]:
        """Book the journal under its number, once."""
        look, make = partial(self._look, journal), partial(self.make_journal, journal)
        held = yield from made_once(look, make, self.drop_journal)
        if held is None:
            raise StaleRead(f"{self.system} does not show {journal.journal_no} yet")
        return self.booked_as(held) or (yield from self.finish_journal(journal, held))

    def find_journal(self, journal: Journal) -> Verb[ExternalRef | None]:
        """The journal, if it is posted: one that is not is in nobody's books yet."""
        held, _ = yield from self._look(journal)
        return self.booked_as(held) if held else None

    def _look(self, journal: Journal) -> Verb[tuple[Row | None, list[Row]]]:
        rows = yield from self.journals_of(journal)
        return one_of_copies(rows, lambda row: bool(self.booked_as(row)), journal.journal_no, self.system)

    def ready_to_book(self, journal: Journal, sides: int, debit: Decimal) -> None:
        """A refusal unless what is about to be posted is our journal: afterwards it would be too late."""
        if (sides, debit) != (len(journal.lines), journal.total):
            cause = f"{self.system} has {journal.journal_no} with {sides} sides of {debit}, not {journal.total}"
            raise self.refusal(f"{cause}; it is not posted", "TOTAL_DIFFERS", "lines")

    def account_of(self, line: JournalLine) -> str:
        """The account of a side, by what it is for. NeedsSetup when the firm has not said which it is."""
        return self.coded("ledger_accounts", line.account)


def client_of(line: JournalLine) -> str:
    """The client whose debt a side is about; empty for every other account."""
    return line.client_no if line.account == "receivables" else ""
