"""Write docs/operate/commands.md from the commands' own help: `python scripts/commands.py`. A test holds it current."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import typer

from isthmus.app.cli.application import app

TARGET = Path(__file__).parents[1] / "docs" / "operate" / "commands.md"
COMMON = ("--json", "--verbose", "--debug", "--help")
KINDS = {"<int range>": "NUMBER", "<float range>": "NUMBER", "<int>": "NUMBER", " <list[str]>": "", "<str>": "TEXT"}
HEAD = """# Commands

Made from `isthmus COMMAND --help` by `scripts/commands.py`; do not edit.

{about}

Every command also takes:

| Option | Meaning |
|---|---|
{common}

"""


def main() -> None:
    """Write the file."""
    TARGET.write_text(render(), encoding="utf-8")
    print(f"wrote {TARGET}")


def render() -> str:
    """The whole document."""
    root: Any = typer.main.get_command(app)
    context = root.make_context("isthmus", ["version"], resilient_parsing=True)
    sections, common = [], ""
    for path, command, inner in _walk(root, context):
        rows = [record for param in command.params if (record := param.get_help_record(inner))]
        common = common or "\n".join(_row(r) for r in rows if r[0].split()[0] in COMMON)
        sections.append(_section(path, command, inner, [r for r in rows if r[0].split()[0] not in COMMON]))
    about = inspect.cleandoc(root.help or "")
    return HEAD.format(about=about, common=common) + "\n".join(sections)


def _walk(group: Any, context: Any) -> Any:
    """(path, command, its context), groups opened."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        inner = type(context)(command, parent=context, info_name=name)
        is_group = hasattr(command, "list_commands")
        if not is_group or command.invoke_without_command:
            yield inner.command_path, command, inner
        if is_group:
            yield from _walk(command, inner)


def _section(path: str, command: Any, context: Any, rows: list[tuple[str, str]]) -> str:
    usage = " ".join([path, *command.collect_usage_pieces(context)])
    text, _, example = inspect.cleandoc(command.help or "").partition("\n\nExample: ")
    parts = [f"## {path}\n", f"```\n{usage}\n```\n", f"{text}\n"]
    if rows:
        parts.append("| Argument or option | Meaning |\n|---|---|\n" + "\n".join(_row(row) for row in rows) + "\n")
    parts.append(f"```sh\n{' '.join(example.split())}\n```\n")
    return "\n".join(parts)


def _row(record: tuple[str, str]) -> str:
    name, meaning = (cell.replace("|", "\\|") for cell in record)
    for kind, shown in KINDS.items():
        name = name.replace(kind, shown)
    return f"| `{name}` | {meaning} |"


if __name__ == "__main__":
    main()
