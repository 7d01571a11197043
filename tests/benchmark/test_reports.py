"""A benchmark of tiny networks, from its networks to its files; nothing here depends on how fast anything is."""

from __future__ import annotations

import csv
import json

import pytest

from monai_lesion.benchmark.pictures import simulated_pictures
from monai_lesion.benchmark.reports import run_benchmark
from monai_lesion.benchmark.settings import Setting
from monai_lesion.errors import InputError
from tests.benchmark.rows import TINY


def test_rejects_a_folder_that_holds_something(tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="must be a new or empty folder"):
        run_benchmark(
            [TINY], [Setting("torch", "fp32")], simulated_pictures(1, 32), repeats=1, threads=1, output=tmp_path
        )


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """One turn of plain PyTorch, one that works and one that fails."""
    folder = tmp_path_factory.mktemp("benchmark") / "out"
    ways = [Setting("torch", "fp32"), Setting("onnx", "bf16")]
    text, failed = run_benchmark([TINY], ways, simulated_pictures(1, 32), repeats=1, threads=1, output=folder)
    return folder, text, failed


@pytest.mark.slow
def test_a_failing_row_is_told_and_the_others_go_on(written) -> None:
    folder, text, failed = written
    assert failed == 1
    assert "| onnx-bf16 | failed |" in text
    with (folder / "rows.csv").open(newline="") as file:
        plain, torch, other = csv.DictReader(file)
    assert other["error"]
    assert not other["median_ms"]
    assert float(plain["times_faster"]) == 1
    assert float(torch["mask_dice_with_plain"]) > 0.99
    assert min(float(plain["peak_memory_mb"]), float(torch["peak_memory_mb"])) > 50


@pytest.mark.slow
def test_the_machine_is_described(written) -> None:
    machine = json.loads((written[0] / "machine.json").read_text())
    assert machine["threads"] == 1
    assert sorted(path.name for path in written[0].iterdir()) == ["machine.json", "plot.png", "rows.csv", "table.md"]
