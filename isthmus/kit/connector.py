"""The base of a connector: its manifest, its firm-specific settings, and nothing that sends."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from isthmus.domain.errors import NeedsSetup
from isthmus.domain.objects import ExternalRef
from isthmus.kit.manifest import Manifest, load
from isthmus.ports import PORTS
from isthmus.ports.verbs import spec_of


class Connector:
    """One outside system. Subclasses hold one short generator method per port verb.

    settings: what this firm calls things there (custom field names, codes); no secrets.
    """

    settings_known: ClassVar[frozenset[str]] = frozenset()
    defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        self.manifest = type(self).read_manifest()
        self.settings = dict(settings or {})
        unknown = set(self.settings) - self.settings_known
        if unknown:
            known = ", ".join(sorted(self.settings_known)) or "none"
            raise NeedsSetup(
                f"{self.manifest.system.name}: unknown setting {', '.join(sorted(unknown))}; known: {known}"
            )

    @classmethod
    def read_manifest(cls) -> Manifest:
        """The manifest beside the connector's module."""
        return load(Path(inspect.getfile(cls)).parent)

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

    def coded(self, name: str, code: str) -> str:
        """What the firm calls our code over there, by a table of settings. NeedsSetup when the row is missing."""
        table = self.setting(name)
        if code not in table:
            known = ", ".join(table) or "nothing"
            raise NeedsSetup(f"{self.system}: setting {name} has no {code!r}; it has: {known}")
        return str(table[code])

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
