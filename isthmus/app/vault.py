"""The firm's secrets, sealed in the database: for all workers, rotated without a restart, changed with an audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from isthmus.domain.errors import BadInput, NeedsSetup
from isthmus.kit.references import SEALED, read_secret
from isthmus.kit.sealing import Seal, SealedText, master_keys
from isthmus.runtime.clock import Clock
from isthmus.store.records import AuditEntry, SealedSecret
from isthmus.store.tx import Store, Tx


class Vault:
    """Secrets by name. The master key is read when the first one is needed."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._seal: Seal | None = None

    @property
    def seal(self) -> Seal:
        """With this machine's master keys."""
        if self._seal is None:
            self._seal = Seal(master_keys())
        return self._seal

    def get(self, name: str) -> str:
        """The secret. NeedsSetup when there is none of this name, or it does not open here."""
        with self._store.transaction() as tx:
            kept = tx.get(SealedSecret, name)
        if kept is None:
            raise NeedsSetup(f"no secret {name} is sealed here: 'isthmus secret put {name}' takes it")
        return self.seal.open(name, _text_of(kept))

    def read(self, reference: str) -> str:
        """The value of any reference: ``sealed:NAME`` from here, the others from where they say."""
        kind, _, name = reference.partition(":")
        return self.get(name) if kind == SEALED else read_secret(reference)

    def put(self, name: str, secret: str, *, by: str, reason: str = "") -> int:
        """Seal a secret, or its next version; its version. The value is nowhere but in its box."""
        if not name or not name.isprintable() or " " in name or not secret:
            raise BadInput("a secret has a name without blanks, and is not empty")
        with self._store.transaction() as tx:
            tx.lock(f"secret:{name}")
            return self._keep(tx, name, secret, by, reason)

    def _keep(self, tx: Tx, name: str, secret: str, by: str, reason: str) -> int:
        known, now = tx.get(SealedSecret, name), self._clock.now()
        version, box = (known.version if known else 0) + 1, self.seal.close(name, secret)
        tx.put(
            SealedSecret(
                name=name,
                version=version,
                key_id=box.key_id,
                wrapped_key=box.wrapped_key,
                box=box.box,
                changed_by=by,
                changed_at=now,
            )
        )
        tx.insert(
            AuditEntry(
                audit_id=f"secret/{name}/{version}",
                at=now,
                actor=by,
                action="secret.put",
                subject=f"secret:{name}",
                reason=reason,
                before={"version": version - 1},
                after={"version": version, "key_id": box.key_id},
            )
        )
        return version

    def names(self) -> list[SealedSecret]:
        """What is sealed, by name; the boxes stay closed."""
        with self._store.transaction() as tx:
            return tx.find(SealedSecret, order=("name",))

    def renew(self) -> int:
        """Put every data key under the newest master key; how many were not yet. No secret is opened for it."""
        changed = 0
        with self._store.transaction() as tx:
            for kept in tx.find(SealedSecret, order=("name",)):
                if kept.key_id != self.seal.key_id:
                    box = self.seal.renewed(kept.name, _text_of(kept))
                    tx.update(kept.model_copy(update={"key_id": box.key_id, "wrapped_key": box.wrapped_key}))
                    changed += 1
        return changed

    def keeper(self, references: Mapping[str, str], connection: str) -> Rotated:
        """Where a connection's rotated credentials go."""
        return Rotated(self, self._store, references, connection)


class Rotated:
    """Credentials that the vendor rotates, kept where they are sealed. See kit.secrets.Keeper."""

    def __init__(self, vault: Vault, store: Store, references: Mapping[str, str], connection: str) -> None:
        self._vault = vault
        self._store = store
        self._names = {
            credential: reference.partition(":")[2]
            for credential, reference in references.items()
            if reference.startswith(f"{SEALED}:")
        }
        self._connection = connection

    @contextmanager
    def alone(self, name: str) -> Iterator[None]:
        """One worker of the fleet at a time, as long as getting a token takes."""
        with self._store.transaction() as tx:
            tx.lock(f"rotating:{self._connection}:{name}")
            yield

    def keep(self, name: str, value: str) -> None:
        """Seal the new value before it is used. A credential that is not sealed cannot be kept: NeedsSetup."""
        if name not in self._names:
            raise NeedsSetup(
                f"connection {self._connection}: the vendor rotates {name}: seal it ('isthmus secret put NAME', then "
                f'{name} = "{SEALED}:NAME"), or it is lost with this process',
                self._connection,
            )
        self._vault.put(self._names[name], value, by=f"connection:{self._connection}", reason="rotated by the vendor")


def _text_of(kept: SealedSecret) -> SealedText:
    return SealedText(kept.key_id, kept.wrapped_key, kept.box)
