"""The base of a connector: its manifest, its firm-specific settings, and nothing that sends."""

from __future__ import annotations

import inspect
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from isthmus.domain.errors import NeedsSetup, NotFound, RemoteRefusal
from isthmus.domain.objects import ExternalRef
from isthmus.kit.auth import Auth
from isthmus.kit.manifest import Manifest, load
from isthmus.kit.mapping import StatusTable, Table, to_utc
from isthmus.kit.wire import Row
from isthmus.ports import PORTS
from isthmus.ports.verbs import spec_of

Found = TypeVar("Found")


@cache
def _manifest_in(folder: Path) -> Manifest:
    return load(folder)


class Connector:
    """One outside system. Subclasses hold one short generator method per port verb.

    settings: what this firm calls things there (custom field names, codes); no secrets. Those with a default are known;
    defaults are the connector's settings.toml where it has one.
    """

    settings_known: ClassVar[frozenset[str]] = frozenset()
    defaults: ClassVar[Mapping[str, Any]] = {}
    mappings: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # version -> tables that are new in it, oldest first
    auth_kinds: ClassVar[Mapping[str, type[Auth]]] = {}  # kinds that only this system has; the others are in kit.auth

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        beside = Path(inspect.getfile(cls)).parent / "settings.toml"
        if beside.is_file() and "defaults" not in vars(cls):
            cls.defaults = tomllib.loads(beside.read_text())
        if "defaults" in vars(cls) and "settings_known" not in vars(cls):
            cls.settings_known = frozenset(cls.defaults)
        if cls.mappings:
            cls.settings_known |= {"mapping_version"}

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self.manifest = type(self).read_manifest()
        self.settings = dict(settings or {})
        unknown = set(self.settings) - self.settings_known
        if unknown:
            known = ", ".join(sorted(self.settings_known)) or "none"
            raise NeedsSetup(
                f"{self.manifest.system.name}: unknown setting {', '.join(sorted(unknown))}; known: {known}"
            )
        self.mapping_version = str(self.settings.get("mapping_version") or next(reversed(list(self.mappings)), ""))
        if self.mapping_version not in ("", *self.mappings):
            known = ", ".join(self.mappings)
            raise NeedsSetup(f"{self.system}: no mapping version {self.mapping_version!r}; there are: {known}")

    def mapped(self, name: str) -> Any:
        """The table of this name in the mapping version of this connection: the newest one up to it that has it."""
        for version in reversed(self._versions()):
            if name in self.mappings[version]:
                return self.mappings[version][name]
        raise NeedsSetup(f"{self.system}: mapping version {self.mapping_version} has no table {name}")

    def _versions(self) -> list[str]:
        """The mapping versions up to the one of this connection, oldest first."""
        versions = list(self.mappings)
        return versions[: versions.index(self.mapping_version) + 1] if versions else []

    def tables(self) -> dict[str, Table]:
        """The mapping tables of this connection by name: those of its mapping module, in their version."""
        module = inspect.getmodule(type(self))
        found: dict[str, Table] = {}
        for each in vars(module).values() if module else ():
            if inspect.ismodule(each):
                found |= {name: table for name, table in vars(each).items() if isinstance(table, Table)}
        for version in self._versions():
            found |= {name: table for name, table in self.mappings[version].items() if isinstance(table, Table)}
        return found

    @classmethod
    def read_manifest(cls) -> Manifest:
        """The manifest beside the connector's module."""
        return _manifest_in(Path(inspect.getfile(cls)).parent)

    @property
    def system(self) -> str:
        """The vendor system's short name."""
        return self.manifest.system.name

    def setting(self, name: str) -> Any:
        """A setting of this firm: a table is merged over its default, any other value replaces it. Codes are text."""
        default, given = self.defaults[name], self.settings.get(name)
        if isinstance(default, Mapping):
            return {str(key): str(value) for key, value in {**default, **(given or {})}.items()}
        return default if given is None else str(given)

    def names(self, name: str, known: Iterable[str] = ()) -> tuple[str, ...]:
        """The names a setting lists, separated by commas. NeedsSetup for one that is not among the known ones."""
        given = tuple(each.strip() for each in str(self.setting(name)).split(",") if each.strip())
        if wrong := ", ".join(sorted(set(given) - set(known))) if known else "":
            raise NeedsSetup(f"{self.system}: setting {name}: {wrong} is not among {', '.join(known)}")
        return given

    def state(self, kind: str, remote: Any) -> str:
        """Our state of a remote object, by the manifest's [states.kind]. BadInput for one nobody has decided about."""
        return StatusTable(f"{self.system} {kind}", self.manifest.states[kind]).read(remote)

    def in_state(self, field: str, state: str) -> Callable[[Row], bool]:
        """A test of rows: whether this field of one, by the manifest's [states.field], is our state."""
        return lambda row: self.state(field, row[field]) == state

    def needed(self, name: str) -> str:
        """A setting that has no default. NeedsSetup when the firm has not set it."""
        value = str(self.setting(name))
        if not value:
            raise NeedsSetup(f"{self.system}: setting {name} is missing: see docs/connect/{self.system}.md")
        return value

    def whole_number(self, name: str) -> int:
        """A setting that is a whole number. NeedsSetup for one that is not."""
        value = str(self.setting(name))
        if not value.isdigit():
            raise NeedsSetup(f"{self.system}: setting {name} is {value!r}: a whole number is expected")
        return int(value)

    def own_state(self, name: str, remote: Any) -> str:
        """Our state of a remote object, by a table of the firm's settings; as total as those of the manifest."""
        return StatusTable(f"{self.system} {name}", self.setting(name)).read(remote)

    def coded(self, name: str, code: str) -> str:
        """What the firm calls our code over there, by a table of settings. NeedsSetup when the row is missing."""
        table = self.setting(name)
        if code not in table:
            known = ", ".join(table) or "nothing"
            raise NeedsSetup(f"{self.system}: setting {name} has no {code!r}; it has: {known}")
        return str(table[code])

    def decoded(self, name: str, remote: Any) -> str:
        """Our code for what it is called over there, by the same table. BadInput for what no row of it names."""
        codes = {theirs: ours for ours, theirs in self.setting(name).items()}
        return StatusTable(f"{self.system} {name}", codes).read(remote)

    def our_terms(self, names: Iterable[str]) -> tuple[str, ...]:
        """Payment terms by our code, where the setting terms has one for that name, else by name."""
        codes = {name: code for code, name in self.setting("terms").items()}
        return tuple(str(codes.get(name, name)) for name in names)

    def ids_by_name(self, rows: Iterable[Row], names: Iterable[str], what: str) -> dict[str, str]:
        """Ids of master data by name. A refusal names what is missing: a person decides on it, we make none up."""
        ids = {str(row["name"]): str(row["id"]) for row in rows}
        missing = sorted(set(names) - set(ids))
        if missing:
            raise self.refusal(f"{self.system} has no {what} {', '.join(missing)}", what.upper(), what)
        return ids

    def changes_in(self, body: Any) -> list[Row]:
        """The changes that a webhook of the vendor speaks of, as it tells them: a list, or the one that the body is."""
        return [row for row in (body if isinstance(body, list) else [body]) if isinstance(row, dict)]

    def since(self, watermark: str) -> datetime | None:
        """Where reading changes starts again: the watermark less the manifest's overlap. None at the first time."""
        return to_utc(watermark) - timedelta(seconds=self.manifest.capture.overlap_seconds) if watermark else None

    def there(self, found: Found | None, what: str) -> Found:
        """What has to be there. NotFound when it is not."""
        if found is None:
            raise NotFound(f"{self.system} has no {what}")
        return found

    def one_of(self, rows: Sequence[Found], what: str) -> Found | None:
        """The one record of what our key names, or none. A refusal for twins: a person has to take one away."""
        if len(rows) > 1:
            raise self.refusal(f"{self.system} has {len(rows)} records of {what}: one has to go", "DUPLICATE", what)
        return rows[0] if rows else None

    def refusal(self, cause: str, code: str, field: str, words: str = "") -> RemoteRefusal:
        """What is there cannot be taken for what we asked for: a person decides. words: what was said over there."""
        return RemoteRefusal(cause, remote_code=code, field=field, system=self.system, words=words)

    def ref(self, object_type: str, external_id: Any, version: str = "") -> ExternalRef:
        """A reference to an object over there."""
        return ExternalRef(system=self.system, object_type=object_type, external_id=str(external_id), version=version)

    def fills(self, port: str) -> bool:
        """True when the manifest says this connector fills the port."""
        return port in self.manifest.system.ports


def missing_verbs(connector: type[Connector], port: str) -> list[str]:
    """Verbs of a port that a connector does not have: a missing capability, found at start and not at run time."""
    protocol = PORTS[port]
    verbs = [name for name, member in vars(protocol).items() if hasattr(member, "__verb__")]
    return [name for name in verbs if not callable(getattr(connector, name, None)) and spec_of(getattr(protocol, name))]
