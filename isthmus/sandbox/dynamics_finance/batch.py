"""Batches: multipart requests whose change sets happen whole or not at all."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from email import message_from_bytes
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from starlette.responses import Response

from isthmus.sandbox.dynamics_finance.errors import Refusal, bad_request
from isthmus.sandbox.dynamics_finance.ledger import Ledger
from isthmus.sandbox.dynamics_finance.service import Call

OPERATIONS_MAX = 5000
_REASONS = {200: "OK", 201: "Created", 204: "No Content", 400: "Bad Request", 500: "Internal Server Error"}
Serve = Callable[[Call], Response]


class Batches:
    """Carries out the parts of a batch in order."""

    def __init__(self, ledger: Ledger, serve: Serve) -> None:
        self.ledger = ledger
        self.serve = serve

    def run(self, call: Call) -> Response:
        """The answer to a batch: 200, whatever its parts came to."""
        typed = call.headers.get("content-type", "")
        whole = message_from_bytes(f"Content-Type: {typed}\r\n\r\n".encode() + call.body)
        if not typed.startswith("multipart/mixed") or not whole.is_multipart():
            raise bad_request("The message is not a valid batch: a multipart/mixed body with a boundary is expected.")
        mark = f"batchresponse_{uuid.uuid4()}"
        parts = []
        if sum(1 for leaf in whole.walk() if not leaf.is_multipart()) > OPERATIONS_MAX:
            raise bad_request(f"The current batch message contains too many parts: at most {OPERATIONS_MAX}.")
        for piece in _pieces(whole):
            parts.append(self._change_set(call, piece) if piece.is_multipart() else self._alone(call, piece))
        body = b"".join(f"--{mark}\r\n".encode() + part + b"\r\n" for part in parts) + f"--{mark}--\r\n".encode()
        return Response(body, 200, {"OData-Version": "4.0"}, f"multipart/mixed; boundary={mark}")

    def _alone(self, call: Call, piece: Message) -> bytes:
        try:
            answer = self.serve(_inner(call, piece))
        except Refusal as refusal:
            answer = refusal.response()
        return _written(piece, answer)

    def _change_set(self, call: Call, piece: Message) -> bytes:
        """All changes or, with the one answer that failed, none."""
        mark, before, answers = f"changesetresponse_{uuid.uuid4()}", self.ledger.savepoint(), []
        for inner in _pieces(piece):
            try:
                if (one := _inner(call, inner)).method == "GET":
                    raise bad_request("A GET request cannot be part of a change set.")
                answers.append(_written(inner, self.serve(one)))
            except Refusal as refusal:
                self.ledger.roll_back(before)
                refusal.status = refusal.in_batch
                answers = [_written(inner, refusal.response())]
                break
        head = f"Content-Type: multipart/mixed; boundary={mark}\r\n\r\n".encode()
        body = b"".join(f"--{mark}\r\n".encode() + answer + b"\r\n" for answer in answers)
        return head + body + f"--{mark}--\r\n".encode()


def _pieces(message: Message) -> list[Message]:
    inside: Any = message.get_payload()
    return list(inside)


def _inner(call: Call, piece: Message) -> Call:
    """The request that stands in a part."""
    content = piece.get_payload(decode=True)
    assert isinstance(content, bytes)
    head, _, body = content.replace(b"\r\n", b"\n").partition(b"\n\n")
    first, *rest = head.decode().strip().split("\n")
    words = first.split()
    if len(words) < 2:
        raise bad_request(f"'{first}' is not a valid request line.")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
    url = urlsplit(words[1])
    path = url.path.split("/data/", 1)[-1].lstrip("/")
    return Call(words[0], path, dict(parse_qsl(url.query)), headers, body.strip(), call.root)


def _written(piece: Message, answer: Response) -> bytes:
    head = ["Content-Type: application/http", "Content-Transfer-Encoding: binary"]
    head += [f"Content-ID: {piece['Content-ID']}"] if piece["Content-ID"] else []
    lines = [*head, "", f"HTTP/1.1 {answer.status_code} {_REASONS.get(answer.status_code, 'Error')}"]
    lines += [f"{name.title()}: {value}" for name, value in answer.headers.items() if name != "content-length"]
    return "\r\n".join([*lines, "", ""]).encode() + bytes(answer.body)
