"""What leaves the sandbox: error bodies and the side-loading envelope.

Modelled from the vendor's published material, not certified.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlette.responses import JSONResponse

from isthmus.sandbox.base import Record
from isthmus.sandbox.kantata.schema import Collection
from isthmus.sandbox.kantata.schema_money import BY_SUBJECT, COLLECTIONS
from isthmus.sandbox.kantata.store import Store, reference_type

STATUSES = {
    100: ("gray", "Backlog"),
    200: ("light-green", "Prospect"),
    300: ("green", "In Progress"),
    400: ("yellow", "On Hold"),
    500: ("red", "At Risk"),
    600: ("blue", "Completed"),
    610: ("blue", "Closed"),
}
_MESSAGES = {
    400: "Bad Request",
    401: "Invalid OAuth 2 Request",
    403: "You do not have permission to do that",
    404: "The requested resource could not be found",
    429: "Too Many Requests",
    503: "Service is unavailable",
    504: "The request timed out",
}


class Refused(Exception):
    """The request cannot be served: carries the status and the vendor's error objects."""

    def __init__(self, status: int, *errors: Mapping[str, str]) -> None:
        super().__init__(status)
        self.status = status
        self.errors = list(errors) or [system_error(status)]


def system_error(status: int) -> dict[str, str]:
    """The one error object of a failure that no attribute is to blame for."""
    kind = "oauth" if status == 401 else "system"
    return {"type": kind, "message": _MESSAGES.get(status, f"HTTP {status}")}


def invalid(field: str, message: str) -> dict[str, str]:
    """The error object of one attribute that failed validation."""
    return {"type": "validation", "field": field, "message": message}


def error_response(status: int, errors: Iterable[Mapping[str, str]] = ()) -> JSONResponse:
    """An error answer in the vendor's shape."""
    return JSONResponse({"errors": list(errors) or [system_error(status)]}, status_code=status)


@dataclass(frozen=True)
class View:
    """What the caller asked to see: associations to side-load and fields that are not answered by default."""

    include: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()

    @classmethod
    def of(cls, params: Mapping[str, str]) -> View:
        """Read ``include`` and ``optional_fields``; the latter is documented as an array and as a comma list."""
        optional = params.get("optional_fields") or params.get("optional_fields[]") or ""
        return cls(tuple(filter(None, params.get("include", "").split(","))), tuple(filter(None, optional.split(","))))


DEFAULT_VIEW = View()


def singular_of(association: str) -> str:
    """time_entries -> time_entry, approvers -> approver."""
    return association[:-3] + "y" if association.endswith("ies") else association.removesuffix("s")


def present(c: Collection, record: Record, view: View = DEFAULT_VIEW) -> Record:
    """One record as the API answers it: id lists stay out until their association is included."""
    shown = {k: v for k, v in record.items() if not k.endswith("_ids")}
    if c.name == "workspaces":
        color, message = STATUSES.get(record["status_key"], ("gray", "No Status"))
        shown["status"] = {"color": color, "key": record["status_key"], "message": message}
    if c.name == "time_entries" and "user_can_edit" in view.optional:
        shown["user_can_edit"] = not record["is_invoiced"]
    return shown


def envelope(store: Store, c: Collection, page: list[Record], view: View, meta: dict[str, int]) -> Record:
    """The body of every list, show, create and update: results in order, objects by id, associations beside them."""
    loaded: dict[str, dict[str, Record]] = {c.name: {}}
    for record in page:
        shown = present(c, record, view)
        loaded[c.name][record["id"]] = shown
        for association in view.include:
            _side_load(store, c, record, association, shown, loaded)
    results = [{"key": c.name, "id": r["id"]} for r in page]
    return {"count": meta["count"], "meta": meta, "results": results, **loaded}


def one(store: Store, c: Collection, records: list[Record], view: View) -> Record:
    """The envelope of records that were named, not searched."""
    n = len(records)
    return envelope(store, c, records, view, {"count": n, "page_count": 1, "page_number": 1, "page_size": max(n, 20)})


def _side_load(
    store: Store, c: Collection, record: Record, association: str, shown: Record, loaded: dict[str, dict[str, Record]]
) -> None:
    """Add one association: unknown names are passed over in silence, as the vendor's presenter does."""
    if association in c.to_one:
        target = COLLECTIONS[c.to_one[association]]
        ids = [i for i in (record.get(f"{association}_id"),) if i]
    elif association == "subject" and c.name == "external_references":
        found = BY_SUBJECT.get(record["subject_type"])
        if found is None:
            return
        target, ids = found, [str(record["subject_id"])]
        shown["subject_ref"] = {"key": target.name, "id": ids[0]}
    elif association in c.to_many or (association == "external_references" and c.referable):
        target, ids = _many(store, c, record, association)
        shown[f"{singular_of(association)}_ids"] = ids
    else:
        return
    beside = loaded.setdefault(target.name, {})
    for i in ids:
        other = store.records.get(target.name, i)
        if other is not None and i not in beside:
            beside[i] = present(target, other)


def _many(store: Store, c: Collection, record: Record, association: str) -> tuple[Collection, list[str]]:
    if association == "external_references":
        refs = store.references(reference_type(c), record["id"])
        return COLLECTIONS["external_references"], [r["id"] for r in refs]
    name, key = c.to_many[association]
    if not key.startswith("<"):
        return COLLECTIONS[name], [str(i) for i in record.get(key) or []]
    here, back = record["id"], key.removeprefix("<")
    points = (lambda r: here in (r.get(back) or [])) if back.endswith("_ids") else (lambda r: r.get(back) == here)
    return COLLECTIONS[name], [i for i, r in store.records.all(name) if points(r)]
