"""Puts the hub together: database, engine, connections, gate, kernel. The only place that knows all rooms."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path

import httpx

from isthmus.app.connecting.found import OURS, connector_class
from isthmus.app.desk_tasks import desk_subscribers
from isthmus.app.firm import ConnectionConfig, FirmConfig, parse
from isthmus.app.vault import Vault
from isthmus.desk.config import DeskConfig, desk_config
from isthmus.desk.filing import filer
from isthmus.domain.errors import NeedsSetup, NotPermitted
from isthmus.domain.names import same_person
from isthmus.domain.objects import LegalEntity
from isthmus.kit.connector import missing_verbs
from isthmus.kit.executor import Connection
from isthmus.kit.limits import Budget, Concurrency, make_budget
from isthmus.kit.references import read_secret
from isthmus.kit.traffic import Maintenance
from isthmus.processes import (
    after_issue,
    amendment,
    bookkeeping,
    contract_to_project,
    expense_and_milestone,
    invoice_to_cash,
    month_billing,
    month_end,
    rate_card,
    standing,
    subcontracting,
    time_to_invoice,
)
from isthmus.processes.subscribers import SUBSCRIBERS
from isthmus.runtime.bells import Bells
from isthmus.runtime.clock import Clock, SystemClock
from isthmus.runtime.engine_dbos import DbosEngine, prepare_database
from isthmus.runtime.gate import Gate
from isthmus.runtime.hashing import content_hash
from isthmus.runtime.kernel import Kernel, Pace
from isthmus.runtime.lanes import SharedPlaces, SharedWindow
from isthmus.store import embedded, migrate
from isthmus.store.postgres import PostgresStore
from isthmus.store.records import AuditEntry, FirmVersion

CONNECTORS = OURS
# Importing registers their processes.
STORIES = (
    after_issue,
    amendment,
    bookkeeping,
    contract_to_project,
    expense_and_milestone,
    invoice_to_cash,
    month_billing,
    month_end,
    rate_card,
    standing,
    subcontracting,
    time_to_invoice,
)
PARALLEL_SENDS = 4


def database_url(data_dir: Path | None = None) -> str:
    """ISTHMUS_DATABASE_URL, or the embedded PostgreSQL, started when it is not running."""
    named = os.environ.get("ISTHMUS_DATABASE_URL", "")
    if named:
        return named.replace("postgresql://", "postgresql+psycopg://", 1)
    return embedded.ensure(data_dir or embedded.default_data_dir())


def connect(
    config: ConnectionConfig,
    budget: Budget | None = None,
    client: httpx.Client | None = None,
    vault: Vault | None = None,
    cassette: Path | None = None,
    one_at_a_time: Callable[[str], Budget] | None = None,
) -> Connection:
    """One connection ready to be called. NeedsSetup names a missing verb or credential before any run needs it.

    vault: where sealed secrets are, and where those go that the vendor rotates. cassette: where every exchange is
    written down, scrubbed. one_at_a_time: see kit.executor.
    """
    kind = connector_class(config.connector)
    for port in config.fills:
        missing = missing_verbs(kind, port)
        if missing or port not in kind.read_manifest().system.ports:
            what = f"does not offer {', '.join(missing)}" if missing else "does not fill it"
            raise NeedsSetup(f"connection {config.name}: {config.connector} as {port} {what}")

    def read_all() -> dict[str, str]:
        read = vault.read if vault else read_secret
        return {name: read(reference) for name, reference in config.secrets.items()}

    return Connection(
        config.name,
        kind(config.settings),
        base_url=config.base_url,
        auth_kind=config.auth,
        secrets=read_all(),
        reread=read_all,
        keeper=vault.keeper(config.secrets, config.name) if vault else None,
        budget=budget,
        client=client,
        verify=config.ca_file or True,
        settling_seconds=config.settling_seconds,
        writes_as=config.writes_as,
        entities=config.entities,
        maintenance=Maintenance([each.window() for each in config.maintenance]),
        cassette=cassette,
        one_at_a_time=one_at_a_time,
    )


class ConnectedSystems:
    """Which connection fills a port for a legal entity, by the firm's configuration."""

    def __init__(
        self,
        firm: FirmConfig,
        budget_for: Callable[[ConnectionConfig], Budget | None],
        vault: Vault | None = None,
        turn_of: Callable[[str, str], Budget] | None = None,
    ) -> None:
        """turn_of: the budget of one that the fleet shares, of a connection, for what its vendor takes one by one."""
        self.connections = {
            config.name: connect(
                config,
                budget_for(config),
                vault=vault,
                one_at_a_time=partial(turn_of, config.name) if turn_of else None,
            )
            for config in firm.connections
        }
        self._limits = {config.name: config.dimensions for config in firm.connections}
        self.told_apart = frozenset(p for config in firm.connections if config.dimensions for p in config.fills)
        self._filling: dict[tuple[str, str], list[Connection]] = defaultdict(list)
        for config in firm.connections:
            for port in config.fills:
                for entity in config.entities or ("", *(e.code for e in firm.entities)):
                    self._filling[port, entity].append(self.connections[config.name])

    def filling(self, port: str, entity: str, source: str = "", about: Mapping[str, str] | None = None) -> Connection:
        """See kernel.Systems."""
        found = self._serving(port, entity, source, about)
        if found:
            return found[0]
        told = f"no connection fills {port} for {entity or 'any entity'}"
        told += f" where {source} is the system" if source else ""
        told += f" and contracts with {', '.join(f'{k} {v}' for k, v in sorted(about.items()))}" if about else ""
        raise NeedsSetup(f"{told}: see connections.toml")

    def fills(self, port: str, entity: str, source: str = "", about: Mapping[str, str] | None = None) -> bool:
        """See kernel.Systems."""
        return bool(self._serving(port, entity, source, about))

    def all_filling(self, port: str, entity: str) -> list[Connection]:
        """See kernel.Systems."""
        return self._serving(port, entity, "", None)

    def _serving(self, port: str, entity: str, source: str, about: Mapping[str, str] | None) -> list[Connection]:
        """Those that fill it for the entity, that are this system, and that serve contracts with these dimensions."""
        able = self._filling.get((port, entity)) or self._filling.get((port, ""), [])
        return [
            one
            for one in able
            if source in ("", one.connector.system)
            and (about is None or all(about.get(k) in served for k, served in self._limits[one.name].items()))
        ]

    def close(self) -> None:
        """Close all connections."""
        for connection in self.connections.values():
            connection.close()


@dataclass
class Hub:
    """Everything that runs, put together once per process."""

    url: str
    store: PostgresStore
    engine: DbosEngine
    kernel: Kernel
    firm: FirmConfig
    firm_version: int
    systems: ConnectedSystems
    gate: Gate = field(default_factory=Gate)
    bells: Bells = field(default_factory=Bells)

    @property
    def vault(self) -> Vault:
        """Its sealed secrets."""
        return Vault(self.store, self.kernel.clock)

    @cached_property
    def desk(self) -> DeskConfig:
        """How the desk works at this firm."""
        return desk_config(self.firm.desk)

    def close(self) -> None:
        """Give all connections back."""
        self.systems.close()
        self.engine.close()
        self.store.close()


def prepare(url: str) -> None:
    """Bring both schemas up to date: the hub's and the engine's."""
    migrate.upgrade(url)
    prepare_database(url)


def applied_firm(store: PostgresStore) -> FirmVersion | None:
    """The firm folder as it was last applied."""
    with store.transaction() as tx:
        found = tx.find(FirmVersion, order=("-version",), limit=1)
    return found[0] if found else None


def apply_firm(
    store: PostgresStore, firm: FirmConfig, *, by: str, approved_by: str, clock: Clock, reason: str = ""
) -> FirmVersion:
    """Make a firm folder the one in force; the same content again changes nothing. Secrets stay references.

    NotPermitted when the person who applies it is the one who approved it.
    """
    if same_person(by, approved_by):
        raise NotPermitted(f"{by} applies the firm folder: another person must approve it")
    content = firm.model_dump(mode="json")
    hashed = content_hash(content)
    with store.transaction() as tx:
        tx.lock("firm")
        last = tx.find(FirmVersion, order=("-version",), limit=1)
        if last and last[0].content_hash == hashed:
            return last[0]
        version = FirmVersion(
            version=(last[0].version if last else 0) + 1,
            content=content,
            content_hash=hashed,
            applied_by=by,
            approved_by=approved_by,
            applied_at=clock.now(),
        )
        tx.insert(version)
        tx.insert(_audit_of(version, last[0].content_hash if last else "", reason))
        for entity in firm.entities:
            tx.put(entity)
        for known in tx.find(LegalEntity):
            if known.code not in {entity.code for entity in firm.entities} and known.active:
                tx.update(known.model_copy(update={"active": False}))
    return version


def _audit_of(version: FirmVersion, replaced: str, reason: str) -> AuditEntry:
    return AuditEntry(
        audit_id=f"firm/{version.version}",
        at=version.applied_at,
        actor=version.applied_by,
        action="firm.apply",
        subject="firm",
        reason=reason,
        before={"version": version.version - 1, "content_hash": replaced},
        after={"version": version.version, "content_hash": version.content_hash, "approved_by": version.approved_by},
    )


def build(url: str, *, clock: Clock | None = None, share_limits: bool = True) -> Hub:
    """The hub on a prepared database with the firm that is applied there."""
    store = PostgresStore(url)
    applied = applied_firm(store)
    if applied is None:
        store.close()
        raise NeedsSetup("no firm is applied yet: 'isthmus apply DIR' applies a firm folder")
    firm = parse(applied.content, f"applied firm version {applied.version}")

    def budget_for(config: ConnectionConfig) -> Budget | None:
        limits = connector_class(config.connector).read_manifest().limits
        if not share_limits or limits.kind == "none":
            return make_budget(limits)
        if limits.kind == "window":
            return SharedWindow(store.engine, config.name, limits.limit, limits.window_seconds)
        return SharedPlaces(store.engine, config.name, limits.limit)

    def turn_of(connection: str, what: str) -> Budget:
        return SharedPlaces(store.engine, f"{connection}/{what}", 1) if share_limits else Concurrency(1)

    vault, engine = Vault(store, clock or SystemClock()), DbosEngine(url)
    systems = ConnectedSystems(firm, budget_for, vault, turn_of)
    gate = Gate(firm.ownership)
    pace = Pace(
        firm.pace.wait_seconds_first, firm.pace.wait_seconds_max, timedelta(minutes=firm.pace.alert_after_minutes)
    )
    kernel = Kernel(
        store,
        clock or SystemClock(),
        engine,
        systems,
        gate=gate,
        subscribers={**SUBSCRIBERS, **desk_subscribers(desk_config(firm.desk))},
        pace=pace,
        parallel_sends=PARALLEL_SENDS,
        filed=filer(desk_config(firm.desk)),
    )
    return Hub(url, store, engine, kernel, firm, applied.version, systems, gate)
