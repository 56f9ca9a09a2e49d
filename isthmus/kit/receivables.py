"""Invoices and credit memos of an ERP: what is posted is read back and has to be ours to the cent. And its payments."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from isthmus.domain.objects import Payment
from isthmus.kit.connector import Connector
from isthmus.kit.mapping import at_minor_unit, sum_by_key
from isthmus.kit.posting import same_total
from isthmus.kit.wire import Row, Verb
from isthmus.ports.messages import PostedInvoice, PostInvoice


class Receivables(Connector):
    """Subclasses say how a document is found and made, and what it says. A credit memo names the invoice it credits."""

    def posted_document(self, document: PostInvoice) -> Verb[Row | None]:
        """The document of this number, if it is in the books; a credit memo, if it is set off as far as it can be."""
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
        return self.find_invoice(credit)

    def payment(
        self, amount: Any, currency: str, references: Iterable[Any], applies: Iterable[tuple[str, Any]], **facts: Any
    ) -> Payment:
        """A payment in this currency. references: the first that is not empty counts. applies: document and amount, a
        document in instalments several times. facts: source_id, client_no, value_date.
        """
        paid = sum_by_key((number, at_minor_unit(Decimal(part), currency)) for number, part in applies)
        named: Row = {"reference": next(filter(None, references), ""), "applies": paid, **facts}
        return Payment(source=self.system, amount=at_minor_unit(Decimal(amount), currency), currency=currency, **named)
