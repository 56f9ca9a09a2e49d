"""The demo, as a newcomer starts it: twice in a row, to the cent, in a database of its own."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.conftest import url_of

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]
ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-c", "from isthmus.app.cli import main; main()", "demo"]


def demo(database_url: str, *options: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), "ISTHMUS_DATABASE_URL": database_url}
    return subprocess.run([*COMMAND, *options], env=env, capture_output=True, text=True, timeout=150, check=False)


def execute(database_url: str, statement: str) -> list[Any]:
    with psycopg.connect(database_url.replace("+psycopg", ""), autocommit=True) as connection:
        return connection.execute(statement).fetchall()


def test_the_month_is_played_twice_and_ends_the_same_to_the_cent(empty_database: str) -> None:
    first = demo(empty_database, "--json")
    assert first.returncode == 0, first.stderr
    end = json.loads(first.stdout)
    assert end["evidence"] == {"invoiced USD": "80153.47", "written_off USD": "572.66"}
    assert (end["contracts"], end["hours"], end["time_entries"]) == (3, "588.25", 123)
    assert (end["invoices_issued"], end["invoices_posted"], end["invoices_paid"]) == (4, 4, 2)
    assert (end["invoiced_total"], end["still_open"]) == ("87267.10", "12574.36")
    assert set(end["effects"]) == {"avalara", "kantata", "netsuite", "salesforce"}
    left = sorted(told.split()[0] for told in end["cases_open"].values())
    assert left == ["EX-CAP-REACHED", "EX-CLIENT-DUP", "EX-POST-REJECT", "EX-TAX-CODE"], "four for the reader"
    assert (end["answers_lost_and_found"], end["duplicates"]) == (1, 0)

    again = demo(empty_database, "--headless")
    assert again.returncode == 0, again.stderr
    for line in ("1/8 Monday 02 March", "Post the receivable in the ERP", "80,153.47", "K-1003", "12,574.36"):
        assert line in again.stdout
    assert execute(empty_database, "select 1 from pg_namespace where nspname = 'hub'") == [], "the hub's own is left"


def test_it_never_empties_the_database_it_is_pointed_at_nor_one_that_a_demo_uses(pg_server: str) -> None:
    own = url_of(pg_server, "isthmus_demo")
    with psycopg.connect(url_of(pg_server, "postgres").replace("+psycopg", ""), autocommit=True) as connection:
        with contextlib.suppress(psycopg.errors.DuplicateDatabase):
            connection.execute("create database isthmus_demo")
        named = demo(own)
        assert (named.returncode, "names isthmus_demo" in named.stderr) == (3, True)
        connection.execute("select pg_advisory_lock(hashtext('isthmus_demo'))")
        busy = demo(url_of(pg_server, "postgres"))
        assert (busy.returncode, "already" in busy.stderr) == (1, True)
