"""What Tryton's own administrator sets up before the hub comes: company, chart, years, terms, people, and the way in.

All of it through Tryton's own screens, as far as JSON-RPC shows them. Party codes are free, as the hub gives them.
"""

from __future__ import annotations

from isthmus.sandbox.tryton.rpc import Office, amount, content, day

YEARS = range(2024, 2030)
RECEIVABLE, PAYABLE, REVENUE, TAX, BANK = "1.2.1", "2.1.1", "4.1.2", "6.3.6", "1.1.1"
# What the hub's user may do: post, keep parties, projects and hours.
GROUPS = ("Accounting", "Party Administration", "Project Administration", "Timesheet Administration")
HUB = "isthmus"
# The firm's own form of an invoice, a line of text: laying out Tryton's own one is a fifth of the work of a posting.
FORM = """{% for invoice in records %}${invoice.rec_name}: ${invoice.total_amount} ${invoice.currency.code}
{% end %}"""


def set_up(office: Office) -> None:
    """Everything, in the order in which one thing needs another."""
    currency = office.create(
        "currency.currency", name="US Dollar", symbol="$", code="USD", numeric_code="840", rounding=amount("0.01")
    )
    party = office.create("party.party", name="Narrows Consulting, Inc.", addresses=[["create", [{}]]])
    company = office.create("company.company", party=party, currency=currency)
    administrator = office.only("res.user", ["login", "=", "admin"])
    office.on("res.user", "write", [administrator], {"companies": [["add", [company]]], "company": company})
    office.learn()
    accounts = _chart(office, company)
    _years(office, company)
    net30 = {"type": "remainder", "relativedeltas": [["create", [{"days": 30}]]]}
    office.create("account.invoice.payment_term", name="NET30", lines=[["create", [net30]]])
    _bank(office, company, accounts)
    report = office.only("ir.action.report", ["report_name", "=", "account.invoice"])
    office.on("ir.action.report", "write", [report], {"template_extension": "txt", "report_content": content(FORM)})
    # Without a sequence the code of a party is typed in: the hub's client number.
    office.on("party.configuration", "write", [1], {"party_sequence": None})
    new_york = {"name": "New York", "code": "US-NY", "type": "state"}
    office.create("country.country", name="United States", code="US", subdivisions=[["create", [new_york]]])
    hire(office, "Amara Osei", "amara.osei@consulting.example")
    _let_in(office, company)


def _chart(office: Office, company: int) -> dict[str, int]:
    """The universal chart of accounts, and the accounts parties have unless told otherwise: ids by code."""
    template = office.only("account.account.template", ["parent", "=", None])
    chosen = {"company": company, "account_template": template}
    wizard = office.wizard("account.create_chart")
    wizard.go("", {}, "account")
    wizard.go("account", chosen, "create_account")
    wizard.end()
    rows = office.rows("account.account", [["code", "!=", None]], "code")
    accounts = {row["code"]: int(row["id"]) for row in rows}
    defaults = {
        "default_account_receivable": accounts[RECEIVABLE],
        "default_account_payable": accounts[PAYABLE],
    }
    office.on("account.configuration", "write", [1], defaults)
    return accounts


def _years(office: Office, company: int) -> None:
    """Fiscal years with their periods, and numbers without gaps for moves and invoices."""
    moves = office.only("ir.sequence.type", ["name", "=", "Account Move"])
    invoices = office.only("ir.sequence.type", ["name", "=", "Invoice"])
    for year in YEARS:
        counted = {"company": company, "name": str(year)}
        move = office.create("ir.sequence.strict", sequence_type=moves, **counted)
        number = office.create("ir.sequence.strict", sequence_type=invoices, prefix=f"T{year}-", padding=5, **counted)
        kinds = ("out_invoice", "out_credit_note", "in_invoice", "in_credit_note")
        sequences = {"company": company} | {f"{kind}_sequence": number for kind in kinds}
        span = {"start_date": day(f"{year}-01-01"), "end_date": day(f"{year}-12-31")}
        numbered = {"move_sequence": move, "invoice_sequences": [["create", [sequences]]]}
        made = office.create("account.fiscalyear", **counted, **span, **numbered)
        office.on("account.fiscalyear", "create_period", [made])


def _bank(office: Office, company: int, accounts: dict[str, int]) -> None:
    """How customers pay."""
    journal = office.only("account.journal", ["code", "=", "CASH"])
    books = {"credit_account": accounts[BANK], "debit_account": accounts[BANK]}
    office.create("account.invoice.payment.method", name="Bank", company=company, journal=journal, **books)


def hire(office: Office, name: str, email: str) -> int:
    """An employee, known by e-mail address; the one there is already."""
    known = office.rows("company.employee", [["party.contact_mechanisms.value", "=", email]], "id")
    if known:
        return int(known[0]["id"])
    address = {"type": "email", "value": email}
    party = office.create("party.party", name=name, code=email, contact_mechanisms=[["create", [address]]])
    return office.create("company.employee", party=party, company=office.context["company"])


def _let_in(office: Office, company: int) -> None:
    """The hub's user, with no password and no more rights than it needs, and its key for the REST API."""
    groups = [office.only("res.group", ["name", "=", name]) for name in GROUPS]
    rights = {"companies": [["add", [company]]], "company": company, "groups": [["add", groups]]}
    user = office.create("res.user", name=HUB, login=HUB, **rights)
    office.create("res.user.application", user=user, application="rest")
