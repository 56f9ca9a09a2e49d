"""Steps that bring a rate card in force: a draft, an approval by another person, one active version of each code."""

from __future__ import annotations

from collections.abc import Sequence

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.objects import Rate, RateCard
from isthmus.policies.rates import overlaps
from isthmus.runtime.books import Books

CASE = "EX-RATE-CARD"
SHOWN = 200


def keep(books: Books, code: str, version: int) -> str:
    """The draft as it was handed in, checked against the cards in force."""
    card = _card(books, code, version)
    refuse_overlaps(books, card)
    return card.key


def retire(books: Books, code: str, version: int) -> None:
    """The draft will never price anything."""
    books.tx.update(_card(books, code, version).model_copy(update={"state": "retired"}))


def ask_for_approval(books: Books, code: str, version: int, handed_in_by: str) -> str:
    """Another person than the one who handed the card in approves it: EX-RATE-CARD says what changes."""
    answer = books.answers.get(CASE, {})
    card = _card(books, code, version)
    if answer.get("action") != "approve":
        changes = changes_of(card, in_force(books, code))
        raise NeedsDecision(
            CASE,
            f"{handed_in_by} hands in rate card {card.key} of {card.client_no or card.entity}: {len(card.rates)} rates"
            f" in {card.currency}, {len(changes)} differences to what is in force",
            queue="finance",
            context={"card": card.key, "source": card.source, "prepared_by": handed_in_by, "changes": changes[:SHOWN]},
            actions=("approve", "cancel"),
        )
    approved = card.model_copy(update={"state": "approved", "approved_by": (str(answer.get("by", "")),)})
    books.tx.update(approved)
    return f"approved by {', '.join(approved.approved_by)}"


def put_in_force(books: Books, code: str, version: int) -> str:
    """This version prices from now on, and the one before it no longer."""
    books.tx.lock(f"rate_card:{code}")
    card, before = _card(books, code, version), in_force(books, code)
    if before is not None and before.version > version:
        raise BadInput(f"rate card {before.key} is in force already; hand the prices of {card.key} in again")
    refuse_overlaps(books, card)
    if before is not None:
        books.tx.update(before.model_copy(update={"state": "retired"}))
    books.tx.update(card.model_copy(update={"state": "active"}))
    told = {"card": card.key, "rates": len(card.rates), "before": before.key if before else ""}
    books.emit("rate_card.activated", f"rate_card:{code}", told, entity=card.entity)
    books.audit("rate_card.activate", f"rate_card:{card.key}", reason=card.source, after=told)
    return f"{card.key} is in force"


def in_force(books: Books, code: str) -> RateCard | None:
    """The active version of a card."""
    found = books.tx.find(RateCard, code=code, state="active")
    return found[0] if found else None


def refuse_overlaps(books: Books, card: RateCard) -> None:
    """BadInput when another card of the same client or entity prices the same work: the rate would be ambiguous."""
    others = books.tx.find(RateCard, scope=card.scope, client_no=card.client_no, entity=card.entity, state="active")
    for other in others:
        if other.code != card.code and (found := overlaps((*other.rates, *card.rates), card.currency)):
            raise BadInput(f"rate card {card.code} and {other.key}, which is in force: {'; '.join(found[:5])}")


def changes_of(card: RateCard, before: RateCard | None) -> list[str]:
    """What is new or different, in words, and what the version before had and this one has not."""
    return differences(card.rates, before.rates if before else ())


def differences(rates: Sequence[Rate], before: Sequence[Rate]) -> list[str]:
    """The same of two sets of rates."""
    known, now = [_told(rate) for rate in before], [_told(rate) for rate in rates]
    return [*(f"new: {one}" for one in now if one not in known), *(f"gone: {one}" for one in known if one not in now)]


def _told(rate: Rate) -> str:
    facts = rate.model_dump(exclude_defaults=True, exclude={"level"})
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _card(books: Books, code: str, version: int) -> RateCard:
    found = books.tx.get(RateCard, code, version)
    if found is None:
        raise BadInput(f"no rate card {code}@{version}")
    return found
