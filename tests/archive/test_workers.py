from __future__ import annotations

import json
import logging

import pytest

from monai_lesion.archive import workers
from monai_lesion.archive.jobs import Job, Network
from monai_lesion.archive.listings import list_items
from monai_lesion.archive.plans import write_plan
from monai_lesion.archive.workers import DEATHS, Mark, PartWorker
from monai_lesion.errors import InputError
from tests.archive.tables import table


@pytest.fixture
def job(model, pictures, tmp_path):
    output = tmp_path / "out"
    write_plan(output, list_items([str(pictures)]), part_files=4)
    network = Network(str(model))
    return Job(str(output), "run", network, weights_id=network.open().algorithm.weights, token="t")


def test_a_worker_does_a_part_once_and_leaves_no_mark(job, tmp_path):
    worker = PartWorker(job)
    first, again = worker({"part": [1, 0]}), worker({"part": [0]})
    assert again["part"] == first["part"][1:]
    assert first["stopped"] == ["", ""]
    assert json.loads(first["part"][0])["errors"] == 1
    assert len(table(tmp_path / "out")) == 9
    assert list((tmp_path / "out" / ".work").iterdir()) == []


def test_the_log_says_nothing_of_single_pictures_and_is_as_before_afterwards(job, caplog):
    level = logging.getLogger("monai_lesion").level
    PartWorker(job).do(0)
    assert logging.getLogger("monai_lesion").level == level
    assert [each for each in caplog.records if each.name.startswith("monai_lesion") and each.levelno > 20] == []


def test_a_worker_with_other_weights_or_without_a_plan_does_not_begin(job, tmp_path):
    with pytest.raises(InputError, match="must hold the weights that the run began with"):
        PartWorker(Job(**{**vars(job), "weights_id": "other"}))
    with pytest.raises(InputError, match="must hold the plan of the run"):
        PartWorker(Job(**{**vars(job), "output": str(tmp_path)}))


def test_a_full_disk_stops_the_run_and_is_no_error_of_a_picture(job, tmp_path, monkeypatch):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(workers, "write_part", full)
    assert PartWorker(job)({"part": [0]}) == {"part": [""], "stopped": ["[Errno 28] No space left on device"]}


def test_an_item_that_ends_its_process_again_and_again_is_passed_over(job, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def segment(self, item):
        if item.path.endswith("1.png"):
            raise Killed
        yield {"path": item.path}

    monkeypatch.setattr(workers.RowMaker, "__call__", segment)
    monkeypatch.setattr(Mark, "__exit__", lambda *_: None)  # as after kill -9
    for _ in range(DEATHS):
        with pytest.raises(Killed):
            PartWorker(job).do(0)
    assert PartWorker(job).do(0).errors == 1
    rows = table(tmp_path / "out")
    assert [row["error_kind"] for row in rows] == [None, "must not end the process that reads it", None, None]
    assert rows[1]["path"].endswith("1.png")


def test_deaths_of_another_start_do_not_count(tmp_path):
    for token, deaths in (("a", 0), ("a", 1), ("b", 0), ("b", 1)):
        mark = Mark(tmp_path / "0", token)
        mark.__enter__()
        assert [mark.begin(place) for place in range(3)] == [0, 0, deaths]
    (tmp_path / "0").write_bytes(b"b 2")
    assert Mark(tmp_path / "0", "b").__enter__().begin(2) == 0
