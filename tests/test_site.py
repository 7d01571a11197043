"""What the site makes of docstrings and notebooks, and that it asks no other host for anything."""

from __future__ import annotations

import importlib.util
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def plugin(name):
    """A file of docs/plugins, which is no package."""
    specification = importlib.util.spec_from_file_location(name, ROOT / "docs" / "plugins" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see :func:`~a.b.c`", 'see <autoref identifier="a.b.c" optional><code>c</code></autoref>'),
        ("see :class:`a.B`", 'see <autoref identifier="a.B" optional><code>a.B</code></autoref>'),
        ("see :meth:`read`", "see `read`"),
        ("One line.\n\n::\n\n    -- a -- b --\n", "One line.\n\n\n    -- a -- b --\n"),
        ("Example:\n    >>> 1\n    1", "Examples:\n    >>> 1\n    1"),
        ("a::b and ``Example:`` stay", "a::b and ``Example:`` stay"),
    ],
)
def test_docstrings_become_markdown(text, shown):
    pytest.importorskip("griffe", reason="mkdocstrings brings it")
    assert plugin("docstrings").rewritten(text) == shown


def test_no_role_is_left_in_a_docstring_of_the_package():
    pytest.importorskip("griffe", reason="mkdocstrings brings it")
    rewritten = plugin("docstrings").rewritten
    for file in (ROOT / "monai_lesion").rglob("*.py"):
        assert re.findall(r":[a-z]+:`", rewritten(file.read_text(encoding="utf-8"))) == [], file


def test_a_notebook_becomes_its_cells_and_their_outputs(tmp_path):
    outputs = [
        {"output_type": "stream", "text": ["one\n", "two\n"]},
        {"output_type": "display_data", "data": {"image/png": "AAAA", "text/plain": "figure"}},
        {"output_type": "execute_result", "data": {"text/html": "<p>\n3</p>", "text/plain": "3"}},
    ]
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "text"]},
        {"cell_type": "code", "source": ["print(1)"], "outputs": outputs},
    ]
    (tmp_path / "a.ipynb").write_text(json.dumps({"cells": cells}))
    text, code, printed, picture, html = plugin("notebooks").as_markdown(tmp_path / "a.ipynb").split("\n\n")
    assert (text, code, printed) == ("# Title\ntext", "```python\nprint(1)\n```", "```text\none\ntwo\n```")
    assert 'src="data:image/png;base64,AAAA"' in picture
    assert html == '<div class="output"><p> 3</p></div>'


def test_the_site_asks_no_other_host():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "http" not in text
    assert "font: false" in text
    assert "iframe-worker" in text  # else the plugin offline fetches it
