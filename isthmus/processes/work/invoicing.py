"""Steps from ready evidence to a posted invoice: draft, approve, tax, number, post, tell the other systems."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

from isthmus.domain.errors import BadInput, NeedsDecision
from isthmus.domain.objects import (
    BillableItem,
    BillablePart,
    Client,
    ContractVersion,
    Engagement,
    Invoice,
    Project,
    TaxAnswer,
)
from isthmus.domain.states import Composition, Delivery, InvoiceLife, PartState, Posting, TaxTrack, move
from isthmus.policies.billing import compose_lines
from isthmus.policies.layouts import Evidence
from isthmus.policies.tax import check_answer
from isthmus.ports import Crm
from isthmus.ports.messages import (
    ContractStatus,
    InvoicedTime,
    PostedInvoice,
    PostInvoice,
    PostLine,
    TaxDocument,
    TaxLineIn,
)
from isthmus.processes.work.correcting import reunite
from isthmus.processes.work.evidence import place_contract
from isthmus.processes.work.partition import move_parts
from isthmus.processes.work.tax_codes import coded
from isthmus.runtime.books import Books
from isthmus.runtime.run import Run

PAYMENT_DAYS_DEFAULT = 30
REPORTS_MAX = 100  # of one contract by one run, when other runs keep changing it
STILL_OPEN = (PartState.READY, PartState.HELD, PartState.DEFERRED, PartState.OVER_CAP, PartState.ON_DRAFT)


def invoice_of(books: Books, invoice_id: str) -> Invoice:
    """The invoice as it stands, held until this transaction ends.

    Posting it and settling it are two runs, each writing its own tracks: without the lock the one would write back what
    the other has just changed.
    """
    books.tx.lock(f"invoice:{invoice_id}")
    invoice = books.tx.get(Invoice, invoice_id)
    assert invoice is not None, f"no invoice {invoice_id}"
    return invoice


def version_of(books: Books, invoice: Invoice) -> ContractVersion:
    """The contract version the invoice is drawn up under."""
    version = books.tx.get(ContractVersion, invoice.contract_no, invoice.contract_version)
    assert version is not None
    return version


def latest_version(books: Books, contract_no: str) -> ContractVersion:
    """The newest terms of a contract. BadInput when nobody has kept such a contract yet."""
    found = books.tx.find(ContractVersion, contract_no=contract_no, order=("-version",), limit=1)
    if not found:
        raise BadInput(f"no contract {contract_no}: it is not set up, or not yet")
    return found[0]


def preview(books: Books, contract_no: str, cutoff: date, invoice_id: str, prepared_by: str) -> Invoice | None:
    """What a billing run would put on an invoice now; changes nothing. None when nothing is ready up to the cut-off.

    What gives back is netted whatever the cut-off: the room it frees under a cap may be taken by what is billed here.
    A total that is negative is not billed: it waits for evidence to net against.
    """
    version = latest_version(books, contract_no)
    parts = [
        part
        for part in books.tx.find(BillablePart, contract_no=contract_no, state=PartState.READY, order=("part_id",))
        if part.service_date <= cutoff or part.net < 0
    ]
    items = {item.item_id: item for item in books.tx.find(BillableItem, contract_no=contract_no)} if parts else {}
    evidence = [
        Evidence(p.part_id, i.line_uid, i.role, i.unit_price, p.quantity, p.net)
        for p in parts
        for i in (items[p.item_id],)
    ]
    lines = compose_lines(evidence, version)
    net = sum((line.net for line in lines), Decimal(0))
    if net <= 0:
        return None
    project = books.tx.find(Project, contract_no=contract_no, limit=1)[0]
    return Invoice(
        invoice_id=invoice_id,
        contract_no=contract_no,
        contract_version=version.version,
        client_no=version.client_no,
        entity=version.entity,
        project_code=project.project_code,
        currency=version.currency,
        period=f"{cutoff:%Y-%m}",
        lines=lines,
        net=net,
        po_number=version.po_number,
        payment_terms=version.payment_terms,
        prepared_by=prepared_by,
    )


def _id_of(books: Books) -> str:
    """The invoice's id is the billing run's business key, so a second attempt finds the first one's draft."""
    return books.run_id.split("/", 1)[1]


def draft(books: Books, contract_no: str, cutoff: date, prepared_by: str) -> Invoice | None:
    """P2.9: ready evidence up to the cut-off goes on a draft; each part on one draft only."""
    books.tx.lock(f"contract:{contract_no}")
    invoice = preview(books, contract_no, cutoff, _id_of(books), prepared_by)
    if invoice is None:
        return None
    books.tx.insert(invoice)
    on_it = {part_id for line in invoice.lines for part_id in line.part_ids}
    ready = books.tx.find(BillablePart, contract_no=contract_no, state=PartState.READY, order=("part_id",))
    on_draft = [part for part in ready if part.part_id in on_it]
    move_parts(books, on_draft, PartState.ON_DRAFT, invoice_id=invoice.invoice_id)
    books.emit("invoice.drafted", f"invoice:{invoice.invoice_id}", _facts(invoice), entity=invoice.entity)
    return invoice


def discard(books: Books, contract_no: str, cutoff: date, prepared_by: str) -> str:
    """Undo of draft: the parts are ready again, the draft is discarded."""
    invoice = books.tx.get(Invoice, _id_of(books))
    if invoice is None:
        return "nothing was drafted"
    books.tx.lock(f"contract:{contract_no}")
    parts = books.tx.find(BillablePart, invoice_id=invoice.invoice_id, state=PartState.ON_DRAFT)
    reunite(books, move_parts(books, parts, PartState.READY, invoice_id=""))
    books.tx.update(move(invoice, "life", InvoiceLife.DISCARDED))
    place_contract(books, contract_no)  # what is ready again takes its turn with what has come since
    return f"{len(parts)} parts are ready again"


def _facts(invoice: Invoice) -> dict[str, str]:
    return {
        "invoice": invoice.invoice_id,
        "number": invoice.number,
        "net": str(invoice.net),
        "tax": str(invoice.tax),
        "total": str(invoice.total),
        "open": str(invoice.open),
        "currency": invoice.currency,
        "contract": f"{invoice.contract_no}@{invoice.contract_version}",
    }


def approve(books: Books, invoice_id: str) -> Invoice:
    """P2.10: above the entity's limit a second person approves; below it the rule does, and says so."""
    invoice = invoice_of(books, invoice_id)
    limit = books.entity(invoice.entity).invoice_approval_limit
    answer = books.answers.get("EX-REVIEW", {})
    if limit and invoice.net > limit and answer.get("action") != "approve":
        raise NeedsDecision(
            "EX-REVIEW",
            f"draft {invoice_id} of {invoice.net} {invoice.currency} is above the limit of {limit}",
            queue="billing",
            money=(invoice.net, invoice.currency),
            context={"invoice": invoice_id, "prepared_by": invoice.prepared_by, "client": invoice.client_no},
            actions=("approve", "cancel"),
        )
    rule = f"rule: net up to {limit}" if limit else "rule: no limit is set"
    by = str(answer.get("by", rule))
    approved = move(invoice, "composition", Composition.APPROVED).model_copy(update={"approved_by": by})
    books.tx.update(approved)
    books.emit("invoice.approved", f"invoice:{invoice_id}", _facts(approved), entity=invoice.entity)
    return approved


def tax_question(books: Books, invoice_id: str) -> TaxDocument:
    """P2.11: what the tax engine is asked; its code is the invoice's id, the same on every attempt."""
    invoice = coded(books, invoice_of(books, invoice_id))
    version = version_of(books, invoice)
    client = books.tx.get(Client, invoice.client_no) or version.client
    return TaxDocument(
        code=invoice_id,
        entity=invoice.entity,
        client_no=invoice.client_no,
        currency=invoice.currency,
        document_date=books.today(invoice.entity),
        ship_from=books.entity(invoice.entity).address,
        ship_to=client.address,
        exemption_certificate=version.client.exemption_certificate,
        po_number=invoice.po_number,
        lines=tuple(
            TaxLineIn(number=line.number, net=line.net, tax_code=line.tax_code, description=line.description)
            for line in invoice.lines
        ),
    )


def accept_tax(books: Books, invoice_id: str, answer: TaxAnswer) -> Invoice:
    """P2.11: the engine's tax, checked against its own rates, goes on the lines."""
    invoice = invoice_of(books, invoice_id)
    check_answer(invoice, answer)
    lines = tuple(
        line.model_copy(update={"tax": answer.line_taxes.get(line.number, Decimal(0))}) for line in invoice.lines
    )
    total = invoice.net + answer.tax
    money = {"lines": lines, "tax": answer.tax, "total": total, "open": total}
    taxed = move(invoice, "tax_track", TaxTrack.CALCULATED).model_copy(update=money)
    books.tx.update(taxed)
    return taxed


def issue(books: Books, invoice_id: str) -> Invoice:
    """P2.12: the number is allocated here and nowhere else, in the transaction that issues. From here only a credit."""
    invoice = invoice_of(books, invoice_id)
    entity = books.entity(invoice.entity)
    today = books.today(invoice.entity)
    series = f"{entity.code}-{entity.invoice_series}-{today.year}"
    number = f"{series}-{books.tx.next('number:' + series):05d}"
    days = entity.payment_days.get(invoice.payment_terms, PAYMENT_DAYS_DEFAULT)
    dates = {"issue_date": today, "accounting_date": today, "due_date": today + timedelta(days=days)}
    issued = move(invoice, "life", InvoiceLife.ISSUED).model_copy(update={"number": number, **dates})
    issued = move(issued, "posting", Posting.POSTING)
    books.tx.update(issued)
    parts = books.tx.find(BillablePart, invoice_id=invoice_id, state=PartState.ON_DRAFT, order=("part_id",))
    move_parts(books, parts, PartState.INVOICED, invoice_id=invoice_id)
    books.emit("invoice.issued", f"invoice:{invoice_id}", _facts(issued), entity=invoice.entity)
    books.audit(
        "invoice.issue", f"invoice:{number}", after=dict(_facts(issued)), reason=f"approved by {issued.approved_by}"
    )
    return issued


def posting_of(books: Books, invoice_id: str) -> PostInvoice:
    """P2.13: the receivable under its legal number."""
    invoice = invoice_of(books, invoice_id)
    assert invoice.issue_date is not None and invoice.due_date is not None
    return PostInvoice(
        number=invoice.number,
        client_no=invoice.client_no,
        entity=invoice.entity,
        project_code=invoice.project_code,
        currency=invoice.currency,
        issue_date=invoice.issue_date,
        due_date=invoice.due_date,
        payment_terms=invoice.payment_terms,
        po_number=invoice.po_number,
        lines=tuple(
            PostLine(
                number=line.number,
                description=line.description,
                quantity=line.quantity,
                unit_price=line.unit_price,
                net=line.net,
                tax=line.tax,
                tax_code=line.tax_code,
            )
            for line in invoice.lines
        ),
        net=invoice.net,
        tax=invoice.tax,
        total=invoice.total,
        memo=f"{invoice.contract_no} {invoice.period}",
        dimensions=_dimensions_of(books, invoice),
    )


def _dimensions_of(books: Books, invoice: Invoice) -> dict[str, str]:
    project = books.tx.get(Project, invoice.project_code)
    return project.dimensions if project else {}


def keep_posting(books: Books, invoice_id: str, posted: PostedInvoice) -> Invoice:
    """The ERP has the receivable; to the cent, or a person looks (INV-09)."""
    invoice = invoice_of(books, invoice_id)
    if posted.total != invoice.total or posted.currency != invoice.currency:
        raise NeedsDecision(
            "EX-POST-DIFF",
            f"invoice {invoice.number}: {invoice.total} {invoice.currency} here,"
            f" {posted.total} {posted.currency} in {posted.ref.system}",
            queue="receivables",
            money=(abs(posted.total - invoice.total), invoice.currency),
            context={"invoice": invoice.number, "remote": posted.ref.external_id},
            actions=("retry",),
        )
    done = move(invoice, "posting", Posting.POSTED)
    books.tx.update(done)
    payload = {**_facts(done), "erp": posted.ref.system, "erp_id": posted.ref.external_id}
    books.emit("invoice.posted", f"invoice:{invoice_id}", payload, entity=invoice.entity)
    return done


def keep_tax_commit(books: Books, invoice_id: str, answer: TaxAnswer) -> Invoice:
    """The tax document counts for reporting."""
    committed = move(invoice_of(books, invoice_id), "tax_track", TaxTrack.COMMITTED)
    books.tx.update(committed)
    return committed


def billed_time(books: Books, invoice_id: str) -> InvoicedTime:
    """P2.14: which entries the PSA is to show as invoiced: those whose hours are now all on paper or given up."""
    invoice = invoice_of(books, invoice_id)
    assert invoice.issue_date is not None
    item_ids = tuple({p.item_id for p in books.tx.find(BillablePart, invoice_id=invoice_id)})
    unfinished = {p.item_id for p in books.tx.find(BillablePart, item_id=item_ids) if p.state in STILL_OPEN}
    keys = sorted({item_id.rsplit("#", 1)[0] for item_id in item_ids if item_id not in unfinished})
    return InvoicedTime(
        project_code=invoice.project_code,
        number=invoice.number,
        issue_date=invoice.issue_date,
        total=invoice.total,
        currency=invoice.currency,
        entry_keys=tuple(keys),
    )


def contract_status(books: Books, contract_no: str, shown: ContractStatus | None = None) -> ContractStatus:
    """What the CRM is to show: net billed, gross paid, last invoice. The one shown already when it still holds."""
    issued = books.tx.find(Invoice, contract_no=contract_no, life=InvoiceLife.ISSUED, order=("number",))
    paid = sum((invoice.total - invoice.open for invoice in issued), Decimal(0))
    open_left = sum((invoice.open for invoice in issued), Decimal(0))
    version = latest_version(books, contract_no)
    engagement = books.tx.get(Engagement, contract_no)
    status = ContractStatus(
        contract_no=contract_no,
        revision=shown.revision if shown else 0,
        state="active" if open_left or not issued else "paid",
        project_ref=engagement.project_code if engagement else "",
        billed=sum((invoice.net for invoice in issued), Decimal(0)),
        paid=paid,
        last_invoice=issued[-1].number if issued else "",
        currency=version.currency,
    )
    if status == shown:
        return shown
    return status.model_copy(update={"revision": books.tx.next(f"status:{contract_no}")})


def show_in_crm(run: Run, phrase: str, contract_no: str) -> None:
    """Report the contract's status, and again as long as it has changed meanwhile: two runs may overtake each other on
    the way to the CRM, and the one that arrives last must not leave an older sum there.
    """
    status = run.decide("Sum up the contract for the CRM", contract_status, contract_no)
    for _ in range(REPORTS_MAX):
        run.effect(phrase, Crm.report_status, status)
        now = run.decide("See whether the sum still holds", contract_status, contract_no, status)
        if now == status:
            return
        status = now


def delivered(books: Books, invoice_id: str) -> Invoice:
    """The invoice and its status are with the other systems."""
    sent = move(invoice_of(books, invoice_id), "delivery", Delivery.SENT)
    books.tx.update(sent)
    books.emit("invoice.delivered", f"invoice:{invoice_id}", _facts(sent), entity=sent.entity)
    return sent
