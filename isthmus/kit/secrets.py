"""The credentials of one connection: shown as names only, read again when they have been changed, kept when rotated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

from isthmus.domain.errors import NeedsSetup

Reader = Callable[[], Mapping[str, str]]


class Keeper(Protocol):
    """Where a credential that the vendor rotates is kept, so that every worker has it and a restart loses nothing."""

    def alone(self, name: str) -> AbstractContextManager[None]:
        """Keep other workers from rotating this credential for the length of a with-block."""
        ...

    def keep(self, name: str, value: str) -> None:
        """Write the new value, before it is used."""
        ...


class Secrets:
    """Credentials of one connection by name. Prints as names only.

    read: where they come from; reading again takes a change over without a restart. keeper: where a rotated one goes.
    """

    def __init__(
        self,
        values: Mapping[str, str],
        connection: str,
        read: Reader | None = None,
        keeper: Keeper | None = None,
    ) -> None:
        self._values = dict(values)
        self._connection = connection
        self._read = read
        self._keeper = keeper
        self._seen = set(self._values.values())

    def __repr__(self) -> str:
        return f"Secrets({', '.join(sorted(self._values))})"

    def __getitem__(self, name: str) -> str:
        if not self._values.get(name):
            raise NeedsSetup(f"connection {self._connection}: credential {name!r} is missing", self._connection)
        return self._values[name]

    def __contains__(self, name: str) -> bool:
        return bool(self._values.get(name))

    def get(self, name: str, default: str) -> str:
        """The credential, or a default when the connection does not set it."""
        return self._values.get(name) or default

    def names(self) -> list[str]:
        """Names of the credentials that have a value."""
        return sorted(name for name, value in self._values.items() if value)

    def values(self) -> list[str]:
        """Every secret value there is or was, for masking: an old one may still let somebody in. Longest first."""
        return sorted((value for value in self._seen if value), key=len, reverse=True)

    def reread(self) -> bool:
        """Take over what has been changed at their source; True when anything was."""
        if self._read is None:
            return False
        found = dict(self._read())
        changed = found != self._values
        self._values = found
        self._seen |= set(found.values())
        return changed

    def alone(self, name: str) -> AbstractContextManager[None]:
        """While one worker rotates a credential, the others wait, and then read it again."""
        return self._keeper.alone(name) if self._keeper else nullcontext()

    def replace(self, name: str, value: str) -> None:
        """A credential that the vendor has rotated: kept first, then used. Without a keeper it lasts till the end of
        the process.
        """
        self._seen.add(value)
        if self._keeper is not None:
            self._keeper.keep(name, value)
        self._values[name] = value
