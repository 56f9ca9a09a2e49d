"""A model connector for tests of the kit: a short manifest, verbs given by the test, a vendor that is a function."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from typing import Any

import httpx

from isthmus.kit.connector import Connector
from isthmus.kit.executor import Connection
from isthmus.kit.manifest import Manifest

Vendor = Callable[[httpx.Request], httpx.Response]
URL = "https://vendor.example"
MANIFEST = """
{top}
[system]
name = "books"
vendor = "V"
ports = []
api_version = "1"
release_cadence = "never"
residency = "here"
modelled_from = "nothing"
[auth]
{auth}
[base_url]
production = "https://vendor.example"
[limits]
{limits}
[capture]
{capture}
{more}
"""
BEARER = 'kinds = ["bearer"]\ncredentials = ["token"]'


def manifest(
    top: str = "", auth: str = BEARER, limits: str = 'kind = "none"', capture: str = 'kind = "none"', more: str = ""
) -> Manifest:
    """A manifest from its parts, each TOML."""
    text = MANIFEST.format(top=top, auth=auth, limits=limits, capture=capture, more=more)
    return Manifest.model_validate(tomllib.loads(text))


def connector(facts: Manifest, **members: Any) -> Connector:
    """A connector with this manifest and these members."""
    made: type[Connector] = type("Books", (Connector,), {"read_manifest": classmethod(lambda _: facts), **members})
    return made()


def connection(vendor: Vendor, facts: Manifest | None = None, kind: str = "bearer", **more: Any) -> Connection:
    """A connection whose vendor is a function. more: members of the connector (callables, auth_kinds), arguments."""
    facts = facts or manifest()
    arguments = {"secrets": {"token": "t0ken-s3cret"}, **more}
    members = {name: arguments.pop(name) for name in [*arguments] if callable(arguments[name]) and name != "reread"}
    if "auth_kinds" in arguments:
        members["auth_kinds"] = arguments.pop("auth_kinds")
    client = httpx.Client(transport=httpx.MockTransport(vendor))
    return Connection("conn", connector(facts, **members), base_url=URL, auth_kind=kind, client=client, **arguments)
