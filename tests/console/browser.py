"""A real browser for the tests: Debian's Chromium, driven by Playwright; a visible skip where it cannot be had."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest

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
INSTALL = ["apt-get", "install", "-y", "--no-install-recommends", "chromium"]
DESKTOP, WIDE, PHONE = {"width": 1280, "height": 900}, {"width": 1920, "height": 1080}, {"width": 390, "height": 844}


@cache
def chromium() -> str:
    """Where Chromium is; installed first where this may install packages. Skips the test where it cannot be had."""
    found = shutil.which("chromium")
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-q"], capture_output=True, timeout=300, check=False)
        subprocess.run(INSTALL, capture_output=True, timeout=900, check=False)
        found = shutil.which("chromium")
    if found is None:
        pytest.skip(f"no Chromium here, and none could be installed: {' '.join(INSTALL)}")
    return found


@contextmanager
def browsing(playwright: Any, **options: Any) -> Iterator[Any]:
    """A page of a browser of its own, with an empty profile. What goes wrong in it is kept in page.problems."""
    given = {"viewport": DESKTOP, "reduced_motion": "reduce", **options}
    with tempfile.TemporaryDirectory(prefix="isthmus-browser-") as profile:
        launch = playwright.chromium.launch_persistent_context
        context = launch(profile, executable_path=chromium(), args=ARGS, **given)
        context.set_default_timeout(15_000)
        page = context.pages[0]
        page.problems = watch(page)
        try:
            yield page
        finally:
            context.close()


def watch(page: Any) -> list[str]:
    """Errors of scripts, refusals of the content policy and failed requests, as they happen."""
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(f"script: {error}"))
    page.on("console", lambda said: problems.append(f"console: {said.text}") if said.type == "error" else None)
    page.on("response", lambda got: problems.append(f"{got.status} {got.url}") if got.status >= 500 else None)
    return problems
