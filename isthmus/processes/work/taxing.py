"""Steps around tax: who works it out, what an engine is asked, and what stands on the lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from isthmus.domain.errors import NeedsDecision
from isthmus.domain.money import minor_unit
from isthmus.domain.objects import (
    BillablePart,
    Client,
    ContractVersion,
    Invoice,
    InvoiceLine,
    LegalEntity,
    TaxAnswer,
    TaxCategory,
)
from isthmus.domain.states import TaxTrack, move
from isthmus.policies.deposits import ADVANCE_CATEGORY, ADVANCE_REASON, on_account
from isthmus.policies.deposits import POLICY as DEPOSITS
from isthmus.policies.tax import check_answer
from isthmus.policies.tax_decision import TaxDecision, breakdown_of, category_taxes, decide_tax, tax_point
from isthmus.ports import TaxEngine
from isthmus.ports.messages import TaxDocument, TaxLineIn
from isthmus.processes.work.reading import invoice_of, version_of, versions_on
from isthmus.processes.work.tax_codes import coded
from isthmus.runtime.books import Books
from isthmus.runtime.run import Run

ZERO = Decimal(0)


def work_out(run: Run, invoice_id: str) -> TaxDocument | None:
    """P2.11: tax by the engine that serves the entity, else by the entity's own rates. The question an engine was
    asked, None without one: what is asked again to commit it.
    """
    question = run.decide("Prepare the tax question", tax_question, invoice_id)
    if question is None:
        run.decide("Work out the tax by the entity's rates", own_tax, invoice_id)
        return None
    answer = run.effect("Calculate the tax", TaxEngine.calculate, question, undo=TaxEngine.void)
    run.decide("Accept the tax", accept_tax, invoice_id, answer)
    return question


def tax_question(books: Books, invoice_id: str) -> TaxDocument | None:
    """What the tax engine is asked; its code is the invoice's id, the same on every attempt. None without an engine.

    A credit asks about negative amounts at the rates of the day of the invoice it credits.
    """
    invoice = invoice_of(books, invoice_id)
    if on_account(invoice) or _tax_alone(invoice) or not books.kernel.systems.fills("TaxEngine", invoice.entity):
        return None
    invoice = coded(books, invoice)
    version = version_of(books, invoice)
    client = _taxed_party(books, invoice, version)
    original = invoice_of(books, invoice.original_invoice_id) if invoice.kind == "credit" else None
    sign = -1 if original else 1
    return TaxDocument(
        code=invoice_id,
        kind="credit" if original else "invoice",
        original_code=original.invoice_id if original else "",
        rate_date=original.issue_date if original else None,
        entity=invoice.entity,
        client_no=client.client_no,
        currency=invoice.currency,
        document_date=books.today(invoice.entity),
        ship_from=books.entity(invoice.entity).address,
        ship_to=client.address,
        exemption_certificate=version.taxed(invoice.owed_by).exemption_certificate,
        po_number=invoice.po_number,
        lines=tuple(
            TaxLineIn(
                number=line.number, net=sign * line.asked_net, tax_code=line.tax_code, description=line.description
            )
            for line in invoice.lines
        ),
    )


def accept_tax(books: Books, invoice_id: str, answer: TaxAnswer) -> Invoice:
    """The engine's tax, checked against its own rates, goes on the lines."""
    invoice = invoice_of(books, invoice_id)
    if invoice.kind == "credit":
        answer = _turned(answer)
    check_answer(invoice, answer)
    lines = [
        line.model_copy(
            update={
                "tax": _tax_of(invoice, line, answer.line_taxes.get(line.number, ZERO)),
                "tax_rate": answer.rates.get(str(line.number)),
            }
        )
        for line in invoice.lines
    ]
    return _taxed(books, invoice, lines, breakdown_of(lines), {"by": "engine", "document": answer.document_code})


def _tax_of(invoice: Invoice, line: InvoiceLine, answered: Decimal) -> Decimal:
    """The engine's tax; of a credit its share of the line's tax, where the engine's own rounding differs by one unit.

    An engine rounds each credit for itself: three of them may give back a cent more than was charged (INV-10).
    """
    rounding = invoice.kind == "credit" and abs(answered - line.tax) <= minor_unit(invoice.currency)
    return line.tax if rounding else answered


def _turned(answer: TaxAnswer) -> TaxAnswer:
    """An answer about a credit, in the positive amounts a credit memo is kept in."""
    taxes = {number: -tax for number, tax in answer.line_taxes.items()}
    return answer.model_copy(update={"net": -answer.net, "tax": -answer.tax, "line_taxes": taxes})


def own_tax(books: Books, invoice_id: str) -> Invoice:
    """Tax by the entity's own rates and the tax decision: per category, as EN 16931 asks, or per line."""
    invoice = invoice_of(books, invoice_id)
    entity, versions = books.entity(invoice.entity), versions_on(books, invoice)
    client = _taxed_party(books, invoice, versions[invoice.contract_no])
    original = invoice_of(books, invoice.original_invoice_id) if invoice.kind == "credit" else None
    if original is not None:
        breakdown = breakdown_of(invoice.lines, original.tax_breakdown)
        return _taxed(books, invoice, invoice.lines, breakdown, original.tax_decision)
    if on_account(invoice):
        lines = [line.model_copy(update={"tax": ZERO, "tax_rate": ZERO}) for line in invoice.lines]
        untaxed = TaxCategory(code=ADVANCE_CATEGORY, rate=ZERO, taxable=invoice.net, tax=ZERO, reason=ADVANCE_REASON)
        return _taxed(books, invoice, lines, (untaxed,), {"policy": DEPOSITS, "result": "on_account"})
    categories, points = [line.tax_category for line in invoice.lines], _tax_points(books, invoice, entity)
    decisions = {day: decide_tax(entity, client, categories, day) for day in sorted(set(points.values()))}
    hold = next((decision.hold for decision in decisions.values() if decision.hold), "")
    if hold:
        raise NeedsDecision(
            "EX-TAX-REG",
            f"draft {invoice_id} of {invoice.net} {invoice.currency}: {hold}",
            queue="tax",
            money=(invoice.net, invoice.currency),
            context={"invoice": invoice_id, "client": client.client_no, "tax_id": client.tax_id},
            actions=("retry", "cancel"),
        )
    own = {number: decisions[day] for number, day in points.items()}
    taxed = taxed_by(invoice, entity, decisions[max(decisions)], own)
    books.tx.update(taxed)
    return taxed


def _taxed_party(books: Books, invoice: Invoice, version: ContractVersion) -> Client:
    """Who is taxed for an invoice, as the books know it now: a VAT id may have been validated since the contract."""
    party = version.taxed(invoice.owed_by)
    return books.tx.get(Client, party.client_no) or party


def _tax_points(books: Books, invoice: Invoice, entity: LegalEntity) -> dict[int, date]:
    """By line number, the day whose rates apply to it. A line without evidence goes by the document's last service."""
    today = books.today(entity.code)
    if entity.tax_point == "issue":
        return {line.number: today for line in invoice.lines}
    ids = tuple(sorted({part_id for line in invoice.lines for part_id in line.part_ids}))
    days = {part.part_id: part.service_date for part in books.tx.find(BillablePart, part_id=ids)} if ids else {}
    last = max(days.values(), default=today)
    ends = {line.number: max((days[i] for i in line.part_ids if i in days), default=last) for line in invoice.lines}
    return {number: tax_point(entity.tax_point, today, end, None) for number, end in ends.items()}


def _tax_alone(invoice: Invoice) -> bool:
    """True for a credit of tax and no net: an engine asked about nothing answers nothing."""
    return invoice.kind == "credit" and all(not line.net for line in invoice.lines)


def taxed_by(
    invoice: Invoice,
    entity: LegalEntity,
    decision: TaxDecision,
    on_lines: Mapping[int, TaxDecision] | None = None,
) -> Invoice:
    """The invoice with the tax of a decision on its lines. on_lines: by number, the one on a line's own tax point."""
    lines, breakdown = category_taxes(invoice.lines, decision, entity, invoice.currency, on_lines)
    return _with_tax(invoice, lines, breakdown, decision.record())


def _taxed(
    books: Books,
    invoice: Invoice,
    lines: Sequence[InvoiceLine],
    breakdown: tuple[TaxCategory, ...],
    decision: dict[str, str],
) -> Invoice:
    taxed = _with_tax(invoice, lines, breakdown, decision)
    books.tx.update(taxed)
    return taxed


def _with_tax(
    invoice: Invoice, lines: Sequence[InvoiceLine], breakdown: tuple[TaxCategory, ...], decision: dict[str, str]
) -> Invoice:
    tax = sum((line.tax for line in lines), ZERO)
    total = invoice.net + tax
    money = {"lines": tuple(lines), "tax": tax, "total": total, "open": total}
    told = {"tax_breakdown": breakdown, "tax_decision": decision}
    return move(invoice, "tax_track", TaxTrack.CALCULATED).model_copy(update={**money, **told})


def keep_tax_commit(books: Books, invoice_id: str, answer: TaxAnswer) -> Invoice:
    """The tax document counts for reporting."""
    committed = move(invoice_of(books, invoice_id), "tax_track", TaxTrack.COMMITTED)
    books.tx.update(committed)
    return committed


def keep_own_tax(books: Books, invoice_id: str) -> Invoice:
    """Tax by the entity's rates needs no other system to count. EX-TAX-ADJUST where an engine keeps the documents and
    cannot be told of tax alone: the tax desk adjusts it there and says under which document.
    """
    invoice = invoice_of(books, invoice_id)
    told = books.answers.get("EX-TAX-ADJUST", {})
    if _tax_alone(invoice) and books.kernel.systems.fills("TaxEngine", invoice.entity):
        if told.get("action") != "adjusted" or not str(told.get("document", "")).strip():
            raise _to_adjust(books, invoice)
        books.audit("tax.adjust", f"invoice:{invoice.number}", after={"document": str(told["document"])})
    committed = move(invoice, "tax_track", TaxTrack.COMMITTED)
    books.tx.update(committed)
    return committed


def _to_adjust(books: Books, credit: Invoice) -> NeedsDecision:
    original = invoice_of(books, credit.original_invoice_id)
    return NeedsDecision(
        "EX-TAX-ADJUST",
        f"credit memo {credit.number} gives back tax of {credit.tax} {credit.currency} of invoice {original.number}:"
        f" adjust document {original.invoice_id} in the tax engine and say under which document it stands there",
        queue="tax",
        money=(credit.tax, credit.currency),
        context={"invoice": credit.number, "original": original.number, "client": credit.client_no},
        actions=("adjusted",),
    )


def commit(run: Run, invoice_id: str, question: TaxDocument | None) -> None:
    """The tax of an issued document counts from here on."""
    if question is None:
        run.decide("Keep the tax", keep_own_tax, invoice_id)
        return
    answer = run.effect("Commit the tax document", TaxEngine.commit, question)
    run.decide("Keep the tax commitment", keep_tax_commit, invoice_id, answer)
