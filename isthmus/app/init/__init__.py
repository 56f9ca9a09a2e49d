"""A new firm folder: commented templates that pass ``isthmus check`` as they are."""

from __future__ import annotations

from pathlib import Path

from isthmus.domain.errors import BadInput

TEMPLATES = Path(__file__).with_name("templates")
NAMES = ("firm.toml", "connections.toml", "access.toml", "ownership.toml", ".env.example")


def write(folder: Path) -> list[Path]:
    """Write the folder. BadInput, and nothing written, when one of its files is there already."""
    there = [name for name in NAMES if (folder / name).exists()]
    if there:
        raise BadInput(f"{folder} has {', '.join(there)} already: nothing was written; choose another folder")
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"{folder} is a file: choose another folder")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in NAMES:
        path = folder / name
        # The template has no leading dot, or packagers would leave it out.
        path.write_text((TEMPLATES / name.lstrip(".")).read_text(encoding="utf-8"), encoding="utf-8")
        written.append(path)
    return written
