"""What people do in Tryton while the hub is connected, and what they see: over JSON-RPC, not by its way in."""

from __future__ import annotations

from typing import Any

from isthmus.sandbox.base import Record
from isthmus.sandbox.tryton.office import RECEIVABLE, REVENUE, hire
from isthmus.sandbox.tryton.rpc import Office, amount, day, plain

SEEN: dict[str, tuple[str, list[Any], tuple[str, ...]]] = {
    "party": ("party.party", [["code", "!=", None]], ("code", "name", "active")),
    "project": ("project.work", [["type", "=", "project"]], ("name", "party.code", "status.name")),
    "task": ("project.work", [["type", "=", "task"]], ("name", "parent.name", "status.name")),
    "time": ("timesheet.line", [], ("date", "duration", "description", "employee.rec_name", "work.rec_name")),
    "invoice": (
        "account.invoice",
        [],
        (
            *("number", "reference", "state", "invoice_date", "untaxed_amount", "tax_amount", "total_amount"),
            *("amount_to_pay", "currency.code", "party.code", "party.name", "move.state", "lines_to_pay.maturity_date"),
        ),
    ),
    "payment": (
        "account.move.line",
        [["move.journal.type", "=", "cash"], ["account.code", "=", RECEIVABLE]],
        ("credit", "date", "description", "party.code", "invoice_payment.reference"),
    ),
}


def seed(office: Office, collection: str, record: Record) -> Record:
    """Do what a person would: pay an invoice, post one once more, take somebody on, have Tryton bill the hours of a
    project. ValueError for anything else.
    """
    if collection == "payment":
        return _pay(office, record)
    if collection == "repeat":
        return _repeat(office, record)
    if collection == "employee":
        return record | {"id": hire(office, record["name"], record["email"])}
    if collection == "own_billing":
        return _bill_here(office, record)
    known = "payment, repeat, employee, own_billing"
    raise ValueError(f"nobody in Tryton makes a {collection!r} here; there are: {known}")


def _invoice(office: Office, named: str, *fields: str) -> Record:
    """An invoice, by its id or our number of it."""
    by = ["id", "=", int(named)] if named.isdigit() else ["reference", "=", named]
    [found] = office.rows("account.invoice", [by], *fields)
    return found


def _repeat(office: Office, record: Record) -> Record:
    """Somebody copies a posted invoice and posts it once more, under the same reference."""
    found = _invoice(office, str(record["invoice"]), "reference", "invoice_date")
    changes = {name: found[name] for name in ("reference", "invoice_date")}
    [copy] = office.on("account.invoice", "copy", [found["id"]], changes)
    office.on("account.invoice", "post", [copy])
    return record | {"id": copy}


def _pay(office: Office, record: Record) -> Record:
    """The accountant records what a customer paid of an invoice."""
    found = _invoice(office, str(record["invoice"]), "party", "currency", "company")
    values = {name: found[name] for name in ("currency", "company")} | {"payee": found["party"]}
    values |= {"amount": amount(record["amount"]), "date": day(record["date"])}
    values |= {"description": record.get("description", "WIRE"), "invoice_account": _receivable(office)}
    values["payment_method"] = office.only("account.invoice.payment.method")
    about = ("account.invoice", int(found["id"]))
    session = office.wizard("account.invoice.pay", about)
    asked = session.go("start", values, "choice")
    if asked.get("view", {}).get("state") == "ask":  # less than is open: nobody writes the rest off
        # Names that only say what a form shows of another record are no values.
        shown = {name: value for name, value in asked["view"]["defaults"].items() if not name.endswith(".")}
        session.go("ask", shown | {"type": "partial"}, "pay")
    session.end()
    return record | {"id": about[1]}


def _bill_here(office: Office, record: Record) -> Record:
    """A project manager lets Tryton itself bill a project's hours, at one rate, where project_invoice is installed."""
    revenue = office.only("account.account", ["code", "=", REVENUE])
    category = office.create("product.category", name="Services", accounting=True, account_revenue=revenue)
    service = {"type": "service", "account_category": category, "list_price": amount(record["rate"])}
    hour = office.only("product.uom", ["symbol", "=", "h"])
    made = office.create("product.template", name="Hour", default_uom=hour, products=[["create", [{}]]], **service)
    product = office.only("product.product", ["template", "=", made])
    [project] = office.rows("project.work", [["name", "like", f"[{record['project']}]%"]], "children")
    billed = {"product": product, "list_price": amount(record["rate"])}
    tasks = [["write", list(project["children"]), billed]]
    office.on("project.work", "write", [project["id"]], {"project_invoice_method": "timesheet", "children": tasks})
    return record | {"id": project["id"]}


def _receivable(office: Office) -> int:
    return office.only("account.account", ["code", "=", RECEIVABLE])


def seen(office: Office) -> dict[str, list[Record]]:
    """What is there, by kind, as somebody sees it who signs in."""
    return {kind: plain(office.rows(model, domain, *fields)) for kind, (model, domain, fields) in SEEN.items()}
