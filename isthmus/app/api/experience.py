"""Experience API: read-only views over all systems."""

from __future__ import annotations

from isthmus.app.api.admission import Visiting
from isthmus.app.api.endpoints import endpoint
from isthmus.app.api.reading import reading
from isthmus.app.api.summary import Summary, summarise
from isthmus.app.journey import Journey, journey_of
from isthmus.runtime.clock import local_day


@endpoint("GET /v1/journeys/{key}", path="/v1/journeys/{key:path}", answer=Journey)
def get_journey(visit: Visiting, key: str) -> Journey:
    """Show the whole journey behind any key: contract, invoice, entry, run, case, id in another system."""
    with reading(visit.hub) as tx:
        journey = journey_of(tx, key)
        for found in (*journey.engagements, *journey.cases):
            visit.sees(tx, found)
        return journey


@endpoint("GET /v1/summary", answer=Summary)
def get_summary(visit: Visiting) -> Summary:
    """Show where all contracts, hours and amounts stand."""
    with reading(visit.hub) as tx:
        today = local_day(visit.hub.kernel.clock.now(), visit.hub.firm.entities[0].time_zone)
        return summarise(tx, visit.actor, today)
