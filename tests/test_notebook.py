"""The notebook of the documentation runs from its first cell to its last, in a folder of its own."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parents[1] / "docs" / "tutorial" / "first-hour.ipynb"


def texts(notebook):
    """What each cell prints, whatever its figures, which differ between processors."""
    printed = (
        "".join(output["text"] for output in cell.get("outputs", []) if output["output_type"] == "stream")
        for cell in notebook.cells
    )
    return [re.sub(r"[+-]?[\d.]+", "0", text) for text in printed]


@pytest.mark.slow
def test_the_first_hour_runs_and_says_what_the_page_shows(tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="nbclient is a development package")
    nbformat = pytest.importorskip("nbformat", reason="nbclient brings it")
    pytest.importorskip("pandas", reason="the notebook shows a table by pandas")
    shown = nbformat.read(NOTEBOOK, as_version=4)
    where = {"metadata": {"path": str(tmp_path)}}
    run = nbclient.NotebookClient(nbformat.read(NOTEBOOK, as_version=4), timeout=300, resources=where)
    run.execute()
    assert texts(run.nb) == texts(shown)
    assert (tmp_path / "sizes.csv").is_file()
