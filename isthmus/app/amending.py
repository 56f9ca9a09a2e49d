"""An amended contract version at the door: handed in, or only tried: what it would credit, bill and price anew."""

from __future__ import annotations

import json
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from isthmus.app.previewing import PlannedInvoice, planned, taken_back
from isthmus.domain.errors import BadInput, NeedsDecision, NotFound
from isthmus.domain.money import Exact
from isthmus.domain.objects import ContractVersion, Engagement, FiledContract, Invoice
from isthmus.domain.states import EngagementState
from isthmus.processes.work import amending, billing, onboarding, payers, rerating, resharing
from isthmus.runtime.books import Books
from isthmus.runtime.kernel import Kernel
from isthmus.store.records import RunRow


class ShareChange(BaseModel):
    """What one payer's share of one source is worth before and after. on_paper: something of the source is billed."""

    source: str
    payer: str
    was: Exact
    now: Exact
    on_paper: bool


class AmendmentPreview(BaseModel):
    """What an amended version would do on this day. credits: a memo for each invoice of those who pay less, approved
    by another person each; invoices: what a billing run would make beside them, those who pay more among it.

    waits: why the amendment would wait for a person, empty when it would not. paid: what of the credits, tax included,
    was paid already: somebody has to say where that money goes.
    """

    contract: str
    effective_from: str
    changes: list[ShareChange] = []
    credits: list[Invoice] = []
    invoices: list[PlannedInvoice] = []
    paid: Exact = Decimal(0)
    waits: str = ""


def content_of(path: Path) -> dict[str, Any]:
    """What a TOML or JSON file says, not judged yet. BadInput where it cannot be read."""
    try:
        text = path.read_text()
        told = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError) as wrong:
        raise BadInput(f"{path}: {wrong}") from wrong
    if not isinstance(told, dict):
        raise BadInput(f"{path}: it is no contract version, but a list or a single value")
    return told


def version_of(told: dict[str, Any], name: str, known: ContractVersion | None) -> ContractVersion:
    """The contract version of a file. Without a client in it, the client is the one of the known version, and
    those who pay beside it are known too.
    """
    if known is not None:
        told = {"client": known.client, "client_no": known.client_no, "payers": known.payers, **told}
    try:
        return ContractVersion.model_validate(told)
    except ValidationError as wrong:
        places = [f"{'.'.join(str(step) for step in e['loc'])}: {e['msg']}" for e in wrong.errors()]
        raise BadInput(f"{name}: {len(places)} problems\n  " + "\n  ".join(places[:50])) from wrong


def hand_in(books: Books, contract: ContractVersion, by: str) -> RunRow:
    """Keep a version as it was handed in and start its run: the first sets the project up, a later one amends.

    BadInput when the same version was handed in with other terms.
    """
    row = FiledContract(
        contract_no=contract.contract_no,
        version=contract.version,
        content=contract,
        filed_by=by,
        filed_at=books.now,
    )
    known = books.tx.get(FiledContract, contract.contract_no, contract.version)
    if known is None:
        books.tx.insert(row)
    elif known.content != contract:
        raise BadInput(f"contract {contract.key} was handed in before with other terms: hand in a new version")
    engagement = books.tx.get(Engagement, contract.contract_no)
    amends = engagement is not None and engagement.state is EngagementState.ACTIVE
    process = "amend_contract" if amends and _newer(books, contract) else "contract_to_project"
    args = {"contract_no": contract.contract_no, "version": contract.version}
    entity = engagement.entity if engagement else ""
    return books.start(process, contract.key, args, entity=entity, correlation_id=f"contract:{contract.contract_no}")


def _newer(books: Books, contract: ContractVersion) -> bool:
    known = books.tx.find(ContractVersion, contract_no=contract.contract_no, order=("-version",), limit=1)
    return not known or known[0].version < contract.version


def preview_amendment(kernel: Kernel, contract: ContractVersion, by: str) -> AmendmentPreview:
    """What the amendment would do now, done in a transaction of its own and taken back.

    NotFound for a contract that is not running; BadInput for a version that is not newer.
    """
    shown = AmendmentPreview(contract=contract.key, effective_from=str(contract.effective_from))

    def work(books: Books) -> AmendmentPreview:
        if not books.tx.find(ContractVersion, contract_no=contract.contract_no, limit=1):
            raise NotFound(f"no contract {contract.contract_no}: there is nothing to amend")
        if not _newer(books, contract):
            raise BadInput(f"contract {contract.key} is not newer than what is in force: nothing would change")
        return _worked_out(books, contract, by, shown)

    return taken_back(kernel, contract.key, by, work)


def _worked_out(books: Books, contract: ContractVersion, by: str, shown: AmendmentPreview) -> AmendmentPreview:
    waits = ""
    try:
        contract = onboarding.approved_terms(books, contract)
    except NeedsDecision as stopped:
        waits = f"{stopped.exception}: {stopped.message}"
    try:
        agreed = amending.keep_amended(books, payers.resolved(books, contract))
    except NeedsDecision as stopped:
        return shown.model_copy(update={"waits": waits or f"{stopped.exception}: {stopped.message}"})
    found = rerating.changes_by(books, agreed)
    changes = [told for change in found for told in _told(books, agreed, change)]
    rerating.rerate_unbilled(books, agreed)
    rerating.rerate_billed(books, agreed)
    amending.evaluate_caps_again(books, agreed.contract_no)
    credits = [
        invoice
        for name in resharing.draw_up_credits(books, agreed, agreed.key)
        if (invoice := books.tx.get(Invoice, name)) is not None
    ]
    last = max((item.service_date for change in found for item in change.wanted), default=agreed.effective_from)
    drafted = billing.prepare(books, agreed.contract_no, last, f"{agreed.key}/preview", by) if credits else []
    paid = sum((resharing.paid_of(books, credit) for credit in credits), Decimal(0))
    return shown.model_copy(
        update={
            "changes": changes,
            "credits": credits,
            "invoices": [planned(one) for one in drafted if one.plan.evidence],
            "paid": paid,
            "waits": waits,
        }
    )


def _told(books: Books, contract: ContractVersion, change: rerating.Change) -> list[ShareChange]:
    on_paper = rerating.is_billed(books, change)
    return [
        ShareChange(
            source=item.source_key,
            payer=item.payer or contract.client_no,
            was=change.was(item),
            now=item.entry_net,
            on_paper=on_paper,
        )
        for item in change.wanted
    ]
