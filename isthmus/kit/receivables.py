"""Invoices and credit memos of an ERP: what is posted is read back, and has to be ours to the cent."""

from __future__ import annotations

from isthmus.kit.connector import Connector
from isthmus.kit.posting import same_total
from isthmus.kit.wire import Row, Verb
from isthmus.ports.messages import PostedInvoice, PostInvoice


class Receivables(Connector):
    """Subclasses say how a document is found and made, and what it says. A credit memo names the invoice it credits."""

    def posted_document(self, document: PostInvoice) -> Verb[Row | None]:
        """The invoice or credit memo of this number, if it is in the books."""
        raise NotImplementedError

    def credited_invoice(self, credit: PostInvoice) -> Verb[Row | None]:
        """The invoice that a credit memo credits, if it is in the books."""
        raise NotImplementedError

    def make_document(self, document: PostInvoice, original: Row | None) -> Verb[Row]:
        """Bring the document into the books, once; as it is then. original: the invoice that is credited."""
        raise NotImplementedError

    def read_document(self, record: Row, document: PostInvoice) -> PostedInvoice:
        """What a record says."""
        raise NotImplementedError

    def is_set_off(self, record: Row, credit: PostInvoice) -> Verb[bool]:
        """Whether a credit memo is set off against its invoice as far as it can be."""
        raise NotImplementedError

    def post_invoice(self, invoice: PostInvoice) -> Verb[PostedInvoice]:
        """Post the invoice with the engine's tax, and read it back: its total must be ours to the cent."""
        record = yield from self.make_document(invoice, None)
        return same_total(self.read_document(record, invoice), invoice)

    def find_invoice(self, invoice: PostInvoice) -> Verb[PostedInvoice | None]:
        """The invoice as it is there, if it was ever posted: a draft is no receivable yet."""
        record = yield from self.posted_document(invoice)
        return self.read_document(record, invoice) if record else None

    def post_credit(self, credit: PostInvoice) -> Verb[PostedInvoice]:
        """Post the credit memo, set off against what is still open of its invoice; the rest stays on account."""
        original = yield from self.credited_invoice(credit)
        if original is None:
            raise self.refusal(f"{self.system} has no posted invoice {credit.original_number}", "ORIGINAL", "original")
        record = yield from self.make_document(credit, original)
        return same_total(self.read_document(record, credit), credit)

    def find_credit(self, credit: PostInvoice) -> Verb[PostedInvoice | None]:
        """The credit memo as it is there, if it is posted and set off as far as it can be."""
        record = yield from self.posted_document(credit)
        ready = record is not None and (yield from self.is_set_off(record, credit))
        return self.read_document(record, credit) if record and ready else None
