"""Who has approved a contract: whom its owner system names, and who has signed for it. It takes two persons."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product

from isthmus.domain.envelopes import EnvelopeFacts
from isthmus.domain.names import person_key

LEGAL, FINANCE = ROLES = ("legal", "finance")
Person = tuple[str, str]  # name and e-mail


def is_evidence(envelope: EnvelopeFacts) -> bool:
    """True when the envelope approves the contract version it is about: all have signed, and not a change order."""
    return envelope.state == "completed" and not envelope.change_order


def approvers(named: Mapping[str, str], envelopes: Sequence[EnvelopeFacts]) -> dict[str, str]:
    """Who has approved, by role: whom the contract names, else the signer in that role (by e-mail), else nobody ("").

    Where that would be one person for both, a signer stands in for whom the contract names, if another has signed.
    """
    signed = [envelope for envelope in envelopes if is_evidence(envelope)]
    able = {role: [*_named(named.get(role, "")), *_signers(role, signed)] for role in ROLES}
    pairs = product(able[LEGAL], able[FINANCE])
    two = next(((legal, finance) for legal, finance in pairs if not _same_person(legal, finance)), None)
    if two is not None:
        return {LEGAL: _told(two[0]), FINANCE: _told(two[1])}
    if all(able.values()):  # all there are, are one person: told under one name, however they are written
        return dict.fromkeys(ROLES, _told(able[LEGAL][0]))
    return {role: _told(able[role][0]) if able[role] else "" for role in ROLES}


def missing_approvals(found: Mapping[str, str]) -> list[str]:
    """Roles whose approval is missing; finance when the same person has approved for both."""
    missing = [role for role in ROLES if not found.get(role)]
    if not missing and _same_person(*((found[role], found[role]) for role in ROLES)):
        return [FINANCE]
    return missing


def _named(by: str) -> list[Person]:
    return [(by, by)] if by else []


def _signers(role: str, envelopes: Iterable[EnvelopeFacts]) -> list[Person]:
    return [(s.name, s.email) for envelope in envelopes for s in envelope.signatures if s.role == role]


def _told(person: Person) -> str:
    return person[1] or person[0]


def _same_person(one: Person, other: Person) -> bool:
    """Name or e-mail are the same, however they are written: in doubt it is nobody else."""
    known = [{key for text in person if (key := person_key(text))} for person in (one, other)]
    return bool(known[0] & known[1])
