"""From an approved contract to a project people may record time on.

Everything is checked before anything is set up; everything set up is read back before the gate opens. A check that
fails parks the run with a case; after the decision it goes on at the same step.
"""

from __future__ import annotations

from isthmus.ports import Erp, Psa, RateBook, ScheduleBook
from isthmus.processes.work import invoicing, payers
from isthmus.processes.work import onboarding as work
from isthmus.runtime.process import process
from isthmus.runtime.run import Run


@process(
    starts="a contract approved by legal and finance (contract.approved, by change capture, webhook or API)",
    owner="PMO",
    key="contract number and version",
    parks=(
        "EX-APPROVAL-INCOMPLETE",
        "EX-MAP-TERMS",
        "EX-AMENDMENT",
        "EX-CLIENT-DUP",
        "EX-CLIENT-NEW",
        "EX-PAYER",
        "EX-LE",
        "EX-CCY",
        "EX-DIM",
        "EX-TAX-REG",
        "EX-TERMS",
        "EX-CREDIT",
        "EX-ERP-REJECT",
        "EX-PSA-REJECT",
        "EX-RATE-MISMATCH",
        "EX-SCHED",
        "EX-READY",
        "EX-WRITEBACK",
    ),
    undo="projects in PSA and ERP are closed, clients and payers that were new in the ERP are deactivated",
)
def contract_to_project(run: Run, contract_no: str, version: int) -> str:
    """P1, the steps that CRM, PSA, ERP and tax engine allow."""
    contract = work.read_terms(run, contract_no, version)
    run.decide("Request the engagement", work.request_engagement, contract, undo=work.call_off)
    client = run.decide("Find the client", work.find_client, contract)
    contract = payers.find(run, contract, client)
    entity = run.decide("Choose the legal entity", work.choose_entity, contract)
    run.for_entity(entity.code)
    run.decide("Check the currency", work.check_currency, contract, entity)
    dimensions = run.decide("Complete the financial dimensions", work.complete_dimensions, contract, entity)
    registered = work.registrations(run, contract, client, entity)
    run.decide("Check the tax registration", work.check_tax, contract, client, registered)
    known_terms = work.known_terms(run, contract, entity)
    terms = run.decide("Check the payment terms", work.map_terms, contract, entity, known_terms)

    new = run.decide("Take the client into the books", work.client_is_new, client)
    contract = run.decide("Keep the contract version", work.keep_contract, contract, client, entity, dimensions, terms)
    project = run.decide("Plan the project", work.plan_project, contract)

    undo_client = Erp.deactivate_client if new else None
    run.effect("Create the client in the ERP", Erp.put_client, contract.client, undo=undo_client)
    payers.set_up(run, contract, undone=True)
    run.effect("Set up the project in the PSA", Psa.put_project, project, undo=Psa.close_project)
    run.effects("Set up its tasks in the PSA", Psa.put_task, work.tasks_of(project))
    rates = work.push_rates(run, project)
    run.effect("Set up the project in the ERP", Erp.put_project, project, undo=Erp.close_project)
    run.effects("Set up its tasks in the ERP", Erp.put_task, work.tasks_of(project))
    schedule = work.schedule_of(contract)
    if schedule:
        run.effect_if_offered("Open the billing schedule", ScheduleBook.put_schedule, schedule)
    run.decide("Set the revenue treatment", work.set_revenue_treatment, contract)

    run.read("Read the project back from the PSA", Psa.read_project, project.project_code, then=work.same_as(project))
    if rates and rates.external_id:
        card = work.rate_card_of(project)
        run.read("Read the rates back from the PSA", RateBook.find_rates, card, then=work.rates_are_there(card))
    run.read("Read the project back from the ERP", Erp.read_project, project.project_code, then=work.same_as(project))
    run.decide("Pass the readiness gate", work.pass_gate, contract)
    run.decide("Activate the engagement", work.activate, contract, final=True)
    invoicing.show_in_crm(run, "Show the engagement in the CRM", contract_no)
    return project.project_code
