"""A run is whole, exact and resumable, whoever is killed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from monai_lesion.archive import runs
from monai_lesion.archive.parts import part_file
from monai_lesion.archive.runs import Choices
from monai_lesion.errors import InputError
from tests.archive.tables import run, table
from tests.segmentation.pictures import red

ROOT = Path(__file__).parents[2]


def test_every_frame_has_one_row_and_bad_files_are_counted(pictures, model, tmp_path):
    outcome = run(pictures, tmp_path / "out", model)
    rows = table(tmp_path / "out")
    assert (outcome.rows, outcome.errors, outcome.new) == (9, 1, 9)
    assert outcome.decisions == {"lesion": 7, "nothing found": 1}
    assert [(Path(row["path"]).name, row["frame"]) for row in rows] == [
        *((f"{number}.png", None) for number in range(4)),
        ("4_black.png", None),
        ("5_bad.png", None),
        *(("6.dcm", number) for number in range(3)),
    ]
    assert len({row["row"] for row in rows}) == 9
    assert "9 rows, 1 of them errors: 7 lesion, 1 nothing found; 9 now" in str(outcome)


def test_the_same_command_adds_nothing(pictures, model, tmp_path):
    run(pictures, tmp_path / "out", model, part_files=2)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "rows").rglob("*.parquet")}
    outcome = run(pictures, tmp_path / "out", model, part_files=2)
    assert (outcome.rows, outcome.new) == (9, 0)
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out" / "rows").rglob("*.parquet")} == before


def test_a_run_that_stopped_goes_on_with_the_plan_it_made(pictures, model, tmp_path, monkeypatch):
    run(pictures, tmp_path / "whole", model, part_files=2)
    here, done = runs._here, []

    def interrupted(job, parts):
        for result in here(job, parts):
            done.append(result)
            yield result
            if len(done) == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(runs, "_here", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run(pictures, tmp_path / "out", model, part_files=2)
    monkeypatch.setattr(runs, "_here", here)
    outcome = run(pictures, tmp_path / "out", model, part_files=2)
    assert outcome.new == outcome.rows - 4 == 5
    assert table(tmp_path / "out") == table(tmp_path / "whole")


@pytest.mark.parametrize(
    ("choices", "new"), [({}, ["00_new.png", "9_new.png"]), ({"limit": 8}, ["00_new.png"]), ({"limit": 7}, [])]
)
def test_files_that_came_since_are_added_behind_what_is_there(pictures, model, tmp_path, choices, new):
    run(pictures, tmp_path / "out", model, part_files=2, **choices)
    before = table(tmp_path / "out", clock=True)
    for name in ("00_new.png", "9_new.png"):
        (pictures / name).write_bytes((pictures / "0.png").read_bytes())
    outcome = run(pictures, tmp_path / "out", model, part_files=2, **choices)
    after = table(tmp_path / "out", clock=True)
    assert after[: len(before)] == before
    assert [Path(row["path"]).name for row in after[len(before) :]] == new
    assert (outcome.rows, outcome.new) == (9 + len(new), len(new))
    assert run(pictures, tmp_path / "out", model, part_files=2, **choices).new == 0


def test_another_network_version_or_stride_is_refused_and_what_is_finished_stays(pictures, model, tmp_path):
    run(pictures, tmp_path / "out", model)
    before = table(tmp_path / "out", clock=True)
    with pytest.raises(InputError, match="stride must be 1, as when the run began, got 2"):
        run(pictures, tmp_path / "out", model, stride=2)
    with pytest.raises(InputError, match=r"name must be .*, as when the run began"):
        run(pictures, tmp_path / "out", "pocket")
    file = tmp_path / "out" / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "schema": 2}))
    with pytest.raises(InputError, match="must be of results with schema 1, got 2"):
        run(pictures, tmp_path / "out", model)
    assert table(tmp_path / "out", clock=True) == before


def test_a_damaged_part_stops_the_run_and_deleted_it_is_made_again(pictures, model, tmp_path):
    run(pictures, tmp_path / "out", model, part_files=3)
    before = table(tmp_path / "out")
    file = part_file(tmp_path / "out", 1)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"part-000001.parquet: must have the \d+ bytes that the manifest says"):
        run(pictures, tmp_path / "out", model, part_files=3)
    file.unlink()
    assert run(pictures, tmp_path / "out", model, part_files=3).new == 3
    assert table(tmp_path / "out") == before


def test_an_archive_that_closes_stops_the_run_and_says_how_to_go_on(pictures, model, tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "_here", lambda *_: iter([("", "http://a: must be reachable")]))
    with pytest.raises(InputError, match=r"http://a: must be reachable\nWhat is finished stays \(0 of 1 parts\)"):
        run(pictures, tmp_path / "out", model)


@pytest.mark.slow
def test_two_runs_do_not_share_a_folder(pictures, model, tmp_path):
    with runs._locked(tmp_path / "out"), pytest.raises(InputError, match="must have one run at a time"):
        run(pictures, tmp_path / "out", model)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"stride": 0}, "--stride: must be at least 1"), ({"sample": 0.0}, "--sample"), ({"limit": 0}, "--limit")],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Choices(("a",), **options)


def test_a_ray_that_does_not_answer_is_told_in_seconds_and_nothing_is_made(pictures, model, tmp_path):
    start = time.monotonic()
    with pytest.raises(InputError, match=r"--address 127.0.0.1:1: must answer"):
        run(pictures, tmp_path / "out", model, workers=None, address="127.0.0.1:1")
    assert time.monotonic() - start < 60
    assert not (tmp_path / "out").exists()


def test_a_bad_source_leaves_no_plan(model, tmp_path):
    with pytest.raises(InputError, match="must be an existing source"):
        run(tmp_path / "none", tmp_path / "out", model)
    assert not (tmp_path / "out" / "plan").exists()
    (tmp_path / "out" / "run.json").unlink()


def command(output, model, pictures, workers):
    words = [sys.executable, "-m", "monai_lesion", "archive", str(pictures), "--output", str(output)]
    return [*words, "--bundle", str(model), "--workers", str(workers), "--part-files", "4"]


def start(words):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment, text=True)


def wait_for(condition, process):
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)


@pytest.fixture
def many(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    Image.fromarray(red(480, 640)[0]).save(folder / "0000.png")
    for number in range(1, 120):
        os.link(folder / "0000.png", folder / f"{number:04d}.png")
    (folder / "0050.png").unlink()
    (folder / "0050.png").write_bytes(b"bad")
    return folder


def finished(output):
    return len(list((output / "rows").glob("*/part-*.parquet")))


@pytest.mark.slow
def test_a_killed_run_resumes_to_the_same_table(many, model, tmp_path):
    run(many, tmp_path / "whole", model, part_files=4)
    for kills in (1, 8, 20):
        process = start(command(tmp_path / "out", model, many, 0))
        wait_for(lambda kills=kills: finished(tmp_path / "out") >= kills, process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
    before = {file: file.read_bytes() for file in (tmp_path / "out" / "rows").rglob("part-*.parquet")}
    last = start(command(tmp_path / "out", model, many, 0))
    told, _ = last.communicate()
    assert last.returncode == 1, told
    assert "error: archive: 1 of 120 rows are errors" in told
    assert {file: file.read_bytes() for file in before} == before
    assert table(tmp_path / "out") == table(tmp_path / "whole")


@pytest.mark.slow
def test_on_ray_a_killed_worker_and_a_killed_driver_lose_and_double_nothing(many, model, tmp_path):
    pytest.importorskip("ray.data", reason="Ray Data is in the extra archive")
    run(many, tmp_path / "whole", model, part_files=4)
    output = tmp_path / "out"
    process = start(command(output, model, many, 2))
    wait_for(lambda: finished(output) >= 2, process)
    victims = workers_of(process.pid)
    assert victims, "no worker was found"
    os.kill(victims[0], signal.SIGKILL)
    at = finished(output)
    wait_for(lambda: finished(output) >= min(at + 4, 30), process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    last = start(command(output, model, many, 2))
    told, _ = last.communicate()
    assert last.returncode == 1, told
    assert "error: archive: 1 of 120 rows are errors" in told
    assert "Traceback" not in told
    assert table(output) == table(tmp_path / "whole")


@pytest.mark.slow
def test_two_machines_of_a_cluster_make_the_table_that_one_process_makes(many, model, tmp_path, monkeypatch):
    pytest.importorskip("ray.data", reason="Ray Data is in the extra archive")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    run(many, tmp_path / "whole", model, part_files=4)
    settings = {"num_cpus": 1, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=settings)
    try:
        settings.pop("include_dashboard")
        cluster.add_node(**settings)
        cluster.wait_for_nodes()
        words = [*command(tmp_path / "out", model, many, 2), "--address", cluster.address]  # one core each: one a node
        process = start(words)
        wait_for(lambda: len({parent_of(each) for each in workers_of(os.getpid())}) == 2, process)  # a raylet a node
        told, _ = process.communicate(timeout=600)
    finally:
        cluster.shutdown()
    assert process.returncode == 1, told
    assert "error: archive: 1 of 120 rows are errors" in told
    assert table(tmp_path / "out") == table(tmp_path / "whole")


def parent_of(process):
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])


def workers_of(parent):
    """Ray's processes below a process that have our class open."""
    children = {}
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text()
        except OSError:
            continue
        children.setdefault(int(re.search(r"^PPid:\t(\d+)", text, re.M)[1]), []).append(int(status.parent.name))
    found, waiting = [], [parent]
    while waiting:
        below = children.get(waiting.pop(), [])
        waiting += below
        found += below
    return [each for each in found if b"MapWorker" in Path(f"/proc/{each}/cmdline").read_bytes()]
