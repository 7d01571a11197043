"""Show a notebook in a page: the line ``{{ notebook NAME.ipynb }}`` becomes its cells and their outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

CALL = re.compile(r"^\{\{ notebook (\S+\.ipynb) \}\}$", re.M)


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Put in the notebooks; called by MkDocs."""
    folder = Path(page.file.abs_src_path).parent
    return CALL.sub(lambda match: as_markdown(folder / match[1]), markdown)


def as_markdown(file: Path) -> str:
    """The cells of a notebook and their outputs.

    Args:
        file: the notebook, executed.
    """
    cells = json.loads(file.read_text(encoding="utf-8"))["cells"]
    return "\n\n".join(part for cell in cells for part in _parts(cell))


def _parts(cell: dict[str, Any]) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    return [f"```python\n{source}\n```", *map(_output, cell["outputs"])]


def _output(output: dict[str, Any]) -> str:
    data = output.get("data", {"text/plain": output.get("text", "")})
    for kind in ("text/html", "image/png", "text/plain"):
        if kind in data:
            content = "".join(data[kind]).strip()
            if kind == "text/html":
                return f'<div class="output">{content}</div>'.replace("\n", " ")
            if kind == "image/png":
                picture = f"data:image/png;base64,{content}"
                return f'<div class="output"><img alt="The plot that the cell draws" src="{picture}"></div>'
            return f"```text\n{content}\n```"
    return ""
