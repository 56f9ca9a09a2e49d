"""A new connector from the template: connector, sandbox and their tests, which pass the suite as they are."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from isthmus.domain.errors import BadInput

TEMPLATE = Path(__file__).with_name("template")
# What is written, below the folder of the project, and the template it is made of.
FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "{name}/__init__.py": "__init__.py",
    "{name}/manifest.toml": "manifest.toml",
    "{name}/mapping.py": "mapping.py",
    "{name}/connector.py": "connector.py",
    "{name}/samples.toml": "samples.toml",
    "{name}/NOTES.md": "NOTES.md",
    "{name}/sandbox.py": "sandbox.py",
    "tests/test_{name}.py": "test.py",
}


def write(name: str, into: Path) -> list[Path]:
    """Write the project of a new connector into a folder of its name. BadInput, and nothing written, when it is there.

    name: letters, digits and underscores, beginning with a letter, in lower case: it is the package's name too.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,30}", name) or keyword.iskeyword(name):
        raise BadInput(f"{name!r} is no name for a connector: lower case letters, digits and underscores")
    root = into / name
    if root.exists():
        raise BadInput(f"{root} is there already: nothing was written; choose another name or folder")
    words = {
        "@name@": name,
        "@Class@": "".join(part.capitalize() for part in name.split("_")),
        "@title@": name.replace("_", " ").title(),
        "@host@": name.replace("_", "-"),
    }
    written = []
    for target, source in FILES.items():
        text = (TEMPLATE / f"{source}.txt").read_text(encoding="utf-8")
        for placeholder, word in words.items():
            text = text.replace(placeholder, word)
        path = root / target.format(name=name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written
