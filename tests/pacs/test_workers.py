"""Workers: woken, tried again after longer pauses, stopped; a network that is still being opened keeps nobody out."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from itertools import pairwise

import pytest

from monai_lesion.pacs import workers
from monai_lesion.pacs.queues import Queue
from monai_lesion.pacs.workers import Segmenting, StoppedError, Worker
from tests.pacs import planted


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def test_work_is_done_at_the_start_and_when_woken():
    done = []
    worker = Worker("testing", lambda: done.append(1) or 0, 60)
    worker.start()
    assert until(lambda: len(done) == 1)
    worker.wake()
    assert until(lambda: len(done) == 2)
    worker.ask_to_stop()
    assert worker.join(20)


def test_what_is_left_is_tried_again_after_longer_pauses(monkeypatch):
    monkeypatch.setattr(workers, "LONGEST_PAUSE", 0.08)
    times = []
    worker = Worker("testing", lambda: times.append(time.monotonic()) or 1, 0.02)
    worker.start()
    assert until(lambda: len(times) == 5)
    worker.ask_to_stop()
    assert worker.join(20)
    pauses = [later - earlier for earlier, later in pairwise(times)]
    assert all(pause >= least for pause, least in zip(pauses, [0.02, 0.04, 0.08, 0.08], strict=False))


def test_error_is_logged_by_its_kind_and_tried_again(caplog):
    def work():
        if tried.is_set():
            done.set()
            return 0
        tried.set()
        raise RuntimeError("Planted^Petra")

    tried, done = threading.Event(), threading.Event()
    worker = Worker("testing", work, 0.01)
    worker.start()
    assert done.wait(20)
    worker.ask_to_stop()
    assert worker.join(20)
    assert "testing: the queue could not be processed (RuntimeError)" in caplog.text
    assert "Planted" not in caplog.text


def test_work_in_hand_is_waited_for_so_long_and_no_longer():
    free = threading.Event()
    worker = Worker("testing", lambda: free.wait(60) and 0, 60)
    worker.start()
    worker.ask_to_stop()
    assert not worker.join(0.05)
    free.set()
    assert worker.join(20)
    with pytest.raises(StoppedError):
        worker.go_on()


@pytest.fixture
def waiting(tmp_path):
    queue = Queue(tmp_path / "queue")
    job = queue.open()
    queue.receive(job, "1.2.3", planted(tmp_path).read_bytes())
    queue.close(job)
    yield queue
    queue.release()


def test_images_wait_for_a_network_that_is_being_opened(waiting):
    steps, promise = iter(range(3)), Future()
    segmenting = Segmenting(waiting, promise, {}, lambda: None)

    def go_on():
        if next(steps, None) is None:
            raise StoppedError

    segmenting.go_on = go_on
    with pytest.raises(StoppedError):
        segmenting.all()
    assert len(list(waiting.images())) == 1


def test_images_stay_when_the_network_cannot_be_opened(waiting):
    promise = Future()
    promise.set_exception(ValueError("no such bundle"))
    with pytest.raises(StoppedError):
        Segmenting(waiting, promise, {}, lambda: None).all()
    assert len(list(waiting.images())) == 1


def test_image_that_cannot_be_segmented_is_set_aside(waiting):
    def failing(file, *, frame=None):
        raise RuntimeError

    promise = Future()
    promise.set_result(failing)
    assert Segmenting(waiting, promise, {}, lambda: None).all() == 0
    assert list(waiting.images()) == []
    assert len(list(waiting.failed.iterdir())) == 1
