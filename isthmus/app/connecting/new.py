"""A new connector from the template: connector, sandbox and their tests, which pass the suite as they are."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from pathlib import Path

from isthmus.app.connecting.found import known_names
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


def _refuse_bad_name(name: str) -> None:
    """BadInput for what cannot be a package's name, with one that can."""
    if re.fullmatch(r"[a-z][a-z0-9_]{1,30}", name) and not keyword.iskeyword(name):
        return
    better = re.sub(r"\W+", "_", name.lower()).strip("_")[:31]
    better = better if re.fullmatch(r"[a-z][a-z0-9_]+", better) and not keyword.iskeyword(better) else "acme_time"
    rule = "two to 31 lower case letters, digits and underscores, a letter first"
    raise BadInput(f"{name!r} is no name for a connector: {rule}, such as {better}")


def _refuse_taken_name(name: str) -> None:
    """BadInput when a connector or an installed module has the name: the new one would never be the one imported."""
    if name in known_names():
        raise BadInput(f"there is a connector {name} already: choose another name")
    found = importlib.util.find_spec(name)
    if name in sys.stdlib_module_names or (found is not None and found.origin is not None):
        raise BadInput(f"{name} is a Python module that is installed here: choose another name, such as {name}_erp")


def write(name: str, into: Path) -> list[Path]:
    """Write the project of a new connector into a folder of its name. BadInput, and nothing written, when it is there
    or something else has its name.

    name: letters, digits and underscores, beginning with a letter, in lower case: it is the package's name too.
    """
    root = into / name
    _refuse_bad_name(name)
    if root.exists():
        raise BadInput(f"{root} is there already: nothing was written; choose another name or folder")
    _refuse_taken_name(name)
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
