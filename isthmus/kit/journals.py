"""Journals in systems that know no idempotency key: drafted under our number, then posted. And what is in them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from isthmus.domain.journals import Journal, JournalLine
from isthmus.domain.objects import ExternalRef
from isthmus.kit.drafts import Drafts
from isthmus.kit.wire import Row, Verb


class DraftedJournals(Drafts):
    """Fills JournalBook. Subclasses say how one is posted; their setting ledger_accounts, which account is for what."""

    def draft_journal(self, journal: Journal) -> Verb[Any]:
        """A new one, not yet posted."""
        raise NotImplementedError

    def finish_journal(self, journal: Journal, row: Row) -> Verb[ExternalRef]:
        """Post one that is not, and say as what it is booked."""
        raise NotImplementedError

    def booked_as(self, row: Row) -> ExternalRef:
        """What a journal that is posted is called."""
        raise NotImplementedError

    def post_journal(self, journal: Journal) -> Verb[ExternalRef]:
        """Book the journal under its number, once."""
        row = yield from self.drafted(journal)
        return self.booked_as(row) if self.is_posted(row) else (yield from self.finish_journal(journal, row))

    def find_journal(self, journal: Journal) -> Verb[ExternalRef | None]:
        """The journal, if it is posted: one that is not is in nobody's books yet."""
        row = yield from self.in_the_books(journal)
        return self.booked_as(row) if row else None

    def ready_to_book(self, journal: Journal, sides: int, debit: Decimal) -> None:
        """A refusal unless what is about to be posted is our journal: afterwards it would be too late."""
        self.same_sides(journal.journal_no, (sides, debit), (len(journal.lines), journal.total))

    def same_sides(self, number: str, theirs: tuple[int, Decimal], ours: tuple[int, Decimal]) -> None:
        """As ready_to_book: how many sides there are, and what the debits among them come to."""
        if theirs != ours:
            cause = f"{self.system} has {number} with {theirs[0]} sides of {theirs[1]}, not {ours[0]} of {ours[1]}"
            raise self.refusal(f"{cause}; it is not posted", "TOTAL_DIFFERS", "lines")

    def account_of(self, line: JournalLine) -> str:
        """The account of a side, by what it is for. NeedsSetup when the firm has not said which it is."""
        return self.coded("ledger_accounts", line.account)


def client_of(line: JournalLine) -> str:
    """The client whose debt a side is about; empty for every other account."""
    return line.client_no if line.account == "receivables" else ""


def vouchers(lines: Sequence[JournalLine]) -> list[int]:
    """Which voucher each side is of, from 1: one ends where its debits are its credits, so that each is small."""
    numbers, off = [1], Decimal(0)
    for line in lines[:-1]:
        off += line.debit - line.credit
        numbers.append(numbers[-1] + (not off))
    return numbers
