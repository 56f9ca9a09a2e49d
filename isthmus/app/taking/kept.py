"""The file itself, kept as it came under the hash of its content, so that it can be taken again."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from isthmus.domain.errors import BadInput
from isthmus.runtime import inbox
from isthmus.runtime.books import Books
from isthmus.store.records import InboxMessage, MessageState


@dataclass(frozen=True)
class File:
    """A file at the door. source: the connection it is of, or "files" for what belongs to none. sheet: of a workbook.

    about: what the sender says beside the content, such as the code of a rate card; kept with it.
    """

    kind: str
    source: str
    name: str
    content: bytes
    sheet: str = ""
    about: tuple[tuple[str, str], ...] = ()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def message_id(self) -> str:
        """The same content, said to be the same thing, is the same message."""
        beside = json.dumps([self.sheet, self.about]) if self.sheet or self.about else ""
        told = hashlib.sha256(self.content + beside.encode()).hexdigest()
        return f"{self.kind}:{told[:32]}"

    @property
    def raw(self) -> str:
        """The content in a text; bytes that are no text as Base64."""
        try:
            kept: dict[str, Any] = {"text": self.content.decode("utf-8")}
        except UnicodeDecodeError:
            kept = {"base64": base64.b64encode(self.content).decode()}
        return json.dumps({"sheet": self.sheet, "about": dict(self.about), **kept})


def file_of(message: InboxMessage) -> File:
    """The file a message holds."""
    kept = json.loads(message.raw)
    content = base64.b64decode(kept["base64"]) if "base64" in kept else kept["text"].encode()
    name = message.aggregate.removeprefix("file:")
    return File(message.kind, message.source, name, content, kept["sheet"], tuple(kept["about"].items()))


def keep(books: Books, file: File, problems: str) -> None:
    """The file, with what is wrong in it when something is: then a case asks somebody to look.

    The same file again leaves the one that is there, and says what is known of it now.
    """
    state = MessageState.QUARANTINED if problems else MessageState.APPLIED
    arrival = inbox.Arrival(file.source, file.message_id, file.kind, f"file:{file.name}", file.raw)
    message = inbox.accept_many(books, [arrival])[0]
    if (message.state, message.reason) == (state, problems):
        return
    if problems:
        inbox.set_aside(books, message, problems)
    else:
        inbox.settle(books, [message], state)


def refuse_nameless(file: File) -> None:
    """BadInput for a name that no column holds."""
    if "\x00" in file.name or len(file.name) > 200:
        raise BadInput("the file's name is longer than 200 characters, or holds one that no name has")
