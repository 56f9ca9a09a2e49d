"""Atlassian Document Format: the documents that version 3 of the API takes for long texts; version 2 takes plain text.

Modelled from the vendor's published material; not certified. Checked is the outside of a document, not every node.
"""

from __future__ import annotations

from typing import Any

from isthmus.sandbox.jira.errors import Refused

Document = dict[str, Any]


def document(text: str) -> Document:
    """A text as a document, one paragraph a line."""
    paragraphs = [
        {"type": "paragraph", "content": [{"type": "text", "text": line}]} if line else {"type": "paragraph"}
        for line in text.split("\n")
    ]
    return {"type": "doc", "version": 1, "content": paragraphs}


def taken(value: Any, field: str, version: str) -> Document | None:
    """A long text as the site keeps it, or the refusal of what is none."""
    if value is None:
        return None
    if version == "2" and isinstance(value, str):
        return document(value)
    if isinstance(value, dict) and value.get("type") == "doc" and isinstance(value.get("content"), list):
        return value
    what = "Comment body" if field == "comment" else "Operation value"
    raise Refused(400, **{field: f"{what} must be an Atlassian Document (see the Atlassian Document Format)"})


def shown(value: Document | None, version: str) -> Any:
    """A kept text as a version of the API shows it."""
    return value if value is None or version == "3" else plain(value)


def plain(node: Document) -> str:
    """The text of a document."""
    if node.get("type") == "text":
        return str(node.get("text", ""))
    separator = "\n" if node.get("type") == "doc" else ""
    return separator.join(plain(child) for child in node.get("content", ()))
