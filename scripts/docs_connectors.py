"""Write docs/lookup/capabilities.md and docs/lookup/catalog.md from the connectors. A test holds them current.

.venv/bin/python scripts/docs_connectors.py
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from isthmus.app.conformance.bench import Bench  # noqa: E402
from isthmus.app.conformance.pages import capabilities, catalog  # noqa: E402
from isthmus.app.connecting.found import OURS  # noqa: E402

LOOKUP = ROOT / "docs/lookup"


def texts() -> dict[Path, str]:
    """The pages by path."""
    benches = [Bench(name) for name in OURS]
    return {LOOKUP / "capabilities.md": capabilities(benches), LOOKUP / "catalog.md": catalog(benches)}


if __name__ == "__main__":
    for path, text in texts().items():
        path.write_text(text)
        print(f"{path.relative_to(ROOT)}: {len(text.splitlines())} lines")
