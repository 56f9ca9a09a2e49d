"""The firm folder: a new one passes its check, a mistake is named with its place, nothing dangerous slips in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from isthmus.app.bootstrap import apply_firm
from isthmus.app.connecting.found import OURS
from isthmus.app.console_config import ConsoleConfig, Grant, LocalPerson, Oidc
from isthmus.app.firm import Caller, ConnectionConfig, FirmConfig, PaceConfig, read_folder
from isthmus.app.firm_check import CREDENTIALS_NEEDED, check
from isthmus.app.firm_plan import compare, plan
from isthmus.app.init import NAMES
from isthmus.domain.errors import BadInput, NeedsSetup, NotPermitted
from isthmus.domain.objects import LegalEntity
from isthmus.kit.auth import _KINDS, Secrets, make_auth
from isthmus.kit.manifest import AuthFacts
from isthmus.policies.ownership import DEFAULT_RULES
from isthmus.store.records import AuditEntry, Effect, EffectState, FirmVersion
from tests.app_cli.conftest import NOW, Isthmus, World
from tests.processes.hub import ENTITY

PSA_FILLS = 'fills = ["Psa", "RateBook", "TimeSource"]'


def edit(folder: Path, name: str, old: str, new: str) -> None:
    """Replace text that must be there, once."""
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new, 1))


# -- init and check -------------------------------------------------------------------------------------------------


def test_a_new_folder_passes_its_check_and_lacks_only_its_credentials(folder: Path, isthmus: Isthmus) -> None:
    assert {path.name for path in folder.iterdir()} == set(NAMES)
    found, problems = check(folder)
    assert found is not None and {c.connector for c in found.connections} == {
        "salesforce",
        "kantata",
        "netsuite",
        "avalara",
    }
    assert {p.level for p in problems} == {"warning"}
    assert all("is not set" in p.text or "cannot be read" in p.text for p in problems)
    assert isthmus("check", folder).code == 0
    assert isthmus("check", folder, "--strict").code == 1


def test_every_variable_the_new_folder_names_is_in_its_env_example(folder: Path, isthmus: Isthmus) -> None:
    _, problems = check(folder)
    named = {p.text.split()[2] for p in problems if p.text.startswith("environment variable")}
    offered = {line.partition("=")[0] for line in (folder / ".env.example").read_text().splitlines() if "=" in line}
    assert named and named <= offered


def test_with_its_credentials_a_new_folder_passes_strictly(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for line in (folder / ".env.example").read_text().splitlines():
        if line.endswith("=") and not line.startswith("#"):
            monkeypatch.setenv(line[:-1], "x")
    (tmp_path / "key.pem").write_text("key")
    for name in ("salesforce", "netsuite"):
        edit(folder, "connections.toml", f"/etc/isthmus/secrets/{name}.pem", str(tmp_path / "key.pem"))
    assert check(folder, strict=True) == (read_folder(folder), [])


def test_init_never_overwrites(folder: Path, isthmus: Isthmus) -> None:
    (folder / "firm.toml").write_text("mine")
    again = isthmus("init", folder)
    assert again.code == 1 and "firm.toml" in again.err
    assert (folder / "firm.toml").read_text() == "mine"
    (folder / "a file").write_text("x")
    assert isthmus("init", folder / "a file").code == 1


MISTAKES: list[tuple[str, str, str, str, str]] = [
    # file, text, what somebody wrote instead, the place, what is said
    ("firm.toml", 'name = "Example Advisory"', "name = Example", "", "Invalid value"),
    ("firm.toml", 'code = "UK01"', 'codee = "UK01"', "entities[2].code", "is missing"),
    ("firm.toml", 'code = "UK01"', 'codee = "UK01"', "entities[2].codee", "is unknown; known: code, name"),
    ("firm.toml", 'code = "UK01"', 'code = "US01"', "entities", "US01 is there twice"),
    ("firm.toml", 'currencies = ["GBP", "EUR"]', 'currencies = ["GBX"]', "entities[2] (UK01).currencies", "'GBX'"),
    ("firm.toml", "Europe/London", "London", "entities[2] (UK01).time_zone", "no time zone"),
    ("firm.toml", 'country = "GB"', 'country = "UKX"', "entities[2] (UK01).country", "ISO 3166"),
    ("firm.toml", '"20000.00"', "20000.00", "entities[2] (UK01).invoice_approval_limit", "send it as a string"),
    ("firm.toml", '"20000.00"', '"-1"', "entities[2] (UK01).invoice_approval_limit", "negative"),
    ("firm.toml", "NET45 = 45", "NET60 = 60", "entities[1] (US01).payment_days", "NET60 is not among"),
    ("firm.toml", "wait_seconds_max = 60.0", "wait_seconds_max = 0", "pace.wait_seconds_max", "more than 0"),
    ("firm.toml", "wait_seconds_max", "wait_max", "pace.wait_max", "is unknown; known: wait_seconds_first"),
    ("connections.toml", 'connector = "kantata"', 'connector = "sap"', "connections[2] (psa).connector", "there are"),
    ("connections.toml", 'auth = "bearer"', 'auth = "tba"', "connections[2] (psa).auth", "it offers bearer"),
    ("connections.toml", 'auth = "bearer"', 'auth = "tba"', "connections[2] (psa).secrets", "needs the credential"),
    (
        "connections.toml",
        'token = "env:',
        'tokken = "env:',
        "connections[2] (psa).secrets",
        "needs the credential token",
    ),
    ("connections.toml", "env:ISTHMUS_PSA_TOKEN", "hunter2", "connections[2] (psa).secrets", "given by reference"),
    ("connections.toml", "env:ISTHMUS_PSA_TOKEN", "demo:x", "connections[2] (psa).secrets.token", "synthetic"),
    (
        "connections.toml",
        PSA_FILLS,
        'fills = ["Erp"]',
        "connections[2] (psa).fills",
        "does not fill Erp",
    ),
    (
        "connections.toml",
        PSA_FILLS,
        'fills = ["Erp"]',
        "connections",
        "psa and erp both fill Erp for US01",
    ),
    (
        "connections.toml",
        'name = "crm"\n',
        'name = "crm"\ndimensions = { practice = ["WEST"] }\n',
        "connections",
        "crm fills Crm, which dimensions cannot limit",
    ),
    (
        "connections.toml",
        PSA_FILLS,
        'fills = ["Foo"]',
        "connections",
        "psa fills Foo, which is no port",
    ),
    ("connections.toml", 'writes_as = "psa"', 'writes_as = "hal"', "connections[2] (psa).writes_as", "owns nothing"),
    ("connections.toml", 'item = "21"', 'itemm = "21"', "connections[3] (erp).settings", "unknown setting itemm"),
    ("connections.toml", "https://api.maven", "http://api.maven", "connections[2] (psa).base_url", "unencrypted"),
    (
        "connections.toml",
        "https://api.mavenlink.com/api/v1",
        "mavenlink",
        "connections[2] (psa).base_url",
        "no address",
    ),
    (
        "connections.toml",
        "sweep_seconds = 10.0",
        "sweep_seconds = 0",
        "connections[1] (crm).sweep_seconds",
        "more than",
    ),
    ("access.toml", '"billing"', '"king"', "callers[1] (bianca.billing).roles", "there is no role 'king'"),
    ("access.toml", "fred.finance", "bianca.billing", "callers", "bianca.billing is there twice"),
    ("ownership.toml", "# Example:", "name = 'again'  #", "name", "is in firm.toml and in ownership.toml"),
    (
        "ownership.toml",
        "# Example:",
        "[[ownership]]\nobject = 'client'  #",
        "ownership[1] (client).owner",
        "is missing",
    ),
]


@pytest.mark.parametrize(("name", "old", "new", "place", "says"), MISTAKES, ids=[f"{m[3]}: {m[4]}" for m in MISTAKES])
def test_a_mistake_is_named_with_its_file_line_and_place(
    name: str, old: str, new: str, place: str, says: str, folder: Path
) -> None:
    edit(folder, name, old, new)
    found, problems = check(folder)
    assert found is None
    errors = [p for p in problems if p.level == "error" and says in p.text and p.place.startswith(place)]
    assert errors, [p.told for p in problems if p.level == "error"]
    assert errors[0].file == name
    if place not in ("connections", "entities", "callers"):
        lines = (folder / name).read_text().splitlines()
        assert 0 < errors[0].line <= len(lines)
        wanted = new.partition(" ")[0].partition("=")[0].partition("[")[0] or place
        near = "\n".join(lines[errors[0].line - 1 : errors[0].line + 6])
        assert wanted in near or place.rpartition(".")[2] in near
    assert "hunter2" not in errors[0].told


def test_all_mistakes_are_told_at_once(folder: Path, isthmus: Isthmus) -> None:
    edit(folder, "firm.toml", 'code = "UK01"', 'codee = "UK01"')
    edit(folder, "firm.toml", "America/New_York", "New York")
    edit(folder, "connections.toml", 'item = "21"', 'itemm = "21"')
    edit(folder, "connections.toml", PSA_FILLS, 'fills = ["Foo"]')
    edit(folder, "access.toml", '"billing"]', '"king"]')
    told = isthmus("check", folder, "--json")
    assert told.code == 1 and told.json["ok"] is False
    said = "\n".join(p["text"] for p in told.json["problems"] if p["level"] == "error")
    for part in ("is missing", "New York", "itemm", "Foo, which is no port", "no role 'king'"):
        assert part in said
    shown = isthmus("check", folder).out
    assert "firm.toml:" in shown and "connections[3] (erp).settings" in shown


def test_a_port_that_nothing_fills_is_a_warning(folder: Path) -> None:
    edit(folder, "connections.toml", 'fills = ["TaxEngine"]', "fills = []")
    found, problems = check(folder)
    assert found is not None
    assert [p.text for p in problems if "nothing fills TaxEngine for UK01" in p.text]
    edit(folder, "firm.toml", 'country = "GB"', 'country = "GB"\ntax_rates = { S = "0.20" }')
    told = "\n".join(p.text for p in check(folder)[1])
    assert "TaxEngine for UK01" not in told and "TaxEngine for US01" in told, "UK01 has rates of its own"


def test_reading_a_folder_refuses_what_is_said_twice(folder: Path) -> None:
    edit(folder, "ownership.toml", "# Example:", "name = 'again'  #")
    with pytest.raises(BadInput, match=r"ownership\.toml: name is in another file"):
        read_folder(folder)


@pytest.mark.parametrize("kind", sorted(_KINDS))
def test_the_credentials_each_auth_kind_needs_are_those_it_asks_for(kind: str) -> None:
    """Each is missing in turn: the auth kind itself must ask for it, and for nothing else."""
    needed = CREDENTIALS_NEEDED[kind]
    facts = AuthFacts(kinds=(kind,), token_path="token", credentials=needed)  # type: ignore[arg-type]
    for missing in needed:
        values = {name: "x" for name in needed if name != missing}
        auth = make_auth(kind, Secrets(values, "c"), "https://vendor.example", facts)
        with pytest.raises((NeedsSetup, ValueError)) as told:
            auth.token_request(NOW)
            auth.headers("GET", "https://vendor.example")
        if isinstance(told.value, NeedsSetup):
            assert missing in str(told.value)
        else:  # the key is read before the name: a private key that is no key
            assert "private_key" in needed
    assert set(CREDENTIALS_NEEDED) == set(_KINDS)


# -- plan -----------------------------------------------------------------------------------------------------------


def firm(**changes: Any) -> FirmConfig:
    erp = ConnectionConfig(
        name="erp", connector="netsuite", base_url="https://e.example", auth="m2m", fills=("Erp",), writes_as="erp"
    )
    facts: dict[str, Any] = {"name": "Narrows", "entities": (ENTITY,), "connections": (erp,)}
    return FirmConfig(**{**facts, **changes})


def test_a_plan_says_what_changes_and_for_whom() -> None:
    other = ENTITY.model_copy(update={"code": "UK01"})
    new = firm(name="Wide", entities=(ENTITY.model_copy(update={"payment_terms": ("NET45",)}), other), connections=())
    changes = {change.what: change for change in compare(firm(), new)}
    assert {what: change.kind for what, change in changes.items()} == {
        "connection erp": "removed",
        "entity UK01": "added",
        "entity US01": "changed",
        "firm": "changed",
    }
    assert changes["firm"].fields["name"] == ("Narrows", "Wide")
    assert changes["entity US01"].fields == {"payment_terms": (["NET30"], ["NET45"])}
    assert changes["connection erp"].whom == "Erp of every entity"
    assert compare(new, new) == []


Change = Callable[[FirmConfig], FirmConfig]


def _connection(**changes: Any) -> Change:
    return lambda old: firm(connections=(old.connections[0].model_copy(update=changes),))


DANGERS: list[tuple[str, Change, str]] = [
    ("entity goes", lambda old: firm(entities=()), "US01 still has 1 open invoice (1110.00 USD open)"),
    ("entity goes", lambda old: firm(entities=()), "1 open engagement, 1 run under way"),
    ("its currency goes", lambda old: firm(entities=(ENTITY.model_copy(update={"currencies": ("EUR",)}),)), "in USD"),
    ("connection goes", lambda old: firm(connections=()), "erp still has 1 run under way, 1 write whose outcome"),
    ("connection moves", _connection(base_url="https://other.example"), "1 run under way"),
    ("its words change", _connection(settings={"item": "9"}), "1 run under way"),
    ("its credentials rotate", _connection(secrets={"client_id": "env:NEW"}), ""),
    ("it is asked less often", _connection(sweep_seconds=60.0), ""),
    ("terms are added", lambda old: firm(entities=(ENTITY.model_copy(update={"payment_terms": ("NET30", "N")}),)), ""),
]


@pytest.fixture
def busy(world: World) -> World:
    """An invoice is on a draft, waiting for its approver, and a write to the ERP is in doubt."""
    world.apply(invoice_approval_limit=Decimal("100"))
    world.set_up()
    world.capture("6", day=date(2026, 3, 10))
    with world.store.transaction() as tx:
        args = {"contract_no": "K-1", "cutoff": "2026-03-31", "prepared_by": "ana"}
        world.kernel.start(tx, "bill_contract", "K-1:2026-03", args, entity="US01")
        doubt = Effect(
            effect_key="e-1",
            run_id="bill_contract/K-1:2026-03",
            seq=1,
            connection="erp",
            verb="Erp.post_invoice",
            business_key="x",
            args_hash="h",
            state=EffectState.IN_DOUBT,
            created_at=NOW,
        )
        tx.insert(doubt)
    world.go()
    from isthmus.domain.objects import Invoice

    with world.store.transaction() as tx:
        draft = tx.find(Invoice)[0]
        tx.update(draft.model_copy(update={"open": draft.net}))
    return world


def test_a_change_is_dangerous_exactly_while_work_depends_on_it(busy: World) -> None:
    with busy.store.transaction() as tx:
        for what, change, danger in DANGERS:
            told = "; ".join(c.danger for c in plan(tx, firm(), change(firm())) if c.danger)
            assert (danger in told) if danger else told == "", (what, told)


def test_nothing_is_dangerous_while_nothing_runs(world: World) -> None:
    with world.store.transaction() as tx:
        for _, change, _ in DANGERS:
            assert [c.danger for c in plan(tx, firm(), change(firm())) if c.danger] == []


# -- apply ----------------------------------------------------------------------------------------------------------


@pytest.mark.requirement("GOV-02")
def test_a_folder_is_applied_with_both_names_on_record(
    folder: Path, isthmus: Isthmus, database: str, world: World
) -> None:
    before = len(world.rows(FirmVersion))
    for by, approved_by in (("ines", "ines"), ("Ines", " ines "), ("", "carla"), ("ines", " ")):
        refused = isthmus("apply", folder, "--as", by, "--approved-by", approved_by, "--json")
        assert refused.code in (1, 2) and refused.json["code"] in ("not_permitted", "bad_input")
    assert isthmus("apply", folder, "--as", "ines").code == 2
    assert len(world.rows(FirmVersion)) == before
    done = isthmus("apply", folder, "--as", "ines", "--approved-by", "carla", "--json")
    assert done.code == 0 and done.json["changed"] is True
    again = isthmus("apply", folder, "--as", "ines", "--approved-by", "carla", "--json")
    assert (again.json["version"], again.json["changed"]) == (done.json["version"], False)
    history = isthmus("firm", "--json").json
    assert (history[0]["applied_by"], history[0]["approved_by"]) == ("ines", "carla")
    assert isthmus("firm", done.json["version"], "--json").json["content"]["name"] == "Example Advisory"
    assert "carla" in isthmus("firm").out
    entry = world.rows(AuditEntry, audit_id=f"firm/{done.json['version']}")[0]
    assert entry.actor == "ines" and entry.after is not None and entry.after["approved_by"] == "carla"


def test_the_store_itself_refuses_an_approver_who_applies(world: World) -> None:
    with pytest.raises(NotPermitted):
        apply_firm(world.store, firm(), by="ines", approved_by="Ines", clock=world.clock)


def test_applying_keeps_references_and_never_a_secret(
    folder: Path, isthmus: Isthmus, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_PSA_TOKEN", "the-real-token")
    assert isthmus("apply", folder, "--as", "ines", "--approved-by", "carla").code == 0
    kept = world.rows(FirmVersion)[-1].model_dump_json()
    assert "env:ISTHMUS_PSA_TOKEN" in kept and "the-real-token" not in kept


def test_a_dangerous_folder_needs_a_person_and_a_reason(folder: Path, isthmus: Isthmus, busy: World) -> None:
    edit(folder, "firm.toml", 'code = "US01"', 'code = "US02"')
    for name in ("subsidiaries", "companies"):
        edit(folder, "connections.toml", f"{name} = {{ US01", f"{name} = {{ US02")
    shown = isthmus("plan", folder, "--json")
    assert shown.code == 3 and any("US01 still has" in danger for danger in shown.json["dangers"])
    assert "dangerous: US01 still has" in isthmus("plan", folder).out
    versions = len(busy.rows(FirmVersion))
    asked = ("apply", folder, "--as", "ines", "--approved-by", "carla")
    refused = isthmus(*asked)
    assert refused.code == 3 and "US01 still has" in refused.err
    assert isthmus("up", "--firm", folder, "--port", "0").code == 3
    assert len(busy.rows(FirmVersion)) == versions
    assert isthmus(*asked, "--dangerous-because", "sold to a partner").code == 0
    assert busy.rows(AuditEntry, action="firm.apply")[-1].reason == "sold to a partner"


def test_a_broken_folder_is_not_applied(folder: Path, isthmus: Isthmus, world: World) -> None:
    edit(folder, "connections.toml", 'auth = "bearer"', 'auth = "tba"')
    versions = len(world.rows(FirmVersion))
    done = isthmus("apply", folder, "--as", "ines", "--approved-by", "carla")
    assert done.code == 1 and "connections[2] (psa).auth" in done.err
    assert isthmus("plan", folder).code == 1
    assert len(world.rows(FirmVersion)) == versions


def test_a_plan_against_a_database_that_was_never_used(
    folder: Path, isthmus: Isthmus, empty_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_DATABASE_URL", empty_database)
    shown = isthmus("plan", folder, "--json")
    assert shown.code == 0 and shown.json["applied_version"] == 0
    assert {change["kind"] for change in shown.json["changes"]} == {"added"}


# -- the document ---------------------------------------------------------------------------------------------------


def test_every_field_and_shipped_rule_is_in_the_document() -> None:
    said = (Path(__file__).parents[2] / "docs" / "operate" / "firm-folder.md").read_text()
    fields = {*LegalEntity.model_fields, *ConnectionConfig.model_fields, *Caller.model_fields, *PaceConfig.model_fields}
    fields |= {*ConsoleConfig.model_fields, *Oidc.model_fields, *Grant.model_fields, *LocalPerson.model_fields}
    assert [name for name in sorted(fields | {*FirmConfig.model_fields}) if name not in said] == []
    for rule in DEFAULT_RULES:
        assert said.count(f"\n| {rule.object} | {rule.field} | {rule.owner} |") == 1, rule
    assert [name for name in OURS if f"`{name}`" not in said] == []
