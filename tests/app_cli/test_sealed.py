"""isthmus secret: a key, a secret from standard input, the list, another master key; never a value shown."""

from __future__ import annotations

import base64

import pytest
from typer.testing import CliRunner

from isthmus.app.cli.application import app
from isthmus.kit.sealing import KEY, new_key
from tests.app_cli.conftest import Isthmus


@pytest.fixture(autouse=True)
def master_key(monkeypatch: pytest.MonkeyPatch) -> str:
    key = new_key()
    monkeypatch.setenv(KEY, key)
    return key


def put(name: str, value: str) -> str:
    done = CliRunner().invoke(app, ["secret", "put", name, "--as", "ines"], input=value)
    assert done.exit_code == 0, done.output
    return done.output


def test_a_key_is_32_bytes_and_new_each_time(isthmus: Isthmus) -> None:
    keys = {isthmus("secret", "key").out.strip() for _ in range(3)}
    assert len(keys) == 3 and all(len(base64.b64decode(key)) == 32 for key in keys)


def test_a_secret_is_put_listed_and_replaced_and_never_shown(
    database: str, isthmus: Isthmus, master_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "version 1" in put("hubspot-token", "hush-hush-1\n")
    assert "version 2" in put("hubspot-token", "hush-hush-2\n")
    listed = isthmus("secret", "list")
    assert "hubspot-token" in listed.out and "ines" in listed.out and "hush" not in listed.out
    (row,) = isthmus("secret", "list", "--json").json
    assert row["version"] == 2 and "box" not in row
    monkeypatch.setenv(KEY, f"{new_key()} {master_key}")
    assert isthmus("secret", "renew", "--json").json == {"renewed": 1}


def test_nothing_on_standard_input_is_refused(database: str) -> None:
    done = CliRunner().invoke(app, ["secret", "put", "x", "--as", "ines"], input="")
    assert done.exit_code == 2 and "nothing came" in done.output


def test_without_a_master_key_it_says_how_to_make_one(
    database: str, isthmus: Isthmus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY)
    done = CliRunner().invoke(app, ["secret", "put", "x", "--as", "ines"], input="y")
    assert done.exit_code == 3 and "isthmus secret key" in done.output
