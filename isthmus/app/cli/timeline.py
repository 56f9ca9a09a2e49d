"""A journey as people read it: one line per thing that happened, oldest first, with system and money."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from isthmus.app.cli.shell import table

if TYPE_CHECKING:
    from rich.console import Console

Moment = tuple[str, str, str, str, str, str]  # at, kind, what, amount, system, style
SETTLED = ("done", "found", "resent")


def waits_for_a_person(journey: Mapping[str, Any]) -> bool:
    """True when a case of the journey is open or one of its runs has stopped."""
    stopped = any(run.get("state") in ("parked", "failed") for run in journey["runs"])
    return stopped or any(case.get("state") == "open" for case in journey["cases"])


def print_journey(console: Console, journey: Mapping[str, Any]) -> None:
    """Header, timeline, then what waits for whom."""
    found = f"{', '.join(journey['found_as'])} of {', '.join(journey['correlation_ids'])}"
    console.print(f"{journey['key']}: {found}", style="bold")
    for engagement in journey["engagements"]:
        console.print(f"engagement {engagement['engagement_no']} of {engagement['client_no']}: {engagement['state']}")
    for invoice in journey["invoices"]:
        console.print(_invoice(invoice))
    lines = table("when (UTC)", "", "what", "amount", "system", right=("amount",))
    for at, kind, what, amount, system, style in sorted(_moments(journey), key=lambda moment: moment[0]):
        lines.add_row(at[:19].replace("T", " "), kind, what, amount, system, style=style or None)
    console.print(lines)
    if journey["truncated"]:
        console.print(f"cut: {', '.join(journey['truncated'])} are longer; 'isthmus runs' and the API have all of them")
    for case in journey["cases"]:
        if case.get("state") == "open":
            console.print(f"{case['case_no']} waits for {case['queue']}: {case['cause']}", style="bold yellow")
            actions = "|".join(case.get("actions", ())) or "(goes on by itself)"
            console.print(f"  isthmus resolve {case['case_no']} {actions} --reason TEXT --as USER")


def _invoice(invoice: Mapping[str, Any]) -> str:
    name = invoice.get("number") or invoice.get("invoice_id", "")
    tracks = ", ".join(str(invoice[t]) for t in ("life", "posting", "settlement") if invoice.get(t))
    total, open_left = invoice.get("total"), invoice.get("open")
    return f"invoice {name}: {total} {invoice.get('currency', '')}, open {open_left}; {tracks}"


def _moments(journey: Mapping[str, Any]) -> Iterator[Moment]:
    yield from _messages(journey["messages"])
    # A step names the verb it used; the effect knows which system that was.
    connections = {(e["run_id"], e["verb"]): e["connection"] for e in journey["effects"]}
    for run in journey["runs"]:
        yield _at(run, "created_at"), "run", f"{run['run_id']} started", "", "", "bold"
        for step in run.get("steps", ()):
            what = step["phrase"] + (f": {step['summary']}" if step.get("summary") else "")
            system = connections.get((run["run_id"], step["system"]), "")
            yield _at(step, "ended_at"), "step", what, _money(step), system, ""
        if run.get("state") not in ("running", None):
            reason = f": {run['reason']}" if run.get("reason") else ""
            style = "green" if run["state"] == "done" else "yellow"
            yield _at(run, "updated_at"), "run", f"{run['run_id']} is {run['state']}{reason}", "", "", style
    for effect in journey["effects"]:
        if effect["lookups"] or effect["state"] not in SETTLED:  # the others are told by their steps
            what = f"{effect['verb']} {effect['business_key']} {effect['state']}, looked up {effect['lookups']}x"
            yield _at(effect, "done_at", "created_at"), "write", what, _money(effect), effect["connection"], "yellow"
    for case in journey["cases"]:
        what = f"{case['case_no']} {case['exception']}: {case['cause']}"
        yield _at(case, "opened_at"), "case", what, _money(case), "", "yellow"
        if case.get("resolved_at"):
            what = f"{case['case_no']} {case['state']} by {case.get('resolved_by', '')}"
            yield _at(case, "resolved_at"), "case", what, "", "", "green"


def _messages(messages: Sequence[Mapping[str, Any]]) -> Iterator[Moment]:
    """One line for all that went the same way: a week of time is one line, a message in quarantine is its own."""
    together: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for message in messages:
        way = tuple(str(message[name]) for name in ("source", "kind", "state", "reason", "run_id"))
        together.setdefault(way, []).append(message)
    for (source, kind, state, reason, _), alike in together.items():
        name = alike[0]["message_id"] if len(alike) == 1 else f"{len(alike)} messages"
        what = f"{kind} {name}: {state}" + (f", {reason}" if reason else "")
        at = min(str(message["received_at"]) for message in alike)
        yield at, "message", what, "", source, "yellow" if state == "quarantined" else "dim"


def _at(thing: Mapping[str, Any], *names: str) -> str:
    return next((str(thing[name]) for name in names if thing.get(name)), "")


def _money(thing: Mapping[str, Any]) -> str:
    amount = thing.get("amount")
    return "" if amount is None else f"{amount} {thing.get('currency', '')}".strip()
