"""Brings the books to what a source is worth now: a new item where it says something new, none where it does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from isthmus.domain.objects import BillableItem
from isthmus.policies.charges import no_longer, same_worth
from isthmus.processes.work.correcting import correct
from isthmus.runtime.books import Books

Chains = Mapping[str, Sequence[BillableItem]]


def bring_to(books: Books, wanted: Iterable[BillableItem], chains: Chains) -> list[BillableItem]:
    """New items (not inserted yet) after which each chain says what is wanted.

    chains: all items known of the sources in question, by source key, oldest first. A chain that is not wanted any more
    is brought to nothing; what of it is on paper comes back as a credit.
    """
    by_key = {item.source_key: item for item in wanted}
    new = [one for key, item in by_key.items() for one in _next(books, item, chains.get(key, ()))]
    for key, chain in chains.items():
        if key not in by_key and chain and (chain[-1].entry_net or chain[-1].entry_quantity):
            new += _next(books, no_longer(chain[-1]), chain)
    return new


def _next(books: Books, wanted: BillableItem, earlier: Sequence[BillableItem]) -> list[BillableItem]:
    """Nothing, or the next word on a source; where it has moved, one that ends it on the contract it has left first."""
    if not earlier:
        return [wanted]
    latest = earlier[-1]
    if same_worth(latest, wanted):
        return []
    if latest.contract_no == wanted.contract_no:
        return [correct(books, _after(latest, wanted), earlier)]
    left = _after(latest, no_longer(latest))
    return [left, correct(books, _after(left, wanted), earlier)]


def _after(latest: BillableItem, wanted: BillableItem) -> BillableItem:
    number = latest.revision + 1
    return wanted.model_copy(update={"revision": number, "item_id": f"{wanted.source_key}#{number}"})


def chosen_lines(items: Iterable[BillableItem], contract_no: str) -> dict[str, str]:
    """By entry, the line of a contract that its last evidence there is on."""
    ordered = sorted((i for i in items if i.contract_no == contract_no), key=lambda i: (i.entry_revision, i.revision))
    return {item.entry_key: item.line_uid for item in ordered}


def chains_of(items: Iterable[BillableItem]) -> dict[str, list[BillableItem]]:
    """Items by source key, oldest first."""
    chains: dict[str, list[BillableItem]] = {}
    for item in sorted(items, key=lambda i: (i.source_key, i.revision)):
        chains.setdefault(item.source_key, []).append(item)
    return chains
