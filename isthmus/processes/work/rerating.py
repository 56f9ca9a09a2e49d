"""Steps that bring evidence to amended terms: what is not billed is priced anew, what is billed gets a difference."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.objects import (
    BillableItem,
    BillablePart,
    ContractVersion,
    Expense,
    Invoice,
    Project,
    TimeEntry,
)
from isthmus.domain.states import PartState
from isthmus.policies.charges import Terms, charge_key_of, charge_time, groups_of_days, items_of, no_longer
from isthmus.policies.rates import version_in_force
from isthmus.processes.work.batch import cards_of, latest_of
from isthmus.processes.work.charging import (
    along,
    bring_to,
    chains_of,
    chosen_lines,
    client_of,
    is_on_paper,
    nothing_new,
)
from isthmus.processes.work.closing import flag_prior_period
from isthmus.processes.work.deriving import DERIVED, FROM, charges_of
from isthmus.processes.work.evidence import place
from isthmus.processes.work.exchange import rates_for
from isthmus.processes.work.expensing import charge as charge_expense
from isthmus.processes.work.expensing import latest_expenses
from isthmus.processes.work.facts import Facts
from isthmus.runtime.books import Books

ZERO = Decimal(0)
NEW_SHARES = "new shares"
Chains = Mapping[str, Sequence[BillableItem]]


@dataclass(frozen=True)
class Change:
    """What amended terms change of one source: the last word on each share that is another one now, and what was known
    of it. shared_anew: one payer's share is less and another's is more.
    """

    wanted: tuple[BillableItem, ...]
    chains: Chains
    shared_anew: bool = False

    @property
    def moved(self) -> list[tuple[str, Decimal, Decimal]]:
        """(source key, net as it was, net as it is to be) of each share."""
        return [(item.source_key, self.was(item), item.entry_net) for item in self.wanted]

    def was(self, item: BillableItem) -> Decimal:
        """What a share was worth before; nothing when its payer had none."""
        chain = self.chains.get(item.source_key, ())
        return chain[-1].entry_net if chain else ZERO


def marked_as(contract: ContractVersion, change: Change) -> str:
    """What the evidence of a change says of where it comes from."""
    return f"{NEW_SHARES if change.shared_anew else 're-rate'} v{contract.version}"


def rerate_unbilled(books: Books, contract: ContractVersion) -> int:
    """P4.5: evidence from the amendment's effective day on that no paper holds is priced anew: a new revision each."""
    return _bring(books, contract, billed=False)


def rerate_billed(books: Books, contract: ContractVersion) -> int:
    """P4.5: billed evidence keeps its invoice; the difference in price or payers is items of their own."""
    return _bring(books, contract, billed=True)


def difference(books: Books, contract: ContractVersion) -> list[tuple[str, str, str]]:
    """P4.5: what the new terms change on billed evidence: (source, net now on paper, net under the new terms)."""
    return [
        (key, str(was), str(now))
        for change in changes_by(books, contract)
        if is_billed(books, change)
        for key, was, now in change.moved
    ]


def review(books: Books, contract: ContractVersion, changes: list[tuple[str, str, str]]) -> str:
    """A person sees the difference on billed evidence before it becomes money: EX-RERATE-REVIEW."""
    deltas = [Decimal(now) - Decimal(was) for _, was, now in changes]
    delta, given_back = sum(deltas, ZERO), -sum((d for d in deltas if d < 0), ZERO)
    answer = books.answers.get("EX-RERATE-REVIEW", {})
    if answer.get("action") == "approve":
        return f"{delta} approved by {answer.get('by')}"
    told = f" by {delta} {contract.currency} in all"
    if given_back and delta > -given_back:
        told += f": {given_back} are given back, {delta + given_back} are billed"
    raise NeedsDecision(
        "EX-RERATE-REVIEW",
        f"contract {contract.key} takes effect on {contract.effective_from}: {len(changes)} billed shares change{told}",
        queue="pricing",
        money=(max(abs(delta), given_back), contract.currency),
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
    for change in changes_by(books, contract):
        if is_billed(books, change) is not billed:
            continue
        for item in change.wanted:
            chain = change.chains.get(item.source_key, ())
            trace = {**item.price_trace, "source": marked_as(contract, change)}
            refers_to = _invoice_of(books, chain) if billed else ""
            marked = item.model_copy(update={"raw_quantity": None, "refers_to": refers_to, "price_trace": trace})
            new += bring_to(books, [marked], {item.source_key: chain} if chain else {})
    new = flag_prior_period(books, new, "revenue")
    books.tx.insert_many(new)
    if new:
        place(books, new)
    return len(new)


# -- what the terms now in force say ---------------------------------------------------------------------------------


def changes_by(books: Books, contract: ContractVersion) -> list[Change]:
    """What the terms in force say of evidence from the effective day on, where it differs from what is known."""
    projects = books.tx.find(Project, contract_no=contract.contract_no)
    versions = books.tx.find(ContractVersion, contract_no=contract.contract_no, order=("version",))
    known = books.tx.find(BillableItem, contract_no=contract.contract_no, order=("revision",))
    of_source: dict[str, dict[str, list[BillableItem]]] = defaultdict(dict)
    for key, chain in chains_of(known).items():
        of_source[_source_of(chain[-1])][key] = chain
    found: list[Change] = []
    for project in projects:
        found += _of_time(books, contract, project, versions, of_source)
        found += _of_expenses(books, contract, project, versions, of_source)
    return [*found, *_of_fees(books, contract, versions, of_source)]


def _source_of(item: BillableItem) -> str:
    """What is weighed as one: an entry with its bands, an expense, a fee however many payers and spans it has."""
    if item.source_type in ("time", "expense"):
        return item.entry_key
    return charge_key_of(item).partition(FROM)[0]


def _of_time(
    books: Books,
    contract: ContractVersion,
    project: Project,
    versions: list[ContractVersion],
    of_source: Mapping[str, Chains],
) -> Iterator[Change]:
    kept = books.tx.find(TimeEntry, project_code=project.project_code, order=("revision",))
    known = {
        key: entry
        for key, entry in latest_of(books, kept).items()
        if key in of_source
        and entry.project_code == project.project_code
        and max(entry.service_date, *entry.days, entry.service_date) >= contract.effective_from
    }
    evidence = [item for key in known for chain in of_source[key].values() for item in chain]
    cards = cards_of(books, {contract.contract_no: versions})[contract.contract_no]
    terms = Terms(
        versions=versions,
        tasks={task.code: task for task in project.tasks},
        cards=cards,
        fx=rates_for(books, versions, cards),
        chosen=chosen_lines(evidence, contract.contract_no),
    )
    for group in groups_of_days(known.values(), terms):
        wanted: dict[str, list[BillableItem]] = {entry.key: [] for entry in group}
        for charge in charge_time(group, terms):
            wanted[charge.entry_key] += items_of(charge)
        for key, items in wanted.items():
            yield from _change(books, items, of_source[key])


def _of_expenses(
    books: Books,
    contract: ContractVersion,
    project: Project,
    versions: list[ContractVersion],
    of_source: Mapping[str, Chains],
) -> Iterator[Change]:
    kept = books.tx.find(Expense, project_code=project.project_code, order=("revision",))
    for key, expense in latest_expenses(books, kept).items():
        if expense.project_code != project.project_code or expense.expense_date < contract.effective_from:
            continue
        chains = of_source.get(key, {})
        version = version_in_force(versions, expense.expense_date)
        uid = next((chain[-1].line_uid for chain in chains.values()), "")
        lines = [line for line in version.lines if line.line_uid == uid]
        if lines:  # where the amended terms have no such line, it stays as it was agreed
            items = items_of(charge_expense(books, expense, version, lines[0], project))
            yield from _change(books, items, chains)


def _of_fees(
    books: Books, contract: ContractVersion, versions: Sequence[ContractVersion], of_source: Mapping[str, Chains]
) -> Iterator[Change]:
    """Fees, milestones and what else terms add up to: of lines that others pay now. Their amounts, as they are known so
    far, are of the newest terms; what is new of them comes with the next billing run.
    """
    days = [
        c[-1].service_date for chains in of_source.values() for c in chains.values() if c[-1].source_type in DERIVED
    ]
    if not days:
        return
    facts = Facts(books, contract, max(days))
    for line in contract.lines:
        before = [one for v in versions if v.version < contract.version for one in v.lines]
        if all(one.payers == line.payers for one in before if one.line_uid == line.line_uid):
            continue
        wanted: dict[str, list[BillableItem]] = defaultdict(list)
        for charge in charges_of(facts, line):
            for item in items_of(charge):
                wanted[_source_of(item)].append(item)
        for key, items in wanted.items():
            yield from _change(books, items, of_source.get(key, {}))


def _change(books: Books, items: Iterable[BillableItem], chains: Chains) -> Iterator[Change]:
    """The change of one source, if there is one: new shares, changed ones, and those that are no longer."""
    if not chains:
        return
    wanted = along(books, items, chains)
    keys = {item.source_key for item in wanted}
    gone = [no_longer(chain[-1]) for key, chain in chains.items() if key not in keys]
    differing = [
        item
        for item in (*wanted, *gone)
        if not chains.get(item.source_key) or not nothing_new(books, chains[item.source_key], item)
    ]
    charges = {charge_key_of(item) for item in differing}
    given_up = {
        charge_key_of(chain[-1])
        for chain in chains.values()
        if charge_key_of(chain[-1]) in charges and _is_given_up(books, chain)
    }
    differing = [item for item in differing if charge_key_of(item) not in given_up]
    if not differing:
        return
    change = Change(tuple(differing), chains)
    client = client_of(books, differing[0].contract_no)
    by_payer: dict[str, Decimal] = defaultdict(Decimal)
    for item in differing:
        by_payer[item.payer or client] += item.entry_net - change.was(item)
    yield replace(change, shared_anew=min(by_payer.values()) < 0 < max(by_payer.values()))


def _is_given_up(books: Books, chain: Sequence[BillableItem]) -> bool:
    """Hours that are written off or transferred whole keep the price they were given up at: no difference is billed."""
    ids = tuple(item.item_id for item in chain)
    parts = books.tx.find(BillablePart, item_id=ids, state=(PartState.WRITTEN_OFF, PartState.TRANSFERRED))
    return bool(parts) and sum((part.net for part in parts), ZERO) == chain[-1].entry_net


def is_billed(books: Books, change: Change) -> bool:
    """True when a share that changes is on paper."""
    return is_on_paper(books, [item for one in change.wanted for item in change.chains.get(one.source_key, ())])


def _invoice_of(books: Books, chain: Sequence[BillableItem]) -> str:
    """The number of the last invoice that has billed the source: what a difference refers to."""
    ids = tuple(item.item_id for item in chain)
    named = sorted({p.invoice_id for p in books.tx.find(BillablePart, item_id=ids) if p.invoice_id}) if ids else []
    numbers = [i.number for i in books.tx.find(Invoice, invoice_id=tuple(named)) if i.number] if named else []
    return max(numbers, default="")
