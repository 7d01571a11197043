"""A benchmark of tiny networks; nothing here depends on how fast anything is."""

from __future__ import annotations

import csv
import json
import os

import numpy as np
import pytest
from typer.testing import CliRunner

from monai_lesion.benchmark import timings as runs
from monai_lesion.benchmark.entries import Costs, Entry, find_entries
from monai_lesion.benchmark.pareto import format_front, on_front
from monai_lesion.benchmark.pictures import simulated_pictures
from monai_lesion.benchmark.plots import plot_rows
from monai_lesion.benchmark.reports import run_benchmark
from monai_lesion.benchmark.rows import Row, ratio_of
from monai_lesion.benchmark.settings import PLAIN, Way, find_ways
from monai_lesion.benchmark.tables import format_rows, to_csv
from monai_lesion.benchmark.workers import Worker
from monai_lesion.commands.app import app
from monai_lesion.errors import InputError

TINY = Entry("Light U-net", 0.0625)
COSTS = Costs(1_000_000, 80_000_000, 40_000_000)


def row(way=PLAIN, times=((10.0, 20.0, 30.0), (40.0, 50.0, 60.0)), **more):
    return Row(TINY, way, COSTS, times=times, **more)


def test_statistics_are_those_of_the_images() -> None:
    measured = row()
    assert measured.milliseconds == 35
    assert measured.slow_milliseconds == pytest.approx(57.5)  # 50 + 0.75 * 10: place 4.75 of 0 to 5
    assert measured.images_per_second == pytest.approx(1000 * 6 / 210)
    assert measured.gflops == pytest.approx(80e6 / 0.035 / 1e9)


def test_merged_networks_are_credited_with_what_they_compute() -> None:
    assert row(Way("onnx", "fp32")).flops == COSTS.merged_flops
    assert row().flops == COSTS.flops


def test_ratio_is_taken_within_turns() -> None:
    """Each turn the same ratio of 2, however busy the machine was: medians over all turns would give 1.1."""
    plain, own = [[10], [1000], [20]], [[5], [500], [10]]
    assert ratio_of(plain, own) == 2
    assert ratio_of([[10, 11, 99]], [[1, 2, 5.5]]) == 5.5


def test_share_is_of_the_best_kernel_of_the_same_limits() -> None:
    ceilings = {"fp32": {"a": 10.0, "b": 20.0}, "fp32-avx2": {"a": 1.0}}
    measured = row(times=((80.0,),))  # 80 MFLOP in 80 ms: 1 GFLOP/s
    assert runs._with_share(measured, ceilings).share == pytest.approx(0.05)
    assert runs._with_share(row(Way("torch", "bf16")), ceilings).share is None


def test_a_runtime_alone_means_all_its_precisions() -> None:
    assert [way.name for way in find_ways(["openvino"])] == ["openvino-fp32", "openvino-bf16", "openvino-int8"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--networks", "V-net"], "--networks: must be of U-net, Light U-net.*got V-net"),
        (["--runtimes", "tensorrt"], "--runtimes: must be of torch-fp32.*got tensorrt"),
        (["--runtimes", "onnx-fp32-avx2"], "ONNX Runtime cannot be limited"),
        (["--runtimes", ","], "--runtimes: must name at least one"),
        (["--widths", "0.3"], "width: must be a multiple of 1/16"),
        (["--widths", "x"], "--widths: must be numbers"),
        (["--networks", "FCN-8s", "--widths", "0.5"], "--widths: must be 1 for FCN-8s"),
        (["--networks", "@128", "--widths", "0.1875"], "leave none of --networks"),
        (["--weights", "model.pt"], "--weights: must be NAME=FILE"),
        (
            ["--networks", "@8", "--weights", "@1=model.pt"],
            "must be of networks that are measured, got Lighter U-net @1",
        ),
        (["--networks", "@8", "--weights", "@8=absent.pt"], "absent.pt: the weights must exist"),
    ],
)
def test_rejects(arguments, message) -> None:
    with pytest.raises(InputError, match=message):
        CliRunner().invoke(app, ["benchmark", *arguments], catch_exceptions=False)


def test_rejects_a_folder_that_holds_something(tmp_path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="must be a new or empty folder"):
        run_benchmark([TINY], [Way("torch", "fp32")], simulated_pictures(1, 32), repeats=1, threads=1, output=tmp_path)


def test_group_sizes_that_a_width_has_not_are_left_out() -> None:
    found = find_entries(["@8", "u-net"], [0.1875], {})
    assert [entry.name for entry in found] == ["U-net, width 0.1875"]


@pytest.mark.slow
def test_a_limited_process_has_no_avx512(tmp_path) -> None:
    """PyTorch itself says which instructions it uses."""
    name = {"network": TINY.network, "width": TINY.width, "folder": str(tmp_path)}
    pictures = simulated_pictures(1, 32).write(tmp_path)
    told = []
    with Worker("preparing", {"job": "prepare"}, {}) as preparing:
        preparing.receive()
        preparing.ask(runtime="plain", precision="fp32", pictures=str(pictures), **name)
    for way in (PLAIN, Way("torch", "fp32", avx2=True)):
        request = {"job": "row", "runtime": way.runtime, "precision": "fp32", "threads": 1}
        request |= {"pictures": str(pictures), "network": str(tmp_path / "network.pt"), "model": ""}
        with Worker(way.name, request, way.environment(1)) as worker:
            told.append(worker.receive()["instructions"])
    assert told[1] == "AVX2"
    assert told[0] in ("AVX512", "AVX2", "DEFAULT")


@pytest.mark.slow
def test_a_process_that_dies_is_told_by_its_signal() -> None:
    with Worker("row", {"job": "prepare"}, {}) as worker:
        worker.receive()
        worker.process.kill()
        with pytest.raises(InputError, match="row: must run to its end, got signal SIGKILL"):
            worker.ask(runtime="plain")


@pytest.fixture(scope="module")
def without_ceilings():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "_raise_ceilings", lambda outcome, *_: outcome.ceilings.update({"fp32": {"x": 100.0}}))
        yield


@pytest.fixture(scope="module")
def written(without_ceilings, tmp_path_factory):
    """One turn of the plain way, one that works and one that fails."""
    folder = tmp_path_factory.mktemp("benchmark") / "out"
    ways = [Way("torch", "fp32"), Way("onnx", "bf16")]
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
    assert machine["ceilings_gflops"] == {"fp32": {"x": 100.0}}
    assert sorted(path.name for path in written[0].iterdir()) == ["machine.json", "plot.png", "rows.csv", "table.md"]


@pytest.mark.slow
def test_an_interrupted_benchmark_leaves_nothing(without_ceilings, tmp_path, monkeypatch) -> None:
    started = []

    def interrupt(run, way, **_):
        started.append(run.workers[way])
        raise KeyboardInterrupt

    monkeypatch.setattr(runs._EntryRun, "_timed", interrupt)

    with pytest.raises(KeyboardInterrupt):
        run_benchmark([TINY], [], simulated_pictures(1, 32), repeats=1, threads=1, output=tmp_path / "out")
    assert os.listdir(tmp_path) == []
    assert started[0].process.poll() is not None


def test_a_plot_of_rows_that_all_failed_is_drawn(tmp_path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib comes with the study extra")
    assert plot_rows([Row(TINY, PLAIN, COSTS, error="none")], tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"


def test_the_front_is_what_nothing_beats_in_time_and_worth() -> None:
    points = [(10, 1), (20, 5), (20, 4), (30, 5), (40, 9)]
    assert on_front(points) == [True, True, False, False, True]


def test_networks_are_shown_in_their_fastest_row_and_the_front_in_bold() -> None:
    slow, fast = Entry("U-net"), Entry("Light U-net")
    rows = [
        Row(slow, PLAIN, Costs(9, 1, 1), times=((5.0,),)),  # the plain way does not count
        Row(slow, Way("onnx", "fp32"), Costs(9, 1, 1), times=((30.0,),)),
        Row(fast, Way("onnx", "fp32"), Costs(12, 1, 1), times=((20.0,),)),
        Row(fast, Way("onnx", "int8"), Costs(12, 1, 1), times=((10.0,),)),
    ]
    lines = format_front(rows).splitlines()[2:4]
    assert lines[0].startswith("| **Light U-net** | 12 | 0.00 |  | onnx-int8 | 10.0 |")
    assert lines[1].startswith("| U-net | 9 | 0.00 |  | onnx-fp32 | 30.0 |")


def test_table_and_file_have_a_line_a_row() -> None:
    rows = [row(), row(Way("onnx", "int8"), dice=0.8, dice_change=-0.001, ratio=2.0)]
    assert "-0.0010" in format_rows(rows).splitlines()[3]
    assert len(to_csv(rows).splitlines()) == 3


def test_simulated_pictures_are_as_the_networks_see_them() -> None:
    pictures = simulated_pictures(1, 32)
    assert [image.shape for image in pictures.images] == [(3, 32, 32)] * 2
    assert all(0 < label.mean() < 0.5 for label in pictures.labels)
    assert np.stack(pictures.images).max() <= 1
