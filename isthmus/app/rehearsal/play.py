"""Plays a script act by act. Each act goes through the door it would come through: inbox, request, bank, desk."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from isthmus.app.controls import audit
from isthmus.app.rehearsal import acts
from isthmus.app.rehearsal import script as s
from isthmus.app.rehearsal.expect import check
from isthmus.app.rehearsal.report import Report, report
from isthmus.app.rehearsal.stage import Stage
from isthmus.desk import cases
from isthmus.domain.errors import BadInput, IsthmusError
from isthmus.domain.lending import LendingAgreement, TaxThreshold
from isthmus.domain.objects import (
    Engagement,
    Expense,
    FiledContract,
    Hold,
    Invoice,
    MilestoneStatus,
    Payment,
    PercentReport,
    Project,
    RateCard,
    SubmittedTime,
    TimeEntry,
    UsageRecord,
)
from isthmus.domain.periods import FxRate
from isthmus.domain.states import CaseState, EngagementState, InvoiceLife
from isthmus.domain.subcontracting import Subcontract, SubcontractorBill
from isthmus.processes import sweeps
from isthmus.processes.work.agreeing import keep_subcontract
from isthmus.processes.work.evidence import place_contract
from isthmus.processes.work.holding import place_hold, release_hold, waive_rule
from isthmus.processes.work.receiving import receive_bill
from isthmus.runtime.hashing import content_hash
from isthmus.store.records import Case, CrossReference

SOURCE = "rehearsal"
Told = Callable[[str], None]


def rehearse(script: s.Script, told: Told = lambda line: None) -> Report:
    """Play the script on a throwaway database; what came of it, which expectations were not met, what an audit finds.

    told: called with one line per act, for progress.
    """
    with ExitStack() as stack:
        play = Play(script, Stage(script, stack))
        for number, act in enumerate(script.acts, start=1):
            told(f"{number}/{len(script.acts)} {act.on} {act.do} {act.note}".rstrip())
            play.act(act)
        told("audit of the books")
        broken = [f"audit: {f.control} {f.key}: {f.problem}" for f in audit(play.stage.kernel)]
        return report(play.stage, script, [*play.failures, *broken])


class Play:
    """One performance."""

    def __init__(self, script: s.Script, stage: Stage) -> None:
        self.script, self.stage = script, stage
        self.failures: list[str] = []
        self._named = 0
        with stage.store.transaction() as tx:
            for quote in script.fx:
                tx.insert(FxRate(**quote.model_dump()))
            for card in script.cards:
                tx.insert(RateCard(version=1, **card.model_dump()))

    def act(self, act: Any) -> None:
        """Move the clock to the act and let it happen."""
        self.stage.move_to(datetime.combine(act.on, act.at, tzinfo=UTC))
        try:
            getattr(self, f"_{act.do}")(act)
        except IsthmusError as refused:
            self.failures.append(f"{act.on} {act.do}: {refused.message}")
        self.stage.go()

    # -- what the acts need -----------------------------------------------------------------------------------

    def _start(self, process: str, key: str, args: dict[str, Any], contract: str) -> None:
        self.stage.start(process, key, args, self._entity_of(contract), f"contract:{contract}")

    def _entity_of(self, contract: str) -> str:
        return next((c.entity for c in self.script.contracts if c.contract_no == contract), "")

    def _name(self, what: str) -> str:
        self._named += 1
        return f"{what}-{self._named}"

    def _rows(self, model: Any, **equals: Any) -> list[Any]:
        with self.stage.store.transaction() as tx:
            return tx.find(model, **equals)

    def _project(self, contract: str) -> str:
        found = self._rows(Project, contract_no=contract)
        return found[0].project_code if found else f"P-{contract}"

    def issued(self) -> list[Invoice]:
        """Issued documents in the order of issue."""
        found = self._rows(Invoice, life=(InvoiceLife.ISSUED, InvoiceLife.CREDITED))
        order = {ref.key: n for n, ref in enumerate(self._rows(CrossReference, system="netsuite"))}
        return sorted(found, key=lambda i: (i.issue_date, order.get(i.number, len(order)), i.number))

    def _invoice(self, place: int) -> Invoice:
        known = [invoice for invoice in self.issued() if invoice.kind != "credit"]
        if not 0 < place <= len(known):
            raise BadInput(f"there are {len(known)} invoices; none is number {place}")
        return known[place - 1]

    def _now(self) -> datetime:
        return self.stage.clock.now()

    # -- the contract -----------------------------------------------------------------------------------------

    def _contract(self, act: s.ContractAct) -> None:
        terms = next(c for c in self.script.contracts if (c.contract_no, c.version) == (act.contract, act.version))
        with self.stage.store.transaction() as tx:
            row = FiledContract(
                contract_no=act.contract, version=act.version, content=terms, filed_by=SOURCE, filed_at=self._now()
            )
            tx.insert(row)
            engagement = tx.get(Engagement, act.contract)
        running = engagement is not None and engagement.state is EngagementState.ACTIVE
        process = "amend_contract" if running else "contract_to_project"
        args = {"contract_no": act.contract, "version": act.version}
        self._start(process, f"{act.contract}@{act.version}", args, act.contract)

    def _change_order(self, act: s.ChangeOrderAct) -> None:
        args = {
            "contract_no": act.contract,
            "change_order": act.name,
            "cap_delta": str(act.cap_delta),
            "accepted_on": str(act.on),
            "evidence": "rehearsal",
        }
        self._start("change_order", f"{act.contract}:{act.name}", args, act.contract)

    # -- work -------------------------------------------------------------------------------------------------

    def _time(self, act: s.TimeAct) -> None:
        entries = [self._entry(act, work, n) for n, work in enumerate(act.entries)]
        with self.stage.store.transaction() as tx:
            sweeps.accept_time(self.stage.kernel.books(tx, key=self._name("time"), actor=SOURCE), SOURCE, entries)
        sweeps.drain_time(self.stage.kernel)

    def _entry(self, act: s.TimeAct, work: s.Work, number: int) -> TimeEntry:
        facts = work.model_dump(exclude={"id", "task", "day"})
        return TimeEntry(
            source=SOURCE,
            source_id=work.id,
            project_code=self._project(act.contract),
            task_code=work.task,
            service_date=work.day,
            approved_by=act.approved_by,
            approved_at=self._now() + timedelta(milliseconds=number),
            **facts,
        )

    def _submit_time(self, act: s.TimeAct) -> None:
        with self.stage.store.transaction() as tx:
            for work in act.entries:
                row = SubmittedTime(
                    source=SOURCE,
                    source_id=work.id,
                    project_code=self._project(act.contract),
                    task_code=work.task,
                    person=work.person,
                    role=work.role,
                    service_date=work.day,
                    hours=work.hours,
                    cost_rate=work.cost_rate,
                    submitted_at=self._now(),
                )
                tx.put(row)

    def _expenses(self, act: s.ExpenseAct) -> None:
        expenses = [self._expense(act, spent) for spent in act.entries]
        with self.stage.store.transaction() as tx:
            sweeps.accept_expenses(
                self.stage.kernel.books(tx, key=self._name("expenses"), actor=SOURCE), SOURCE, expenses
            )
        sweeps.drain_facts(self.stage.kernel)

    def _expense(self, act: s.ExpenseAct, spent: s.Spent) -> Expense:
        facts = spent.model_dump(exclude={"id", "task", "day", "receipt"}, exclude_none=True)
        return Expense(
            source=SOURCE,
            source_id=spent.id,
            project_code=self._project(act.contract),
            task_code=spent.task,
            expense_date=spent.day,
            receipt_ref=spent.receipt,
            receipt_hash=content_hash(spent.receipt) if spent.receipt else "",
            approved_by=act.approved_by,
            approved_at=self._now(),
            **facts,
        )

    def _milestone(self, act: s.MilestoneAct) -> None:
        status = MilestoneStatus(
            source=SOURCE,
            source_id=f"{act.contract}/{act.line}/{act.number}",
            contract_no=act.contract,
            line_uid=act.line,
            number=act.number,
            state=act.state,
            by=act.by,
            at=self._now(),
            evidence=act.evidence,
        )
        with self.stage.store.transaction() as tx:
            sweeps.accept_milestones(
                self.stage.kernel.books(tx, key=self._name("milestone"), actor=SOURCE), SOURCE, [status]
            )
        sweeps.drain_facts(self.stage.kernel)

    def _percent(self, act: s.PercentAct) -> None:
        report = PercentReport(
            contract_no=act.contract, line_uid=act.line, as_of=act.on, percent=act.percent, by=act.by, at=self._now()
        )
        with self.stage.store.transaction() as tx:
            tx.insert(report)

    def _usage(self, act: s.UsageAct) -> None:
        record = UsageRecord(
            contract_no=act.contract,
            line_uid=act.line,
            period_start=act.period_start,
            period_end=act.period_end,
            quantity=act.quantity,
            unit_price=act.unit_price,
            amount=act.amount,
            evidence_ref=act.evidence,
            evidence_hash=content_hash(act.evidence),
            source=SOURCE,
            source_id=act.id,
        )
        with self.stage.store.transaction() as tx:
            tx.insert(record)

    # -- billing ----------------------------------------------------------------------------------------------

    def _bill(self, act: s.BillAct) -> None:
        args = {"contract_no": act.contract, "cutoff": str(act.cutoff), "prepared_by": act.prepared_by}
        self._start("bill_contract", f"{act.contract}:{act.name or self._name('run')}", args, act.contract)

    def _bill_client(self, act: acts.BillClientAct) -> None:
        facts = {"client_no": act.client, "entity": act.entity, "cutoff": str(act.cutoff)}
        key = f"{act.client}:{act.entity}:{act.name or self._name('run')}"
        args = {**facts, "prepared_by": act.prepared_by}
        self.stage.start("bill_client", key, args, act.entity, f"client:{act.client}")

    def _lend(self, act: acts.LendAct) -> None:
        facts = act.model_dump(exclude={"on", "at", "note", "do", "number", "by"})
        agreed = {"agreement_no": act.number, "agreed_by": act.by, "recorded_at": self._now()}
        with self.stage.store.transaction() as tx:
            tx.insert(LendingAgreement.model_validate({**facts, **agreed}))

    def _charge_entities(self, act: acts.ChargeEntitiesAct) -> None:
        args = {"lender": act.lender, "borrower": act.borrower, "period": act.period}
        pair = f"{act.lender}>{act.borrower}"
        key = f"{pair}:{act.period}:{act.name or self._name('charge')}"
        self.stage.start("charge_between_entities", key, args, act.lender, f"lending:{pair}")

    def _threshold(self, act: acts.ThresholdAct) -> None:
        facts = act.model_dump(exclude={"on", "at", "note", "do", "by"})
        with self.stage.store.transaction() as tx:
            tx.put(TaxThreshold(**facts, kept_by=act.by, recorded_at=self._now()))

    def _advance(self, act: s.AdvanceAct) -> None:
        args = {"contract_no": act.contract, "line_uid": act.line, "asked_by": "ana.billing"}
        self._start("bill_advance", f"{act.contract}:{self._name('advance')}", args, act.contract)

    def _release_holdback(self, act: s.ReleaseAct) -> None:
        args = {
            "contract_no": act.contract,
            "line_uid": act.line,
            "asked_by": "ana.billing",
            "finally_accepted": act.finally_accepted,
        }
        self._start("release_holdback", f"{act.contract}:{self._name('release')}", args, act.contract)

    def _credit(self, act: s.CreditAct) -> None:
        invoice = self._invoice(act.invoice)
        args = {
            "invoice_id": invoice.invoice_id,
            "amounts": {line: str(amount) for line, amount in act.lines.items()},
            "reason": act.reason,
            "requested_by": act.by,
            "note": act.note,
            "disposition": act.disposition,
        }
        self._start("credit_invoice", self._name(f"{invoice.number}/credit"), args, invoice.contract_no)

    def _bad_debt(self, act: s.BadDebtAct) -> None:
        invoice = self._invoice(act.invoice)
        args: dict[str, Any] = {"invoice_id": invoice.invoice_id, "reason": act.reason, "requested_by": act.by}
        if not act.claim_again:
            args["amount"] = str(act.amount) if act.amount is not None else ""
        process = "claim_again" if act.claim_again else "write_off_debt"
        self._start(process, self._name(f"{invoice.number}/debt"), args, invoice.contract_no)

    def _dispute(self, act: s.DisputeAct) -> None:
        invoice = self._invoice(act.invoice)
        args = {
            "invoice_id": invoice.invoice_id,
            "line": act.line,
            "amount": str(act.amount) if act.amount is not None else "",
            "reason": act.reason,
            "opened_by": act.by,
        }
        self._start("dispute_line", self._name(f"{invoice.number}/dispute"), args, invoice.contract_no)

    def _payment(self, act: s.PaymentAct) -> None:
        """Money the ERP has recorded; the hub hears of it by asking, as it always does.

        Of tax that was withheld the ERP says nothing: such a payment is reported to the hub.
        """
        applied = [(self._invoice(int(place)), amount) for place, amount in act.applies.items()]
        if act.withheld:
            self._reported(act, applied)
            return
        remote = {ref.key: ref.remote_id for ref in self._rows(CrossReference, system="netsuite")}
        first = applied[0][0]
        currency = next(c for c in self.script.contracts if c.contract_no == first.contract_no).currency
        ids = {"USD": "1", "GBP": "2", "CAD": "3", "EUR": "4"}
        total = sum((amount for _, amount in applied), Decimal(0))
        paid = {
            "customer": {"id": remote[first.owed_by]},
            "payment": float(total),
            "currency": {"id": ids[currency]},
            "tranDate": act.on.isoformat(),
            "otherRefNum": act.reference or act.id,
            "apply": [
                {"doc": {"id": remote[invoice.number]}, "apply": True, "amount": float(amount)}
                for invoice, amount in applied
            ],
            "lastModifiedDate": f"{self._now():%Y-%m-%dT%H:%M:%SZ}",
        }
        self.stage.control("netsuite", "seed", {"customerPayment": [paid]})
        sweeps.sweep_payments(self.stage.kernel, self.stage.systems.connections["netsuite"])

    def _reported(self, act: s.PaymentAct, applied: list[tuple[Invoice, Decimal]]) -> None:
        withheld = {self._invoice(int(place)).number: amount for place, amount in act.withheld.items()}
        first, paid = applied[0][0], {invoice.number: amount for invoice, amount in applied}
        payment = Payment(
            source=SOURCE,
            source_id=act.id,
            client_no=first.owed_by,
            amount=sum(paid.values(), Decimal(0)),
            currency=first.currency,
            value_date=act.on,
            reference=act.reference or act.id,
            applies=paid,
            withheld=withheld,
        )
        with self.stage.store.transaction() as tx:
            sweeps.take_payment(self.stage.kernel.books(tx, key=self._name("payment"), actor=SOURCE), payment)

    def _write_off(self, act: s.WriteOffAct) -> None:
        args = {
            "contract_no": act.contract,
            "amount": str(act.amount),
            "state": act.state,
            "requested_by": act.by,
            "reason": act.reason,
        }
        self._start("write_off", f"{act.contract}:{self._name('write-off')}", args, act.contract)

    def _write_down(self, act: s.WriteDownAct) -> None:
        facts = {"down_to": str(act.down_to), "cutoff": str(act.cutoff), "requested_by": act.by, "reason": act.reason}
        key = f"{act.contract}:{self._name('write-down')}"
        self._start("write_down", key, {"contract_no": act.contract, **facts}, act.contract)

    def _hold(self, act: s.HoldAct) -> None:
        hold = Hold(
            hold_id=f"{act.contract}/{act.id}",
            contract_no=act.contract,
            line_uid=act.line,
            source_key=f"{SOURCE}:{act.source}" if act.source else "",
            reason=act.reason,
            amount=act.amount,
            owner=act.by,
            placed_by=act.by,
            placed_at=self._now(),
            until=act.until,
        )
        self._place_again(act.contract, lambda books: place_hold(books, hold))

    def _release_hold(self, act: s.HoldAct) -> None:
        self._place_again(
            act.contract, lambda books: release_hold(books, f"{act.contract}/{act.id}", act.by, act.note or "released")
        )

    def _waive_receipt(self, act: s.ReceiptAct) -> None:
        source = f"{SOURCE}:{act.source}"
        self._place_again(
            act.contract, lambda books: waive_rule(books, act.contract, source, "RECEIPT_MISSING", act.by)
        )

    def _place_again(self, contract: str, change: Callable[[Any], Any]) -> None:
        with self.stage.store.transaction() as tx:
            books = self.stage.kernel.books(
                tx, key=self._name("hold"), actor=SOURCE, correlation_id=f"contract:{contract}"
            )
            change(books)
            place_contract(books, contract)

    # -- bought-in work ---------------------------------------------------------------------------------------

    def _subcontract(self, act: acts.SubcontractAct) -> None:
        facts = act.model_dump(exclude={"on", "at", "note", "do", "contract", "number", "by"})
        facts |= {"subcontract_no": act.number, "project_code": self._project(act.contract)}
        with self.stage.store.transaction() as tx:
            keep_subcontract(self.stage.kernel.books(tx, key=self._name("subcontract"), actor=act.by), facts, act.by)

    def _supplier_bill(self, act: acts.SupplierBillAct) -> None:
        with self.stage.store.transaction() as tx:
            books = self.stage.kernel.books(tx, key=self._name("bill"), actor=act.by)
            receive_bill(books, act.subcontract, act.number, act.on, act.lines, act.by)

    def _release_bill(self, act: acts.SupplierReleaseAct) -> None:
        (bill,) = self._rows(SubcontractorBill, subcontract_no=act.subcontract, bill_no=act.number)
        args = {"bill_id": bill.bill_id, "asked_by": act.by, "why": act.reason}
        self._start("release_subcontractor", f"{bill.bill_id}/{self._name('release')}", args, bill.contract_no)

    def _release_retention(self, act: acts.SupplierReleaseAct) -> None:
        (subcontract, *_) = self._rows(Subcontract, subcontract_no=act.subcontract)
        name = act.number or self._name("release")
        args = {
            "subcontract_no": act.subcontract,
            "amount": str(act.amount) if act.amount is not None else "",
            "asked_by": act.by,
            "why": act.reason,
            "name": name,
        }
        self._start("release_retention", f"{act.subcontract}:{name}", args, subcontract.contract_no)

    # -- people, periods, expectations ------------------------------------------------------------------------

    def _decide(self, act: s.DecideAct) -> None:
        open_cases = self._rows(Case, state=CaseState.OPEN, exception=act.case)
        fitting = [case for case in open_cases if act.subject in f"{case.subject} {case.cause}"]
        if not fitting:
            raise BadInput(f"there is no open case {act.case}{f' about {act.subject}' if act.subject else ''}")
        why = act.note or "decided in the rehearsal"
        with self.stage.store.transaction() as tx:
            books = self.stage.kernel.books(tx, key=self._name("decision"), actor=act.by)
            checked = cases.check(books, fitting[0], act.action, act.values)
            number = fitting[0].case_no
            cases.carry_out(books, number, action=act.action, actor=act.by, reason=why, checked=checked)

    def _close_period(self, act: s.CloseAct) -> None:
        args = {"entity": act.entity, "period": act.period, "closed_by": act.by}
        key = f"{act.entity}/{act.period}/{self._name('close')}"
        self.stage.start("close_period", key, args, act.entity, f"period:{act.entity}/{act.period}")

    def _reopen_period(self, act: s.CloseAct) -> None:
        args = {"entity": act.entity, "period": act.period, "asked_by": act.by, "reason": act.reason}
        key = f"{act.entity}/{act.period}/{self._name('reopen')}"
        self.stage.start("reopen_period", key, args, act.entity, f"period:{act.entity}/{act.period}")

    def _expect(self, act: s.ExpectAct) -> None:
        where = f"{act.on} {act.note}".strip()
        self.failures += [f"{where}: {problem}" for problem in check(self.stage, self, act)]
