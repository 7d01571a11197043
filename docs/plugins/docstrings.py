"""Docstrings for the site: Sphinx's roles become links, ``::`` opens code, and an example is run as one."""

from __future__ import annotations

import re
from typing import Any

from griffe import Extension

ROLE = re.compile(r":(?:func|class|meth|mod|data):`(~?)([\w.]+)`")
LITERAL = re.compile(r"^[ ]*::\n(?=\s*\n)", re.M)
EXAMPLE = re.compile(r"^([ ]*)Example:$", re.M)  # griffe reads a session of Python under "Examples" alone


class Docstrings(Extension):
    """Rewrite each docstring before it is parsed."""

    def on_instance(self, *, obj: Any, **_: Any) -> None:
        """Rewrite the docstring of one object."""
        if not obj.is_alias and obj.docstring is not None:
            obj.docstring.value = rewritten(obj.docstring.value)


def rewritten(text: str) -> str:
    """A docstring as Markdown.

    Args:
        text: as it stands in the source.
    """
    return EXAMPLE.sub(r"\1Examples:", LITERAL.sub("", ROLE.sub(_link, text)))


def _link(match: re.Match[str]) -> str:
    """A link where the name is in the site, else the name."""
    short, name = match.groups()
    shown = name.rsplit(".", 1)[-1] if short else name
    if "." not in name:
        return f"`{shown}`"
    return f'<autoref identifier="{name}" optional><code>{shown}</code></autoref>'
