"""DocuSign fills Esign: envelopes that came to an end, with the contract version they are about and who has signed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import ClassVar

from isthmus.connectors.docusign import mapping as m
from isthmus.connectors.docusign.login import JwtGrant
from isthmus.domain.envelopes import SignedEnvelope
from isthmus.domain.errors import BadInput
from isthmus.kit.auth import Auth
from isthmus.kit.connector import Connector
from isthmus.kit.mapping import readable, to_utc
from isthmus.kit.paging import Page, by_last_change, latest
from isthmus.kit.wire import Request, Row, Verb
from isthmus.ports.messages import SignedPage


class Docusign(Connector):
    """DocuSign eSignature. settings: fields (our name to the envelope custom field), roles (their role name to ours),
    read_documents (yes, no: whether the signed document is read for its hash), since (where a first look begins).
    """

    defaults = m.DEFAULTS
    auth_kinds: ClassVar[Mapping[str, type[Auth]]] = {"jwt_grant": JwtGrant}

    # -- Esign ---------------------------------------------------------------------------------------------------
    def envelopes_ended(self, watermark: str) -> Verb[SignedPage]:
        """Envelopes completed, declined or voided since the watermark less the overlap, oldest first.

        From the list alone, which tells fields and recipients: an envelope may not be asked for itself more often than
        every fifteen minutes. One without our contract field is somebody else's, such as a letter of employment.
        """
        start = self.since(watermark) or to_utc(self.setting("since"))

        def ask(since: datetime | None, place: int) -> Verb[Page]:
            size = self.manifest.page_size
            query = {
                "from_date": (since or start).isoformat(),
                "from_to_status": "changed",
                "status": ",".join(m.ENDED),
                "include": m.INCLUDED,
                "order_by": "status_changed",
                "order": "asc",
                "count": size,
                "start_position": place * size,
            }
            answer = yield Request("GET", "envelopes", query=query)
            rows = [{**row, "id": row["envelopeId"]} for row in answer.body.get("envelopes") or []]
            return Page(rows, bool(answer.body["nextUri"]), int(answer.body["totalSetSize"]))

        rows = yield from by_last_change(ask, start, m.CHANGED)
        number = self.setting("fields")["contract_no"]
        ours = [row for row in rows if m.named_values(row).get(number)]
        found, unreadable = readable(ours, self._read)
        # A list by status may hold others too: what is still under way comes again when it has ended.
        ended = tuple(envelope for envelope in found if envelope.state in m.ENDED)
        return SignedPage(envelopes=ended, watermark=latest(rows, m.CHANGED, watermark), unreadable=unreadable)

    def read_envelope(self, envelope_id: str) -> Verb[SignedEnvelope]:
        """One envelope as it stands; a completed one with the SHA-256 of its signed documents, all in one file."""
        answer = yield Request("GET", f"envelopes/{envelope_id}", query={"include": m.INCLUDED})
        envelope = self._read(answer.body)
        if envelope.state != "completed" or self.setting("read_documents") == "no":
            return envelope
        path = f"envelopes/{envelope_id}/documents/combined"
        signed = yield Request("GET", path, headers={"Accept": "application/pdf"})
        if not signed.content.startswith(b"%PDF"):  # a page of a proxy would be evidence of nothing
            raise BadInput(f"envelope {envelope_id}: its signed document is empty or no PDF")
        return envelope.model_copy(update={"document_hash": hashlib.sha256(signed.content).hexdigest()})

    def _read(self, row: Row) -> SignedEnvelope:
        return m.envelope_of(row, self.setting("fields"), self.setting("roles"))
