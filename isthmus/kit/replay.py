"""The same recorded answers read again: under another mapping version, or after a connector was changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel

from isthmus.kit.auth import Auth
from isthmus.kit.cassette import Playing, Recorded
from isthmus.kit.connector import Connector
from isthmus.kit.executor import Connection

_PLAYED = "played"


class _Played(Auth):
    """Nobody checks who asks: the answers are recorded."""

    def headers(self, method: str, url: str) -> dict[str, str]:
        return {}


def replay(exchanges: Iterable[Recorded], connector: Connector, verb: str, *arguments: Any) -> Any:
    """What a verb makes of recorded answers. Nothing is sent. The errors are those of the verb; BadInput when the
    cassette has no answer to something it asks.
    """
    auth = connector.manifest.auth.model_copy(update={"kinds": (_PLAYED,), "token_path": ""})
    connector.manifest = connector.manifest.model_copy(update={"auth": auth})
    connector.auth_kinds = {_PLAYED: _Played}  # type: ignore[misc]
    played = Connection(
        "replay",
        connector,
        base_url="https://replay.invalid",
        auth_kind=_PLAYED,
        secrets={},
        transport=Playing(exchanges),
    )
    return getattr(played, verb)(*arguments)


def differences(old: Any, new: Any, at: str = "") -> Iterator[str]:
    """Where two results differ, field by field, in words."""
    if isinstance(old, BaseModel) and type(old) is type(new):
        for name in type(old).model_fields:
            yield from differences(getattr(old, name), getattr(new, name), f"{at}.{name}".lstrip("."))
    elif isinstance(old, list | tuple) and isinstance(new, list | tuple) and len(old) == len(new):
        for place, (one, other) in enumerate(zip(old, new, strict=True)):
            yield from differences(one, other, f"{at}.{place}".lstrip("."))
    elif old != new:
        yield f"{at or 'result'}: {old!r} became {new!r}"
