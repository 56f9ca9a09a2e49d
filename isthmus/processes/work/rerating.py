"""Steps that bring evidence to amended terms: what is not billed is priced anew, what is billed gets a difference."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import BillableItem, BillablePart, ContractVersion, Invoice, Project, TimeEntry
from isthmus.domain.states import PartState
from isthmus.policies.billing import PLACED
from isthmus.policies.charges import Terms, charge_time, groups_of_days, items_of, same_worth
from isthmus.processes.work.batch import cards_of, latest_of
from isthmus.processes.work.charging import bring_to, chains_of, chosen_lines
from isthmus.processes.work.evidence import place
from isthmus.runtime.books import Books

ZERO = Decimal(0)


def rerate_unbilled(books: Books, contract: ContractVersion) -> int:
    """P4.5: evidence from the amendment's effective day on that no paper holds is priced anew: a new revision each."""
    return _bring(books, contract, billed=False)


def rerate_billed(books: Books, contract: ContractVersion) -> int:
    """P4.5: billed evidence keeps its invoice; the difference in price is an item of its own, quantity zero."""
    return _bring(books, contract, billed=True)


def difference(books: Books, contract: ContractVersion) -> list[tuple[str, str, str]]:
    """P4.5: what the new terms change on billed evidence: (source, net now on paper, net under the new terms)."""
    changes = []
    for wanted, chain in _changed(books, contract):
        if _is_billed(books, chain):
            changes.append((wanted.source_key, str(chain[-1].entry_net), str(wanted.entry_net)))
    return changes


def review(books: Books, contract: ContractVersion, changes: list[tuple[str, str, str]]) -> str:
    """A person sees the difference on billed evidence before it becomes money: EX-RERATE-REVIEW."""
    delta = sum((Decimal(now) - Decimal(was) for _, was, now in changes), ZERO)
    answer = books.answers.get("EX-RERATE-REVIEW", {})
    if answer.get("action") == "approve":
        return f"{delta} approved by {answer.get('by')}"
    raise NeedsDecision(
        "EX-RERATE-REVIEW",
        f"contract {contract.key} takes effect on {contract.effective_from}: {len(changes)} billed entries change by"
        f" {delta} {contract.currency} in all",
        queue="pricing",
        money=(abs(delta), contract.currency),
        context={
            "contract": contract.key,
            "prepared_by": contract.finance_approved_by,
            "changes": [{"source": s, "was": w, "now": n} for s, w, n in changes[:200]],
        },
        actions=("approve", "cancel"),
    )


def _bring(books: Books, contract: ContractVersion, billed: bool) -> int:
    books.tx.lock(f"contract:{contract.contract_no}")
    new: list[BillableItem] = []
    for wanted, chain in _changed(books, contract):
        if _is_billed(books, chain) is billed:
            told = f"re-rate v{contract.version}"
            refers_to = _invoice_of(books, chain) if billed else ""
            trace = {**wanted.price_trace, "source": told}
            marked = wanted.model_copy(update={"raw_quantity": None, "refers_to": refers_to, "price_trace": trace})
            new += bring_to(books, [marked], {wanted.source_key: chain})
    books.tx.insert_many(new)
    if new:
        place(books, new)
    return len(new)


def _changed(books: Books, contract: ContractVersion) -> list[tuple[BillableItem, Sequence[BillableItem]]]:
    """What the terms now in force say of the time from the effective day on, where it differs from what is known."""
    projects = books.tx.find(Project, contract_no=contract.contract_no)
    versions = books.tx.find(ContractVersion, contract_no=contract.contract_no, order=("version",))
    found: list[tuple[BillableItem, Sequence[BillableItem]]] = []
    for project in projects:
        kept = books.tx.find(TimeEntry, project_code=project.project_code, order=("revision",))
        latest = {
            entry.key: entry
            for entry in latest_of(books, kept).values()
            if entry.project_code == project.project_code
            and max(entry.service_date, *entry.days, entry.service_date) >= contract.effective_from
        }
        keys = tuple(sorted(latest))
        items = books.tx.find(BillableItem, entry_key=keys, order=("revision",)) if keys else []
        terms = Terms(
            versions=versions,
            tasks={task.code: task for task in project.tasks},
            cards=cards_of(books, {contract.contract_no: versions})[contract.contract_no],
            chosen=chosen_lines(items, contract.contract_no),
        )
        chains = chains_of(item for item in items if item.contract_no == contract.contract_no)
        for group in groups_of_days(latest.values(), terms):
            for charge in charge_time(group, terms):
                for wanted in items_of(charge):
                    chain = chains.get(wanted.source_key, ())
                    if chain and not same_worth(chain[-1], wanted) and not _is_given_up(books, chain):
                        found.append((wanted, chain))
    return found


def _is_given_up(books: Books, chain: Sequence[BillableItem]) -> bool:
    """Hours that are written off or transferred whole keep the price they were given up at: no difference is billed."""
    ids = tuple(item.item_id for item in chain)
    parts = books.tx.find(BillablePart, item_id=ids, state=(PartState.WRITTEN_OFF, PartState.TRANSFERRED))
    return bool(parts) and sum((part.net for part in parts), ZERO) == chain[-1].entry_net


def _is_billed(books: Books, chain: Sequence[BillableItem]) -> bool:
    ids = tuple(item.item_id for item in chain)
    return any(part.state in PLACED and part.invoice_id for part in books.tx.find(BillablePart, item_id=ids))


def _invoice_of(books: Books, chain: Sequence[BillableItem]) -> str:
    """The number of the last invoice that has billed the source: what a difference refers to."""
    ids = tuple(item.item_id for item in chain)
    named = sorted({p.invoice_id for p in books.tx.find(BillablePart, item_id=ids) if p.invoice_id})
    numbers = [i.number for i in books.tx.find(Invoice, invoice_id=tuple(named)) if i.number] if named else []
    return max(numbers, default="")
