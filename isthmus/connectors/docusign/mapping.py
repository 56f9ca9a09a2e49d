"""What DocuSign says about an envelope, in our words. Data only, but for the reading of one envelope."""

from __future__ import annotations

from collections.abc import Mapping

from isthmus.domain.envelopes import Signature, SignedEnvelope
from isthmus.domain.errors import BadInput
from isthmus.kit.mapping import StatusTable, to_utc
from isthmus.kit.wire import Row, dig

CHANGED = "statusChangedDateTime"
ENDED = ("completed", "declined", "voided")
INCLUDED = "custom_fields,recipients"
# Everything an envelope can be. deleted: thrown away while under way; timedout: it expired, and is voided with that.
STATES = StatusTable(
    "docusign envelope",
    {
        "created": "sent",
        "processing": "sent",
        "sent": "sent",
        "delivered": "sent",
        "signed": "sent",
        "correct": "sent",
        "completed": "completed",
        "declined": "declined",
        "voided": "voided",
        "deleted": "voided",
        "timedout": "voided",
    },
)
DEFAULTS = {
    "fields": {
        "contract_no": "contract_no",
        "version": "contract_version",
        "change_order": "change_order",
        "cap_delta": "cap_delta",
    },
    "roles": {"legal": "legal", "finance": "finance", "client": "client"},
    "read_documents": "yes",
    "since": "2000-01-01T00:00:00Z",
}
# Those who sign, and where name and address of each stand: of an in-person signer the others are the host's.
SIGNERS = {"signers": ("name", "email"), "inPersonSigners": ("signerName", "signerEmail")}


def named_values(envelope: Row) -> dict[str, str]:
    """Custom fields of an envelope by name, those that hold something."""
    kinds = envelope.get("customFields") or {}
    held = [one for kind in ("textCustomFields", "listCustomFields") for one in kinds.get(kind) or []]
    return {one["name"]: one["value"] for one in held if one.get("value")}


def envelope_of(row: Row, fields: Mapping[str, str], roles: Mapping[str, str]) -> SignedEnvelope:
    """The envelope and what it is about. BadInput when it names no contract version of ours.

    fields: our name to theirs; roles: their name to ours.
    """
    values = named_values(row)
    number, version = values.get(fields["contract_no"], ""), values.get(fields["version"], "")
    for name, value in ((fields["contract_no"], number), (fields["version"], version)):
        if not value:
            raise BadInput(f"envelope {row['envelopeId']}: the custom field {name} is empty")
    if not version.isdigit():
        raise BadInput(f"envelope {row['envelopeId']}: {fields['version']} is {version!r}, which is no version")
    state, ours = STATES.read(row["status"]), {theirs.casefold(): role for theirs, role in roles.items()}
    return SignedEnvelope(
        envelope_id=row["envelopeId"],
        contract_no=number,
        version=int(version),
        change_order=values.get(fields["change_order"], ""),
        cap_delta=values.get(fields["cap_delta"], ""),
        state=state,
        completed_at=to_utc(row["completedDateTime"]) if state == "completed" else None,
        signatures=tuple(_signatures(row, ours)),
        document_ref=f"docusign:{row['envelopeId']}",
        reason=_reason(row, state),
    )


def _signatures(row: Row, roles: Mapping[str, str]) -> list[Signature]:
    """Those who have signed, each in the role they signed for."""
    found = []
    for kind, (name, email) in SIGNERS.items():
        for one in dig(row, f"recipients.{kind}") or []:
            if one.get("signedDateTime"):
                role = one.get("roleName") or ""
                found.append(
                    Signature(
                        name=one[name],
                        email=one[email],
                        role=roles.get(role.casefold(), role),
                        signed_at=to_utc(one["signedDateTime"]),
                    )
                )
    return found


def _reason(row: Row, state: str) -> str:
    """Why it came to nothing: what the one who declined or voided it has said."""
    if state == "voided":
        return str(row.get("voidedReason") or row["status"])
    said = [one for kind in SIGNERS for one in dig(row, f"recipients.{kind}") or [] if one.get("declinedReason")]
    return "; ".join(f"{one.get('name')}: {one['declinedReason']}" for one in said) if state == "declined" else ""
