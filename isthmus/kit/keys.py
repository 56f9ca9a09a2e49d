"""The hub's business keys in fields of a vendor: with few characters, of a task, with a revision in a text."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from typing import Any

from isthmus.domain.errors import BadInput


def to_external_id(key: str) -> str:
    """Any business key in the characters every vendor takes; undone by from_external_id.

    Letters, digits and the hyphen stay; every other byte becomes an underscore and two hex digits.
    """
    return re.sub(r"[^A-Za-z0-9-]", lambda found: "".join(f"_{byte:02X}" for byte in found[0].encode()), key)


def from_external_id(external_id: str) -> str:
    """The business key of an external id; an id that is none of ours comes back as it is."""
    raw = re.sub(rb"_([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), external_id.encode())
    key = raw.decode(errors="replace")
    return key if to_external_id(key) == external_id else external_id


def digest(content: Any) -> str:
    """Eight characters that tell content apart, for a key that is to change with it."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:8]


def task_key(project_code: str, task_code: str) -> str:
    """The business key of a project's task."""
    return f"{project_code}:{task_code}"


def task_codes(project_code: str, keys: Iterable[str]) -> tuple[str, ...]:
    """The codes of the tasks among these keys that belong to the project."""
    prefix = task_key(project_code, "")
    return tuple(key.removeprefix(prefix) for key in keys if key.startswith(prefix))


def source_id(key: str, system: str) -> str:
    """The id over there of what the hub keys as system:id. BadInput for a key of another system."""
    source, _, found = key.partition(":")
    if source != system or not found:
        raise BadInput(f"{key} is not one of {system}")
    return found


def to_revision_text(key: str, revision: int, text: str) -> str:
    """A text that starts with key and revision, so that a look-up can tell revisions apart."""
    return f"{key}#{revision} {text}".strip()


def revision_of(text: Any, key: str) -> int:
    """The revision a text says it is of this key; 0 when it does not say."""
    found = re.match(re.escape(key) + r"#(\d+)(?: |$)", str(text or ""))
    return int(found[1]) if found else 0
