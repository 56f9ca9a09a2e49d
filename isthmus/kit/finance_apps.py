"""Microsoft's finance and operations apps as a platform, whatever is kept in them: companies in every key, documents
that are a header and lines, and custom services that post them.

Sources: Microsoft, finance and operations apps: "Open Data Protocol (OData)", "Custom services"; the Common Data Model.
No data entity posts a document: a custom service of the firm does, or its batch job, which is waited for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from isthmus.domain.errors import Underway
from isthmus.domain.objects import ExternalRef
from isthmus.kit.drafts import Document, Drafts
from isthmus.kit.numbered import Progress, progress_of, watermark_of
from isthmus.kit.odata import Keys, ODataConnector, has, literal, one_of, same
from isthmus.kit.wire import Request, Row, Verb

COMPANY, BATCH = "dataAreaId", "JournalBatchNumber"


@dataclass(frozen=True)
class Documents:
    """Documents of a kind: their headers and lines, what numbers a header and what that is called in its lines.

    ours: the field of our number, or the setting that names it; service: the setting that names the service that posts.
    Both are empty where others make them.
    """

    headers: str
    lines: str
    number: str
    in_lines: str
    ours: str = ""
    service: str = ""

    def key(self, row: Keys, *, number: str = "", company: str = COMPANY) -> Row:
        """The key of a header; number, company: what they are called where it is looked for."""
        return {company: row[COMPANY], number or self.number: row[self.number]}

    def place(self, row: Keys) -> str:
        """The key of a header as one text."""
        return f"{row[COMPANY]}:{row[self.number]}"


INVOICES = Documents(
    "FreeTextInvoiceHeaders",
    "FreeTextInvoiceLines",
    "InvoiceIdentifier",
    "ParentRecId",
    "ExternalInvoiceId",
    "post_service",
)
JOURNALS = Documents("LedgerJournalHeaders", "LedgerJournalLines", BATCH, BATCH, "journal_key", "journal_service")
PAYMENTS = Documents("CustomerPaymentJournalHeaders", "CustomerPaymentJournalLines", BATCH, BATCH)


class CompanyConnector(ODataConnector):
    """Base of connectors to systems that keep each legal entity's records apart, the company in every key.

    The setting companies says which company a legal entity is.
    """

    options: ClassVar = {"cross-company": "true"}  # without it only the user's default company answers

    def companies(self) -> list[str]:
        """The companies the firm has there. NeedsSetup when it has named none."""
        return sorted(set(self.setting("companies").values())) or [self.coded("companies", "a legal entity")]

    def company(self, entity: str) -> Row:
        """The key field of a legal entity's company."""
        return {COMPANY: self.coded("companies", entity)}

    def ours(self, values: Keys | None = None) -> str:
        """The filter for records of the firm's companies that have these values."""
        firm = one_of(COMPANY, self.companies())
        return f"{same(values)} and {firm}" if values else firm

    def put_in_each(self, ref: ExternalRef, values: Keys, body: Row, first: Row | None = None) -> Verb[ExternalRef]:
        """Bring the record with these values to those of the body in every company, or create it there."""
        for company in self.companies():
            yield from self.put(ref, {COMPANY: company, **values}, body, first)
        return ref

    def rows_with(self, entity_set: str, values: Keys) -> Verb[list[Row]]:
        """The records with these values, in whichever of the firm's companies: a star in them is a star."""
        rows = yield from self.rows(entity_set, self.ours(values))
        return [row for row in rows if has(row, values)]


class DocumentConnector(CompanyConnector, Drafts):
    """Base of connectors that have documents posted. documents: what each of ours is there.

    The manifest's states.IsPosted says which are posted.
    """

    documents: ClassVar[Mapping[type, Documents]] = {}

    def our_keys(self, document: Document, number: str) -> Row:
        """What a document of this number of ours is looked for by."""
        field = self.documents[type(document)].ours
        named = self.setting(field) if field in self.settings_known else field
        return self.company(document.entity) | {named: number}

    def copies_of(self, document: Document, number: str) -> Verb[list[Row]]:
        """See Drafts."""
        kind = self.documents[type(document)]
        return self.rows(kind.headers, same(self.our_keys(document, number)), order=kind.number)

    def drop_copy(self, document: Document, row: Row) -> Verb[None]:
        """See Drafts. Its lines go with it."""
        kind = self.documents[type(document)]
        yield Request("DELETE", self.at(kind.headers, kind.key(row)), if_match=row["@odata.etag"])

    def is_posted(self, document: Row) -> bool:
        """Whether a document is posted. BadInput for a state nobody knows."""
        return self.state("IsPosted", document["IsPosted"]) == "posted"

    def lines_of(self, kind: Documents, row: Keys) -> Verb[list[Row]]:
        """The lines of a document."""
        return self.rows(kind.lines, same(kind.key(row, number=kind.in_lines)))

    def have_posted(self, kind: Documents, row: Keys) -> Verb[None]:
        """Call the firm's service, which posts nothing twice. Nothing, where its batch job posts."""
        if self.setting(kind.service):
            yield Request("POST", f"api/services/{self.setting(kind.service)}", json=kind.key(row))

    def posted(self, kind: Documents, key: Keys, job: str) -> Verb[Row]:
        """The document, once it is posted. Underway, under this job, while it waits to be; refused when it is gone."""
        row, named = (yield from self.read(kind.headers, kind.key(key))), f"{self.system}: {kind.place(key)}"
        if row is None:
            raise self.refusal(f"{named}, which waited to be posted, is gone", "GONE", kind.number)
        if not self.is_posted(row):
            raise Underway(f"{named} waits to be posted", job=job, state="staged")
        return row

    def newly_posted(self, kind: Documents, watermark: str) -> Verb[tuple[list[Row], str]]:
        """Documents posted since then, of every company, and the next watermark. No date tells when one was posted, so
        they are read by number, and unposted ones are asked for again.
        """
        places, found = progress_of(watermark), list[Row]()
        for company in self.companies():
            place, key = places.get(company, Progress()), {COMPANY: company}
            newer = f"{same(key)} and {kind.number} gt {literal(place.after)}"
            rows = yield from self.rows(kind.headers, newer, order=kind.number)
            rows += yield from self.rows_of(kind.headers, [key | {kind.number: number} for number in place.open])
            places[company] = place.moved((row[kind.number], self.is_posted(row)) for row in rows)
            found += [row for row in rows if self.is_posted(row)]
        return found, watermark_of(places)
