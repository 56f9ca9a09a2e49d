"""The page about the policies lists each of them, and its examples run as they stand, without database or network."""

from __future__ import annotations

import pkgutil
import re
import subprocess
import sys

import pytest

import isthmus.policies
from tests.house.test_docs_core import DOCS, rows

PAGE = DOCS / "lookup" / "policies.md"


def test_every_policy_is_on_the_page_and_no_other() -> None:
    told = [row[0].strip("`") for row in rows(PAGE, 2) if row[0].startswith("`")]
    assert told == sorted(module.name for module in pkgutil.iter_modules(isthmus.policies.__path__))


EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_runs_and_loads_nothing_that_talks(example: str) -> None:
    talks = ("sqlalchemy", "psycopg", "dbos", "httpx", "fastapi", "isthmus.store", "isthmus.runtime")
    watch = f"import sys; assert not [name for name in {talks!r} if name in sys.modules]"
    done = subprocess.run([sys.executable, "-c", f"{example}\n{watch}"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 3 and all("assert" in example for example in EXAMPLES)
