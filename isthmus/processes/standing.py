"""Tell the system a contract comes from where it stands, when somebody must decide something about it or has."""

from __future__ import annotations

from isthmus.processes.work import invoicing
from isthmus.runtime.process import process
from isthmus.runtime.run import Run


@process(
    starts="a case that holds a contract or its invoice up is opened or decided (case.opened, case.resolved)",
    owner="Sales operations",
    key="contract number and the event",
    parks=("EX-WRITEBACK",),
    undo="nothing: the next report shows what is true then",
    lane="bulk",
)
def show_standing(run: Run, contract_no: str) -> str:
    """The status on the source record: active, paid, disputed, or for whom the contract waits."""
    invoicing.show_in_crm(run, "Show in the CRM where the contract stands", contract_no)
    return contract_no
