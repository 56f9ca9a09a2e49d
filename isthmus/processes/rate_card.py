"""From a rate card in a file to prices in force: nobody's prices change by one person alone."""

from __future__ import annotations

from isthmus.processes.work import adopting as work
from isthmus.runtime.process import process
from isthmus.runtime.run import Run


@process(
    starts="a rate card of a client or a legal entity, handed in as a file (API, CLI)",
    owner="Pricing hands in, finance approves",
    key="the card's code and version",
    parks=("EX-RATE-CARD",),
    undo="the draft is retired; a card in force is changed by its next version",
    lane="financial",
)
def adopt_rate_card(run: Run, code: str, version: int, handed_in_by: str) -> str:
    """Two persons, then the card prices what comes in; what is priced already keeps its price."""
    run.decide("Keep the card as a draft", work.keep, code, version, undo=work.retire)
    run.decide("Have the card approved", work.ask_for_approval, code, version, handed_in_by)
    return run.decide("Put the card in force", work.put_in_force, code, version, final=True)
