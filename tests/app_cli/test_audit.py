"""`isthmus audit` on a real database: nothing in healthy books, exit code 3 and the money when a cent is missing."""

from __future__ import annotations

from decimal import Decimal

import pytest
import sqlalchemy as sa

from tests.app_cli.conftest import Isthmus, World


@pytest.mark.requirement("OBJ-17")
def test_audit_finds_a_missing_cent_with_its_money(world: World, isthmus: Isthmus) -> None:
    world.set_up()
    world.capture("8.0", "2.5")
    healthy = isthmus("audit", "--no-ask")
    assert (healthy.code, healthy.err) == (0, "") and "controls agree" in healthy.out
    assert "INV-08  Can every price be worked out again? yes" in healthy.out and "INV-09" not in healthy.out
    with world.store.transaction() as tx:
        tx.raw.execute(sa.text("set local session_replication_role = replica"))  # past the guard, as an intruder
        tx.raw.execute(sa.text("update hub.billable_part set net = net - 0.01 where net > 1000"))
    broken = isthmus("audit", "--no-ask", "--json")
    assert broken.code == 3
    told = {(f["control"], Decimal(f["amount"]), f["currency"], f["owner"]) for f in broken.json["findings"]}
    assert ("INV-01", Decimal("0.01"), "USD", "billing") in told
    assert {control for control, *_ in told} == {"INV-01", "INV-28"}
    assert isthmus("reconcile", "--no-ask").code == 3
