"""Where a connector is: in this package, installed beside it, or in a folder."""

from __future__ import annotations

import importlib
import sys
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from isthmus import connectors
from isthmus.domain.errors import NeedsSetup
from isthmus.kit.connector import Connector

GROUP = "isthmus.connectors"  # entry points of packages that bring a connector: name = "package:connector"
# Every folder with a manifest is a connector.
OURS = tuple(sorted(path.parent.name for path in Path(connectors.__file__).parent.glob("*/manifest.toml")))


def known_names() -> list[str]:
    """The connectors of this package and those installed beside it."""
    return sorted({*OURS, *(point.name for point in entry_points(group=GROUP))})


def connector_class(name: str) -> type[Connector]:
    """The connector of this name. NeedsSetup lists the known ones."""
    if name in OURS:
        return _kind(importlib.import_module(f"isthmus.connectors.{name}"), name)
    for point in entry_points(group=GROUP, name=name):
        found: type[Connector] = point.load()
        return found
    raise NeedsSetup(f"no connector {name!r}; there are: {', '.join(known_names())}")


def folder_of(name: str) -> Path | None:
    """The folder a path names, or the package inside the project folder it names; None for a name that is no path."""
    for folder in (Path(name), Path(name) / Path(name).name):
        if (folder / "manifest.toml").is_file():
            return folder
    if "/" in name:
        raise NeedsSetup(f"{name} holds no manifest.toml: it is no connector")
    return None


def in_folder(folder: Path) -> type[Connector]:
    """The connector in a folder with a manifest: the folder is its package. NeedsSetup when it cannot be imported."""
    parent = str(folder.resolve().parent)
    if parent not in sys.path:
        sys.path.insert(0, parent)
    try:
        module = importlib.import_module(folder.name)
    except ImportError as broken:
        raise NeedsSetup(f"{folder} cannot be imported: {broken}") from broken
    return _kind(module, folder.name)


def _kind(module: ModuleType, name: str) -> type[Connector]:
    found = getattr(module, "connector", None)
    if not (isinstance(found, type) and issubclass(found, Connector)):
        raise NeedsSetup(f"{name}/__init__.py names no connector: from … import … as connector")
    return found
