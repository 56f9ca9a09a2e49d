"""Merging and splitting clients: a number that stands for another one. Reversible, nothing of either is changed."""

from __future__ import annotations

from isthmus.domain.errors import BadInput, IllegalTransition, NotFound
from isthmus.domain.objects import Client
from isthmus.runtime.books import Books
from isthmus.store.desk_records import ClientAlias


def merge(books: Books, duplicate: str, canonical: str, *, by: str, reason: str, case_no: str = "") -> ClientAlias:
    """From now on the duplicate's number stands for the canonical client, in every contract that names it."""
    books.tx.lock_all([f"client-alias:{duplicate}", f"client-alias:{canonical}"])
    if not duplicate or duplicate == canonical:
        raise BadInput(f"client {canonical} cannot be merged with itself")
    if books.tx.get(Client, canonical) is None:
        raise BadInput(f"there is no client {canonical}")
    chained = books.tx.get(ClientAlias, canonical)
    if chained is not None and chained.active:
        raise IllegalTransition(f"client {canonical} stands for {chained.canonical_no} itself: merge with that one")
    alias = ClientAlias(
        client_no=duplicate, canonical_no=canonical, by=by, at=books.now, reason=reason, case_no=case_no
    )
    books.tx.put(alias)
    books.audit("client.merge", f"client:{duplicate}", reason=reason, after={"stands_for": canonical}, actor=by)
    return alias


def split(books: Books, duplicate: str, *, by: str, reason: str) -> ClientAlias:
    """Take a merge back: contracts that come from now on get the client of their own number again."""
    books.tx.lock(f"client-alias:{duplicate}")
    alias = books.tx.get(ClientAlias, duplicate)
    if alias is None or not alias.active:
        raise NotFound(f"client {duplicate} stands for no other client")
    apart = alias.model_copy(update={"active": False})
    books.tx.update(apart)
    before = {"stands_for": alias.canonical_no}
    books.audit("client.split", f"client:{duplicate}", reason=reason, before=before, actor=by)
    return apart
