"""Help texts of two narrow columns, options and commands in groups; at most 80 columns."""

from __future__ import annotations

import re
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

WIDTH = 80
NAMES = 24  # widest first column; a longer name has a line of its own
# Groups of the commands by their names, in the order shown; the rest stands last.
GROUPS = {
    "Segment": ("predict", "export", "doctor", "networks", "benchmark", "calibrate"),
    "Train": ("train", "evaluate", "crossval", "study", "manifest", "bundle"),
    "Hospital": ("serve", "dicomweb", "listen", "archive", "label-app"),
    "Simulated cases": ("demo", "phantoms"),
}
NETWORK = ("bundle", "weights", "settings", "published")
RUNNING = ("device", "runtime", "precision", "crop", "views")
OTHERS = "More"


class GroupedCommand(TyperCommand):
    """A command whose help groups its options."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, then options by group."""
        _write(self, ctx, formatter)


class GroupedCommands(TyperGroup):
    """A group whose help lists its commands by what they are for."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, then the options."""
        self.format_commands(ctx, formatter)
        _write(self, ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands by group."""
        names = [name for name in self.list_commands(ctx) if not self.get_command(ctx, name).hidden]  # type: ignore[union-attr]
        known = {title: [name for name in group if name in names] for title, group in GROUPS.items()}
        rest = [name for name in names if not any(name in group for group in known.values())]
        alone = not any(known.values())
        for title, group in {**known, "Commands" if alone else OTHERS: rest}.items():
            rows = [(name, self.get_command(ctx, name).get_short_help_str(200)) for name in group]  # type: ignore[union-attr]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows, col_max=NAMES)


def dress(app: typer.Typer) -> None:
    """Give an application and all its groups and commands these helps; a group of this kind keeps its own."""
    if not (isinstance(app.info.cls, type) and issubclass(app.info.cls, GroupedCommands)):
        app.info.cls = GroupedCommands
    for command in app.registered_commands:
        command.cls = GroupedCommand
    for group in app.registered_groups:
        own = group.typer_instance.info.cls if group.typer_instance is not None else None
        group.cls = own if isinstance(own, type) and issubclass(own, GroupedCommands) else GroupedCommands
        if group.typer_instance is not None:
            dress(group.typer_instance)


def _write(command: Any, ctx: Any, formatter: Any) -> None:
    formatter.width = min(formatter.width, WIDTH)
    whole = any(parameter.name == "bundle" for parameter in command.params)  # else --set stands with the rest
    sections: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(ctx):
        record = parameter.get_help_record(ctx)
        if record is not None:
            title = _section(parameter)
            title = "Options" if title == "Network" and not whole else title
            sections.setdefault(title, []).append(
                (short(record[0], on="[default: no-" not in record[1]), _told(record[1]))
            )
    for title in sorted(sections, key=["Arguments", "Options", "Network", "How to run it"].index):
        with formatter.section(title):
            formatter.write_dl(sections[title], col_max=NAMES)


def _told(text: str) -> str:
    """Leave out that a flag is off, and the parentheses around a default in words."""
    text = re.sub(r"\s*\[default: no-[\w-]+\]", "", text)
    return re.sub(r"\[default: \((.*)\)\]", r"[default: \1]", text).strip()


def _section(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return "Arguments"
    return "Network" if parameter.name in NETWORK else "How to run it" if parameter.name in RUNNING else "Options"


def short(names: str, *, on: bool = False) -> str:
    """Names of an option with a word for its value in place of a Python type.

    Args:
        names: as typer writes them.
        on: whether a flag is on by default, so that its negative is what a user needs.

    Example:
        >>> short("-o, --output <path>"), short("--crop / --no-crop"), short("--frame <int>"), short("files... <list>")
        ('-o, --output PATH', '--crop', '--frame N', 'files...')
    """
    text = names if on and " / " in names else names.split(" / ")[0]
    if not text.startswith("-"):
        return re.split(r"\s[<{]", text)[0]
    return re.sub(r" <(.*)>$", lambda found: f" {_word(found[1])}", text)


def _word(kind: str) -> str:
    kind = re.sub(r"^list\[(.*)\]$", r"\1", kind)
    kind = re.sub(r" range$|^(int|float)\b.*", lambda found: found[1] or "", kind)
    known = {"path": "PATH", "Path": "PATH", "int": "N", "integer": "N", "float": "X", "str": "TEXT", "text": "TEXT"}
    if "|" in kind:
        return kind if len(kind) < 16 else "KIND"
    return known.get(kind, "TEXT")
