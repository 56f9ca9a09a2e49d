"""Documents of an ERP that knows no idempotency key: drafted under our number, looked for under it, then posted.

A lost answer may have left a draft, or two: what is there is found and finished, and one too many deleted.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from isthmus.domain.errors import StaleRead
from isthmus.domain.journals import Journal
from isthmus.kit.connector import Connector
from isthmus.kit.posting import one_of_copies, ready_to_post
from isthmus.kit.receivables import Receivables
from isthmus.kit.wire import Row, Verb
from isthmus.ports.messages import PostInvoice

Document = PostInvoice | Journal


class Drafts(Connector):
    """Subclasses say how documents of ours are found, drafted and deleted, and which are posted."""

    def copies_of(self, document: Document, number: str) -> Verb[list[Row]]:
        """Every document of this number, of the kind and in the books of ours, in a stable order."""
        raise NotImplementedError

    def draft(self, document: Any) -> Verb[Any]:
        """A new one, not yet posted: by the method that the subclass has for its kind."""
        drafting: Verb[Any] = getattr(self, f"draft_{_kind(document)}")(document)
        return drafting

    def drop_copy(self, document: Document, row: Row) -> Verb[Any]:
        """Delete one that is not posted."""
        raise NotImplementedError

    def is_posted(self, row: Row) -> bool:
        """Whether a document counts in the books."""
        raise NotImplementedError

    def drafted(self, document: Document) -> Verb[Row]:
        """The one document of our number: looked for, else drafted and looked for again, as one that came meanwhile is
        ours too; copies that a repeated request has left are deleted.
        """
        held, copies = yield from self._look(document, number_of(document))
        if held is None:
            yield from self.draft(document)
            held, copies = yield from self._look(document, number_of(document))
        for copy in copies:
            yield from self.drop_copy(document, copy)
        if held is None:
            raise StaleRead(f"{self.system} does not show {number_of(document)} yet")
        return held

    def in_the_books(self, document: Document, number: str = "") -> Verb[Row | None]:
        """The document of our number, or of another one of its kind, if it is posted."""
        held, _ = yield from self._look(document, number or number_of(document))
        return held if held and self.is_posted(held) else None

    def _look(self, document: Document, number: str) -> Verb[tuple[Row | None, list[Row]]]:
        return one_of_copies((yield from self.copies_of(document, number)), self.is_posted, number, self.system)


def _kind(document: Document) -> str:
    return "journal" if isinstance(document, Journal) else "invoice"


def number_of(document: Document) -> str:
    """The hub's number of a document."""
    return document.journal_no if isinstance(document, Journal) else document.number


class DraftedInvoices(Receivables, Drafts):
    """Invoices and credit memos that are drafted. Subclasses say what a draft comes to, how it is posted, and what else
    belongs to a posted one.
    """

    def draft_invoice(self, document: PostInvoice) -> Verb[Any]:
        """A new one, not yet posted."""
        raise NotImplementedError

    def drawn_up(self, document: PostInvoice, draft: Row) -> Verb[tuple[int, Decimal]]:
        """How many lines a draft has and what they come to, tax included, with our sign."""
        raise NotImplementedError

    def finish_document(self, document: PostInvoice, draft: Row) -> Verb[Row]:
        """Post a draft; as it is then."""
        raise NotImplementedError

    def whole(self, row: Row) -> Verb[Row]:
        """A posted document with all that is read of it."""
        yield from ()
        return row

    def make_document(self, document: PostInvoice, original: Row | None) -> Verb[Row]:
        """See Receivables."""
        row = yield from self.drafted(document)
        if not self.is_posted(row):
            ready_to_post(*(yield from self.drawn_up(document, row)), document, self.system)
            row = yield from self.finish_document(document, row)
        return (yield from self.whole(row))

    def posted_document(self, document: PostInvoice) -> Verb[Row | None]:
        """See Receivables. A draft is no receivable yet."""
        row = yield from self.in_the_books(document)
        return (yield from self.whole(row)) if row else None

    def credited_invoice(self, credit: PostInvoice) -> Verb[Row | None]:
        """See Receivables."""
        return self.in_the_books(credit, credit.original_number)
