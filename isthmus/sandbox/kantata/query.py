"""Lists: filters, search, order and paging over the live records. Modelled from published material, not certified.

A page is cut from the list as it stands at that moment. The default order is ``updated_at:desc``, so a record
written between two page reads moves to the front and pushes others over the page edge, as it does at the vendor.
A parameter the endpoint does not know is ignored and an unknown order falls back to the default one, in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.kantata.answer import Refused
from isthmus.sandbox.kantata.schema import Collection
from isthmus.sandbox.kantata.store import Store, parse_stamp, reference_type, to_precise

Params = Mapping[str, str]
Keep = Callable[[Record], bool]
DEFAULT_PAGE = 20
_NEEDED = {
    "external_references": "subject_type",
    "story_state_changes": "story_id",
    "custom_field_values": "subject_type",
}
_SORTED_BY = {
    ("expenses", "amount"): "amount_in_cents",
    ("expense_report_submissions", "amount"): "line_item_total_in_cents",
    ("timesheet_submissions", "date"): "start_date",
}


def run(
    store: Store, c: Collection, params: Params, max_per_page: int, user_id: str
) -> tuple[list[Record], dict[str, int]]:
    """One page of records and its meta object, as this user may see them."""
    needed = _NEEDED.get(c.name)
    if needed and not params.get(needed) and not params.get("only"):
        raise Refused(400, {"type": "system", "message": f"{needed} is required"})
    keeps = filters_of(store, c, params)
    if c.name == "expense_report_submissions" and params.get("all_on_account") != "true" and not params.get("only"):
        keeps.append(lambda r: r["user_id"] == user_id)
    rows = [r for _, r in store.records.all(c.name) if all(keep(r) for keep in keeps)]
    return page_of(ordered(store, c, rows, params.get("order", "")), params, max_per_page)


def page_of(rows: list[Record], params: Params, max_per_page: int) -> tuple[list[Record], dict[str, int]]:
    """Cut by limit and offset when both are given, else by page and per_page."""
    if params.get("limit") and params.get("offset"):
        size = min(max(_whole(params["limit"], 1), 1), max_per_page)
        start = max(_whole(params["offset"], 0), 0)
        number = start // size + 1
    else:
        size = _whole(params.get("per_page", ""), DEFAULT_PAGE)
        size = min(size, max_per_page) if size > 0 else DEFAULT_PAGE
        number = max(_whole(params.get("page", ""), 1), 1)
        start = (number - 1) * size
    meta = {
        "count": len(rows),
        "page_count": -(-len(rows) // size),
        "page_number": number,
        "page_size": size,
    }
    return rows[start : start + size], meta


def ordered(store: Store, c: Collection, rows: list[Record], order: str) -> list[Record]:
    """Sort by the asked order or the default; ties go by ascending id, whatever the direction."""
    name, _, direction = order.partition(":")
    if name not in c.orders:
        name, _, direction = c.default_order.partition(":")

    field = _SORTED_BY.get((c.name, name), name)

    def key(record: Record) -> Any:
        if name == "created_at":
            return store.created(c.name, record["id"])
        if name == "updated_at":
            return store.updated(c.name, record["id"])
        value = record.get(field)
        return (value is not None, value or "")

    return sorted(sorted(rows, key=lambda r: int(r["id"])), key=key, reverse=direction == "desc")


def filters_of(store: Store, c: Collection, params: Params) -> list[Keep]:
    """Every filter the request asks for, plus those the endpoint applies unasked."""
    keeps = [*_by_time(store, c, params), *_by_equality(c, params), *_by_default(store, c, params)]
    if params.get("only"):
        wanted = _ids(params["only"])
        return [lambda r: r["id"] in wanted, *_by_default(store, c, params)]
    if c.referable:
        keeps += _by_reference(store, c, params)
    if c.name == "time_entries":
        keeps += _by_time_entry(store, params)
    if c.name == "expenses":
        keeps += _by_expense(store, params)
    if c.name.endswith("_submissions"):
        keeps += _by_submission(params)
    return keeps + _by_search(c, params)


def _whole(text: str, otherwise: int) -> int:
    return int(text) if text.lstrip("-").isdigit() else otherwise


def _ids(text: str) -> frozenset[str]:
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def _one_of(name: str, asked: str) -> Keep:
    """Keep records whose attribute is one of a comma list; the attribute may be text, a number or a flag."""
    wanted = _ids(asked.lower())
    return lambda r: str(r.get(name)).lower() in wanted


def moment_of(params: Params, name: str) -> str | None:
    """A datetime parameter to the microsecond; 400 when it is not a datetime."""
    if not params.get(name):
        return None
    try:
        return to_precise(parse_stamp(params[name]))
    except ValueError:
        raise Refused(400, {"type": "system", "message": f"{name} is not a valid ISO 8601 datetime"}) from None


def _by_time(store: Store, c: Collection, params: Params) -> list[Keep]:
    keeps: list[Keep] = []
    if (after := moment_of(params, "created_after")) is not None:
        keeps.append(lambda r: store.created(c.name, r["id"]) > after)
    if (before := moment_of(params, "created_before")) is not None:
        keeps.append(lambda r: store.created(c.name, r["id"]) < before)
    if (later := moment_of(params, "updated_after")) is not None:
        keeps.append(lambda r: store.updated(c.name, r["id"])[0] > later)
    if (earlier := moment_of(params, "updated_before")) is not None:
        keeps.append(lambda r: store.updated(c.name, r["id"])[0] < earlier)
    return keeps


def _by_equality(c: Collection, params: Params) -> list[Keep]:
    keeps: list[Keep] = []
    for name in sorted(c.filters):
        asked = params.get(name) or (params.get(f"{name}s") if name.endswith("_id") else None)
        if asked:
            keeps.append(_one_of(name, asked))
    return keeps


def _by_default(store: Store, c: Collection, params: Params) -> list[Keep]:
    """Archived projects, their time and expenses are left out unless asked for: a documented cause of false 404s."""
    if c.name == "workspaces":
        mode = params.get("archived", "include" if params.get("include_archived") == "true" else "exclude")
        if mode == "include":
            return []
        return [lambda r: bool(r["archived"]) == (mode == "only")]
    if c.name in ("time_entries", "expenses") and params.get("from_archived_workspaces") != "true":
        archived = {i for i, w in store.records.all("workspaces") if w["archived"]}
        return [lambda r: r["workspace_id"] not in archived] if archived else []
    return []


def _by_reference(store: Store, c: Collection, params: Params) -> list[Keep]:
    prefix = "external_reference_"
    equal = {k.removeprefix(prefix): v for k, v in params.items() if k.startswith(prefix) and v}
    refs = equal.pop("service_model_refs", None)
    has, without = params.get("has_external_references"), params.get("without_external_reference_service_name")
    if not (equal or refs or has or without):
        return []
    mine = [r for _, r in store.records.find("external_references", subject_type=reference_type(c))]
    keeps: list[Keep] = []
    if equal or refs:
        wanted = None if refs is None else _ids(refs)
        hits = {
            str(r["subject_id"])
            for r in mine
            if all(str(r.get(k)) == v for k, v in equal.items())
            and (wanted is None or r["service_model_ref"] in wanted)
        }
        keeps.append(lambda r: r["id"] in hits)
    if has:
        owners = {str(r["subject_id"]) for r in mine}
        keeps.append(lambda r: (r["id"] in owners) == (has == "true"))
    if without:
        excluded = {str(r["subject_id"]) for r in mine if r["service_name"] == without}
        keeps.append(lambda r: r["id"] not in excluded)
    return keeps


def _by_time_entry(store: Store, params: Params) -> list[Keep]:
    keeps: list[Keep] = []
    if "approved" in params:
        # The value is ignored by contract; a project that needs no approval counts as approved here.
        free = {i for i, w in store.records.all("workspaces") if not w["require_time_approvals"]}
        keeps.append(lambda r: r["approved"] or r["workspace_id"] in free)
    keeps += [*_by_invoice(params), *_between(params, "date_performed_between", "date_performed")]
    if users := params.get("with_user_ids"):
        keeps.append(_one_of("user_id", users))
    if sheet := params.get("with_timesheet_id"):
        keeps.append(lambda r: r["active_submission_id"] == sheet)
    if recent := params.get("with_recent_timesheet_ids"):
        keeps.append(_one_of("recent_submission_id", recent))
    if active := params.get("in_active_submission"):
        keeps.append(lambda r: (r["active_submission_id"] is not None) == (active == "true"))
    if invoice := params.get("in_active_invoice_id"):
        keeps.append(lambda r: r["invoice_id"] == invoice)
    return keeps


def _by_invoice(params: Params) -> list[Keep]:
    keeps: list[Keep] = []
    if "invoiced" in params:
        keeps.append(lambda r: r["is_invoiced"])
    if "uninvoiced" in params:
        keeps.append(lambda r: not r["is_invoiced"])
    return keeps


def _between(params: Params, asked: str, name: str) -> list[Keep]:
    first, colon, last = params.get(asked, "").partition(":")
    return [lambda r: (first or "0") <= r[name] <= (last or "9")] if colon else []


def _by_expense(store: Store, params: Params) -> list[Keep]:
    """An expense has no mark of its own that it is approved: its report has, or its project needs none."""
    keeps = [*_by_invoice(params), *_between(params, "date_expensed_between", "date")]
    reports = {i: r["status"] for i, r in store.records.all("expense_report_submissions")}
    if "approved" in params:
        free = {i for i, w in store.records.all("workspaces") if not w["require_expense_approvals"]}
        keeps.append(lambda r: reports.get(r["active_submission_id"]) == "approved" or r["workspace_id"] in free)
    for name, wanted in (("submitted", True), ("unsubmitted", False)):
        if name in params:
            keeps.append(lambda r, wanted=wanted: (r["active_submission_id"] is not None) == wanted)  # type: ignore[misc]
    if report := params.get("with_expense_report_id"):
        keeps.append(lambda r: r["active_submission_id"] == report)
    if recent := params.get("with_recent_expense_report_ids"):
        keeps.append(_one_of("recent_submission_id", recent))
    return keeps


def _by_submission(params: Params) -> list[Keep]:
    keeps: list[Keep] = []
    if statuses := params.get("statuses"):
        # The filter says "new" where the record says "pending".
        wanted = {"pending" if s == "new" else s for s in _ids(statuses)}
        keeps.append(lambda r: r["status"] in wanted)
    if users := params.get("user_ids"):
        keeps.append(_one_of("user_id", users))
    return keeps


def _by_search(c: Collection, params: Params) -> list[Keep]:
    text = params.get("search", "").lower()
    if text and not c.search:
        raise Refused(400, {"type": "system", "message": "Search is not available for this endpoint"})
    keeps: list[Keep] = []
    if text:
        keeps.append(lambda r: any(text in str(r.get(f) or "").lower() for f in c.search))
    if c.name == "workspaces" and (match := params.get("matching", "").lower().split()):
        keeps.append(lambda r: all(any(w.startswith(m) for w in r["title"].lower().split()) for m in match))
    return keeps
