"""Render every page of the console into docs/images/console/: both themes, both widths, from the demo's data.

.venv/bin/python scripts/screenshots.py

Plays the demo on loopback, logs in as its people, and takes the pictures with Debian's Chromium (apt-get install
chromium). Pictures are WebP and end after a few screens of height.
"""

from __future__ import annotations

import base64
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from isthmus.app.cli.serving import _address, _bind, _served  # noqa: E402
from isthmus.app.demo import run  # noqa: E402
from isthmus.app.demo.play import Play  # noqa: E402
from isthmus.telemetry.logs import configure  # noqa: E402

FOLDER = ROOT / "docs" / "images" / "console"
ARGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS, THEMES = {"wide": 1920, "phone": 390}, ("light", "dark")
HEIGHT_MAX, QUALITY = 2400, 82


def dry_run(page: Any) -> None:
    """The form filled in, and what it would do."""
    page.get_by_label("Region").fill("NORTHEAST")
    page.locator("#why-edit").fill("delivered from Syracuse")
    page.get_by_role("button", name="Dry run").first.click()
    page.get_by_text("What would be written where").wait_for()


def why(page: Any) -> None:
    """The lineage of the first line."""
    page.get_by_role("link", name="why this amount").first.click()
    page.get_by_text("computed again, equal").wait_for()


# name -> (who looks, address, what they do first). {post}, {dup}: cases of the demo.
PICTURES: dict[str, tuple[str, str, Callable[[Any], None] | None]] = {
    "login": ("", "/console/login", None),
    "today": ("finn.finance", "/console/", None),
    "today-executive": ("evan.executive", "/console/", None),
    "today-integration": ("ines.integration", "/console/", None),
    "cases": ("finn.finance", "/console/cases", None),
    "case": ("finn.finance", "/console/cases/{post}", dry_run),
    "case-client": ("stella.steward", "/console/cases/{dup}", None),
    "engagements": ("pia.pmo", "/console/engagements", None),
    "engagement": ("pia.pmo", "/console/engagements/K-1001", None),
    "invoices": ("ana.billing", "/console/invoices", None),
    "invoice": ("carla.controller", "/console/invoices/US01-INV-2026-00003", why),
    "runs": ("ines.integration", "/console/runs", None),
    "run": ("ines.integration", "/console/runs/bill_contract/K-1005:2026-05", None),
    "connections": ("ines.integration", "/console/connections", None),
    "rules": ("finn.finance", "/console/rules", None),
    "catalog": ("ines.integration", "/console/catalog?part=ports", None),
    "access": ("carla.controller", "/console/access", None),
    "audit": ("carla.controller", "/console/audit?verify=yes", None),
    "search": ("sol.sales", "/console/search?q=Harbor", None),
}


def take(play: Play) -> None:
    """All pictures of a demo that is over."""
    keys = {"post": case_of(play, "EX-POST-REJECT"), "dup": case_of(play, "EX-CLIENT-DUP")}
    FOLDER.mkdir(parents=True, exist_ok=True)
    listener = _bind("127.0.0.1", 0)
    with _served(play.hub, listener):
        for theme in THEMES:
            for person in sorted({who for who, _, _ in PICTURES.values()}):
                with_browser(_address(listener), person, theme, keys)


def case_of(play: Play, exception: str) -> str:
    """The number of the open case of a type."""
    from isthmus.domain.states import CaseState
    from isthmus.store.records import Case

    return str(play.rows(Case, exception=exception, state=CaseState.OPEN)[0].case_no)


def with_browser(url: str, person: str, theme: str, keys: dict[str, str]) -> None:
    """The pictures of one person in one theme."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or sys.exit("no Chromium here: apt-get install chromium")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as profile:
        launch = playwright.chromium.launch_persistent_context
        context = launch(profile, executable_path=path, args=ARGS, color_scheme=theme, reduced_motion="reduce")
        page = context.pages[0]
        if person:
            log_in(page, url, person)
        for name, (who, address, act) in PICTURES.items():
            if who == person:
                for width, pixels in WIDTHS.items():
                    page.set_viewport_size({"width": pixels, "height": 1080 if pixels > 1000 else 844})
                    page.goto(url + address.format(**keys))
                    if act:
                        act(page)
                    keep(page, f"{name}-{width}-{theme}", pixels)
        context.close()


def log_in(page: Any, url: str, person: str) -> None:
    """By the demo's local account."""
    page.goto(f"{url}/console/login")
    page.locator("[name=name]").fill(person)
    page.locator("[name=password]").fill("demo")
    page.locator("[name=password]").press("Enter")
    page.wait_for_url("**/console/")


def keep(page: Any, name: str, width: int) -> None:
    """The page as it is, grown to its whole height so that what sticks to an edge is at that edge."""
    page.wait_for_timeout(400)  # charts are drawn after the page
    height = page.evaluate("document.documentElement.scrollHeight")
    page.set_viewport_size({"width": width, "height": min(HEIGHT_MAX, max(height, 700))})
    page.wait_for_timeout(400)
    session = page.context.new_cdp_session(page)
    shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY})
    (FOLDER / f"{name}.webp").write_bytes(base64.b64decode(shot["data"]))
    print(f"docs/images/console/{name}.webp")


if __name__ == "__main__":
    configure()
    sys.exit(run(look_around=take))
