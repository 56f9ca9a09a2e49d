"""Cases: by cause or one by one; and the group of one cause with its bulk fix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.responses import Response

from isthmus.app.api.reading import reading
from isthmus.app.console import bulk_lists
from isthmus.app.console import case_lists as lists
from isthmus.app.console.pages import Look, page, to
from isthmus.app.console.render import show
from isthmus.desk import bulk
from isthmus.desk.filing import cause_facts
from isthmus.desk.forms import form_of, forms_for_many
from isthmus.desk.options import OPTIONS_MAX
from isthmus.desk.proposals import Choice
from isthmus.desk.suggestions import suggestions_for
from isthmus.desk.types import action_of
from isthmus.domain.errors import BadInput, NotFound
from isthmus.domain.names import same_person
from isthmus.domain.objects import Client
from isthmus.domain.states import CaseState
from isthmus.policies.authority import QUEUES, demand_entity
from isthmus.store.postgres import PostgresTx
from isthmus.store.records import Case

FILTERS = (
    *(
        "q",
        "state",
        "queue",
        "exception",
        "contract_no",
        "client_no",
        "entity",
        "group_key",
        "severity",
        "mine",
        "pending",
        "waits",
        "overdue",
        "tag",
        "record",
    ),
    "view",
)
SHOWN_MAX = 10_000
IN_A_GROUP = 120


@page("/cases", "case.read")
def cases(look: Look) -> Response:
    """All cases that may be seen, by cause unless they are asked for one by one."""
    asked = {name: look.query(name) for name in FILTERS if look.query(name)}
    one_by_one = asked.get("view") == "list" or asked.get("state", "open") != "open"
    now, config = look.hub.kernel.clock.now(), look.hub.desk
    offset = min(int(look.query("from") or 0) if look.query("from").isdigit() else 0, SHOWN_MAX)
    facts: dict[str, Any] = {"asked": asked, "one_by_one": one_by_one, "offset": offset, "queues": sorted(QUEUES)}
    with reading(look.hub) as tx:
        where = lists.conditions(asked, look.actor, now)
        facts["total"] = lists.counted(tx, where)
        if one_by_one:
            facts |= {"rows": _some(tx, where, asked, look, offset), "groups": [], "groups_total": 0}
        else:
            found, groups_total = lists.groups(tx, where, config, now)
            facts |= {"rows": [], "groups": found, "groups_total": groups_total}
        facts["clients"] = names_of(tx, facts["rows"], facts["groups"])
    left = facts["total"] > offset + lists.PAGE and one_by_one
    facts["more"] = f"/console/cases?{urlencode({**asked, 'from': offset + lists.PAGE})}" if left else ""
    facts["link"] = lambda **change: f"/console/cases?{urlencode(_changed(asked, change))}"
    return show(look, "cases.html", facts)


def _some(tx: PostgresTx, where: list[Any], asked: dict[str, str], look: Look, offset: int) -> list[lists.Weighed]:
    if asked.get("state", "open") != "open":
        return lists.latest(tx, where, offset=offset)
    return lists.heaviest(tx, where, look.hub.desk, look.hub.kernel.clock.now(), offset=offset)


def _changed(asked: dict[str, str], change: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in {**asked, **change}.items() if value}


def names_of(tx: PostgresTx, rows: list[lists.Weighed], groups: list[lists.Group]) -> dict[str, str]:
    """Client names by number, for a list."""
    wanted = {row.case.client_no for row in rows} | {group.sample.client_no for group in groups}
    numbers = tuple(sorted(wanted - {""}))
    return {one.client_no: one.legal_name for one in tx.find(Client, client_no=numbers)} if numbers else {}


@page("/groups/{group_key}", "case.read")
def group(look: Look) -> Response:
    """All open cases of one cause, and one form for all of them."""
    key = look.path("group_key")
    now, config = look.hub.kernel.clock.now(), look.hub.desk
    with reading(look.hub) as tx:
        where = lists.conditions({"group_key": key}, look.actor, now)
        rows = lists.heaviest(tx, where, config, now, limit=IN_A_GROUP)
        if not rows:
            raise NotFound("no open case of this cause is left")
        sample = rows[0].case
        found, _ = lists.groups(tx, where, config, now)
        facts: dict[str, Any] = {
            "group": found[0],
            "rows": rows,
            "forms": forms_for_many(tx, sample),
            "suggestions": suggestions_for(tx, sample),
            "clients": names_of(tx, rows, []),
            "facts": cause_facts(sample),
            "options_max": OPTIONS_MAX,
            "can_decide": look.may("case.decide") and look.actor.decides(sample.queue),
        }
    return show(look, "group.html", facts)


@page("/groups/{group_key}", "case.decide", method="POST")
def ask_for_bulk(look: Look) -> Response:
    """Preview the same decision on the chosen cases of a group."""
    key, action = look.path("group_key"), look.form.get("action", "")
    with look.hub.store.transaction() as tx:
        open_ones = tx.find(Case, group_key=key, state=CaseState.OPEN, order=("case_no",))
        shown = set(look.form.get("shown", "").split(","))
        open_ones = [case for case in open_ones if look.actor.serves(case.entity)]
        if not open_ones:
            raise NotFound("no open case of this cause is left")
        chosen = [case for case in open_ones if _is_chosen(look, case.case_no, shown)]
        form = form_of(tx, open_ones[0], action)
        own = _of_action(look, action)
        reason = own.get("reason", "").strip()
        if not reason:
            raise BadInput("Say why: it is kept with every decision.")
        values = values_of(own, [one.name for one in form.fields])
        if action_of(open_ones[0].exception, action).edits:  # what is left empty stays in each case as it is
            values = {name: value for name, value in values.items() if value}
        choice = Choice(action, reason, values)
        books = look.hub.kernel.books(tx, key=f"group/{key}", actor=look.actor.name)
        fix = bulk.ask(books, look.actor, [case.case_no for case in chosen], choice)
    return to(f"/console/bulk/{fix.bulk_no}")


def _is_chosen(look: Look, case_no: str, shown: set[str]) -> bool:
    """Those that were shown one by one; the others all together."""
    return bool(look.form.get(f"case:{case_no}" if case_no in shown else "others"))


def _of_action(look: Look, action: str) -> dict[str, str]:
    """The fields of one action: a group's page has the forms of all of them, each with fields and reason of its own."""
    prefix = f"{action}/"
    return {name.removeprefix(prefix): text for name, text in look.form.items() if name.startswith(prefix)}


def values_of(form: Mapping[str, str], names: list[str]) -> dict[str, Any]:
    """The values of a form: fields are sent as value:NAME, the rows of a table as value:NAME:KEY."""
    values: dict[str, Any] = {}
    for name in names:
        if f"value:{name}" in form:
            values[name] = form[f"value:{name}"].strip()
            continue
        prefix = f"value:{name}:"
        rows = {sent.removeprefix(prefix): text.strip() for sent, text in form.items() if sent.startswith(prefix)}
        if any(rows.values()):
            values[name] = {key: value for key, value in rows.items() if value}
    return values


# -- bulk fixes -----------------------------------------------------------------------------------------------------


@page("/bulk/{bulk_no}", "case.read")
def bulk_fix(look: Look) -> Response:
    """How far a bulk fix is, and what came of each case: a page of them, what went wrong first."""
    offset = int(look.query("from")) if look.query("from").isdigit() else 0
    with reading(look.hub) as tx:
        fix = bulk.bulk_of(tx, look.path("bulk_no"))
        for entity in bulk_lists.entities(tx, fix.bulk_no):
            demand_entity(look.actor, entity)
        rows = bulk_lists.rows(tx, fix.bulk_no, offset)
        counts = bulk_lists.counts(tx, fix.bulk_no)
        total = sum(counts.values())
        facts: dict[str, Any] = {
            "fix": fix,
            "rows": rows,
            "counts": counts,
            "total": total,
            "writes": bulk_lists.writes(tx, fix.bulk_no),
            "then": bulk_lists.story_afterwards(tx, fix.bulk_no),
            "mine": same_person(look.actor.name, fix.asked_by),
        }
    left = offset + len(rows) < total
    facts["more"] = f"/console/bulk/{fix.bulk_no}?from={offset + len(rows)}" if left else ""
    return show(look, "bulk.html", facts)


@page("/bulk/{bulk_no}", "case.decide", method="POST")
def move_bulk(look: Look) -> Response:
    """Confirm, agree to, or stop a bulk fix."""
    number, reason = look.path("bulk_no"), look.form.get("reason", "").strip() or "seen the preview"
    with look.hub.store.transaction() as tx:
        books = look.hub.kernel.books(tx, key=f"bulk/{number}", actor=look.actor.name)
        if look.form.get("do") == "confirm":
            bulk.confirm(books, look.actor, number, look.hub.desk)
        elif look.form.get("do") == "agree":
            bulk.approve(books, look.actor, number, reason, look.hub.desk)
        else:
            bulk.stop(books, look.actor, number, reason)
    return to(f"/console/bulk/{number}")
