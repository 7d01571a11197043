"""The plot of a benchmark."""

from __future__ import annotations

import pytest

from monai_lesion.benchmark.plots import plot_rows
from monai_lesion.benchmark.rows import Row
from monai_lesion.benchmark.settings import PLAIN
from tests.benchmark.rows import COSTS, TINY


def test_a_plot_of_rows_that_all_failed_is_drawn(tmp_path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the study extra")
    assert plot_rows([Row(TINY, PLAIN, COSTS, error="none")], tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"
