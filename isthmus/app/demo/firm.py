"""The demo firm's folder: the same kind of folder ``isthmus init`` writes, with sandboxes for systems. Synthetic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from isthmus.sandbox.server import Running

FIRM = """# The demo firm. Everything in it is synthetic.
name = "Narrows Consulting (synthetic)"

[pace]
wait_seconds_first = 0.2
wait_seconds_max = 2.0

[[entities]]
code = "US01"
name = "Narrows Consulting Inc."
functional_currency = "USD"
country = "US"
time_zone = "America/New_York"
currencies = ["USD"]
payment_terms = ["NET30"]
payment_days = { NET30 = 30 }
dimensions_required = ["practice", "cost_center"]
invoice_series = "INV"
invoice_approval_limit = "60000.00"
payment_tolerance = "1.00"
address = { street = "1 Isthmus Way", city = "New York", region = "NY", postal_code = "10001", country = "US" }
"""

ACCESS = """# Who may call the API. Tokens are references (env:NAME or file:PATH); demo: is for synthetic ones only.
[[callers]]
name = "ana.billing"
token = "demo:demo-token-billing"
roles = ["reader", "billing"]

[[callers]]
name = "finn.finance"
token = "demo:demo-token-finance"
roles = ["reader", "finance", "steward"]

[[callers]]
name = "pia.pmo"
token = "demo:demo-token-pmo"
roles = ["reader", "project_manager"]

[[callers]]
name = "ines.integration"
token = "demo:demo-token-integration"
roles = ["reader", "integration", "admin"]

# Who may log in to the console by a local account, which works on loopback alone. One password for all: demo.

[[console.people]]
name = "ana.billing"
password = "demo:demo"
roles = ["billing"]

[[console.people]]
name = "finn.finance"
password = "demo:demo"
roles = ["finance", "tax"]

[[console.people]]
name = "carla.controller"
password = "demo:demo"
roles = ["controller", "finance"]

[[console.people]]
name = "stella.steward"
password = "demo:demo"
roles = ["steward"]

[[console.people]]
name = "pia.pmo"
password = "demo:demo"
roles = ["project_manager"]

[[console.people]]
name = "sol.sales"
password = "demo:demo"
roles = ["sales"]

[[console.people]]
name = "ines.integration"
password = "demo:demo"
roles = ["integration", "admin"]

[[console.people]]
name = "evan.executive"
password = "demo:demo"
roles = ["executive"]
"""

WEBHOOK_SECRET = "whsec_ZGVtby1zZWNyZXQtb2YtdGhlLWRlbW8tZmlybS0x"


def _table(values: dict[str, Any]) -> str:
    """Keys and values as TOML; strings and arrays are written as JSON, which TOML reads the same."""
    return "\n".join(f"{key} = {_value(value)}" for key, value in values.items())


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(k)} = {_value(v)}" for k, v in value.items()) + " }"
    return json.dumps(value)


def _secret_file(folder: Path, name: str, content: str) -> str:
    path = folder / name
    path.write_text(content)
    path.chmod(0o600)
    return f"file:{path}"


def _salesforce(folder: Path, served: Running) -> dict[str, Any]:
    known = served.sandbox.credentials()
    return {
        "name": "salesforce",
        "connector": "salesforce",
        "base_url": served.url,
        "auth": "jwt_bearer",
        "fills": ["Crm"],
        "writes_as": "crm",
        "webhook_secret": f"demo:{WEBHOOK_SECRET}",
        "sweep_seconds": 0.3,
        "settings": {"dimensions": {"practice": "Practice__c", "cost_center": "Cost_Center__c", "region": "Region__c"}},
        "secrets": {
            "consumer_key": f"demo:{known['consumer_key']}",
            "username": f"demo:{known['username']}",
            "audience": f"demo:{known['audience']}",
            "private_key": _secret_file(folder, "salesforce.pem", known["private_key"]),
        },
    }


def _kantata(_: Path, served: Running) -> dict[str, Any]:
    return {
        "name": "kantata",
        "connector": "kantata",
        "base_url": f"{served.url}/api/v1",
        "auth": "bearer",
        "fills": ["Psa", "RateBook", "TimeSource"],
        "writes_as": "psa",
        "webhook_secret": f"demo:{WEBHOOK_SECRET}",
        "sweep_seconds": 0.3,
        "secrets": {"token": f"demo:{served.sandbox.credentials()['access_token']}"},
    }


# What each account is for, to its id in the ERP sandbox.
ACCOUNTS = {
    "receivables": "102",
    "tax_payable": "104",
    "revenue": "106",
    "accrued_revenue": "107",
    "cost_of_services": "108",
    "customer_deposits": "109",
    "breakage_revenue": "110",
    "accrued_cost": "111",
    "intercompany_receivable": "112",
    "intercompany_payable": "113",
    "intercompany_revenue": "114",
    "intercompany_cost": "115",
    "vendor_retention": "117",
    "bad_debt_expense": "118",
}


def _netsuite(folder: Path, served: Running) -> dict[str, Any]:
    known = served.sandbox.credentials()
    return {
        "name": "netsuite",
        "connector": "netsuite",
        "base_url": f"{served.url}/services/rest",
        "auth": "m2m",
        "fills": ["Erp", "JournalBook", "ReceivableList", "ScheduleBook", "VendorBillBook"],
        "writes_as": "erp",
        "webhook_secret": f"demo:{WEBHOOK_SECRET}",
        "sweep_seconds": 0.3,
        "secrets": {
            "client_id": f"demo:{known['client_id']}",
            "certificate_id": f"demo:{known['certificate_id']}",
            "algorithm": f"demo:{known['algorithm']}",
            "private_key": _secret_file(folder, "netsuite.pem", known["private_key"]),
        },
        "settings": {
            "subsidiaries": {"US01": "1"},
            "item": "21",
            "employees": {},
            "accounts": ACCOUNTS,
            "invoice_dimensions": {"region": "custbody_region"},
        },
    }


def _avalara(_: Path, served: Running) -> dict[str, Any]:
    known = served.sandbox.credentials()
    return {
        "name": "avalara",
        "connector": "avalara",
        "base_url": served.url,
        "auth": "basic",
        "fills": ["TaxEngine"],
        "writes_as": "tax",
        "secrets": {"username": f"demo:{known['accountId']}", "password": f"demo:{known['licenseKey']}"},
        "settings": {"companies": {"US01": known["companyCode"]}, "tax_codes": {"SERVICES": "P0000000"}},
    }


_MADE = {"salesforce": _salesforce, "kantata": _kantata, "netsuite": _netsuite, "avalara": _avalara}


def connections(folder: Path, served: dict[str, Running]) -> list[dict[str, Any]]:
    """One connection per sandbox of the demo's that is served, with the credentials the sandbox gives out."""
    return [made(folder, served[name]) for name, made in _MADE.items() if name in served]


def write_folder(folder: Path, served: dict[str, Running], employees: dict[str, str]) -> Path:
    """Write the folder for these sandboxes; employees: person to employee id in the ERP."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "firm.toml").write_text(FIRM)
    (folder / "access.toml").write_text(ACCESS)
    blocks = ["# One table per connection. The demo's systems are sandboxes on loopback."]
    for connection in connections(folder, served):
        if connection["name"] == "netsuite":
            connection["settings"]["employees"] = employees
        blocks.append("\n[[connections]]\n" + _table(connection))
    (folder / "connections.toml").write_text("\n".join(blocks) + "\n")
    return folder
