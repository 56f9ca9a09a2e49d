"""Prints, per group of docs/requirements.md, which ids a passing test shows and which are not shown yet."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / ".isthmus" / "requirements.json"
ROW = re.compile(r"^\| ([A-Z]{2,4}-\d{2}) \|", re.MULTILINE)


def main() -> int:
    """Exit code 1 when a test claims an id that is not in the catalogue."""
    if not RESULTS.exists():
        print("no test results yet: run 'make test' first")
        return 1
    catalogue = ROW.findall((ROOT / "docs" / "requirements.md").read_text())
    results: dict[str, dict[str, str]] = json.loads(RESULTS.read_text())
    passed = {i for i, tests in results.items() if tests and all(o == "passed" for o in tests.values())}
    failed = {i for i, tests in results.items() if any(o == "failed" for o in tests.values())}
    for group in dict.fromkeys(i.split("-")[0] for i in catalogue):
        ids = [i for i in catalogue if i.startswith(f"{group}-")]
        shown = [i for i in ids if i in passed]
        print(f"{group}: {len(shown)} of {len(ids)} shown")
        print(f"  shown: {' '.join(shown) or '-'}")
        print(f"  not yet: {' '.join(i for i in ids if i not in passed) or '-'}")
    print(f"\n{len(passed & set(catalogue))} of {len(catalogue)} requirements shown by a passing test")
    others = sorted(i for i in passed if i not in catalogue)
    print(f"invariants and scenarios shown: {' '.join(others) or '-'}")
    if failed:
        print(f"claimed by a failing test: {' '.join(sorted(failed))}")
    unknown = [i for i in others if not i.startswith(("INV-", "SC-"))]
    if unknown:
        print(f"claimed but not in the catalogue: {' '.join(unknown)}")
    return 1 if unknown else 0


if __name__ == "__main__":
    sys.exit(main())
