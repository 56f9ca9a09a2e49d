"""Brings the books to what a source is worth now: a new item where it says something new, none where it does not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from isthmus.domain.objects import BillableItem, BillablePart, ContractVersion
from isthmus.policies.billing import PLACED
from isthmus.policies.charges import charge_key_of, is_same_share, no_longer, same_worth, share_key
from isthmus.processes.work.correcting import correct
from isthmus.runtime.books import Books

Chains = Mapping[str, Sequence[BillableItem]]


def bring_to(books: Books, wanted: Iterable[BillableItem], chains: Chains) -> list[BillableItem]:
    """New items (not inserted yet) after which each chain says what is wanted.

    chains: all items known of the sources in question, by source key, oldest first. A chain that is not wanted any more
    is brought to nothing; what of it is on paper comes back as a credit.
    """
    by_key = {item.source_key: item for item in along(books, wanted, chains)}
    new = [one for key, item in by_key.items() for one in _next(books, item, chains.get(key, ()))]
    for key, chain in chains.items():
        if key not in by_key and chain and (chain[-1].entry_net or chain[-1].entry_quantity):
            new += _next(books, no_longer(chain[-1]), chain)
    return new


def along(books: Books, wanted: Iterable[BillableItem], chains: Chains) -> list[BillableItem]:
    """What is wanted, each under the key its payer's share of the charge is known by on its contract.

    A chain is of one payer: what it has on paper is on that payer's invoices. Where another payer's share would come
    under its key, it gets a key that names the payer.
    """
    found, taken = [], set[str]()
    of_charge: dict[tuple[str, str], list[Sequence[BillableItem]]] = {}
    for chain in (chain for chain in chains.values() if chain):
        of_charge.setdefault((chain[-1].contract_no, charge_key_of(chain[-1])), []).append(chain)
    for item in wanted:
        known = of_charge.get((item.contract_no, charge_key_of(item)), ())
        key = _key_of(books, item, known) if known else item.source_key
        if key in taken:
            key = share_key(charge_key_of(item), item.payer, item.po_number)
        taken.add(key)
        # What names nobody is the client's; under a key that names the client it says so.
        payer = item.payer or next((chain[-1].payer for chain in known if chain[-1].source_key == key), "")
        if (key, payer) != (item.source_key, item.payer):
            item = item.model_copy(update={"source_key": key, "item_id": f"{key}#{item.revision}", "payer": payer})
        found.append(item)
    return found


def _key_of(books: Books, item: BillableItem, known: Sequence[Sequence[BillableItem]]) -> str:
    taken = {chain[-1].source_key for chain in known}
    if item.source_key in taken and all(chain[-1].payer == item.payer for chain in known):
        return item.source_key
    client = client_of(books, item.contract_no)
    mine = [chain[-1] for chain in known if is_same_share(chain[-1], item, client)]
    if mine:  # the same order first, then what is worth something
        return max(mine, key=lambda last: (last.po_number == item.po_number, bool(last.entry_net))).source_key
    if item.source_key not in taken:
        return item.source_key
    return share_key(charge_key_of(item), item.payer or client)


def client_of(books: Books, contract_no: str) -> str:
    """The client of a contract, who pays what names nobody; empty where no terms are kept."""
    found = books.tx.find(ContractVersion, contract_no=contract_no, order=("-version",), limit=1)
    return found[0].client_no if found else ""


def _next(books: Books, wanted: BillableItem, earlier: Sequence[BillableItem]) -> list[BillableItem]:
    """Nothing, or the next word on a source; where it has moved, one that ends it on the contract it has left first."""
    if not earlier:
        return [wanted]
    latest = earlier[-1]
    if nothing_new(books, earlier, wanted):
        return []
    if latest.contract_no == wanted.contract_no:
        return [correct(books, _after(latest, wanted), earlier)]
    left = no_longer(latest)
    left = _after(latest, left.model_copy(update={"price_trace": {**left.price_trace, "moved_to": wanted.contract_no}}))
    return [left, correct(books, _after(left, wanted), earlier)]


def nothing_new(books: Books, chain: Sequence[BillableItem], wanted: BillableItem) -> bool:
    """True when a word on a source says nothing new: neither what it is worth nor, as long as it is not on paper, under
    which category it is taxed. What is on paper keeps its tax until it is credited.
    """
    latest = chain[-1]
    if not same_worth(latest, wanted):
        return False
    return latest.tax_category == wanted.tax_category or is_on_paper(books, chain)


def is_on_paper(books: Books, chain: Iterable[BillableItem]) -> bool:
    """True when a draft or an invoice holds something of a source."""
    ids = tuple(item.item_id for item in chain)
    return bool(ids) and any(p.state in PLACED and p.invoice_id for p in books.tx.find(BillablePart, item_id=ids))


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
