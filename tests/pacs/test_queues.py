"""The queue after a kill at every step: nothing lost, nothing sent twice."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monai_lesion.errors import InputError
from monai_lesion.pacs.queues import Queue


@pytest.fixture
def queue(tmp_path):
    with_lock = Queue(tmp_path / "queue")
    yield with_lock
    with_lock.release()


def killed(queue):
    """Another process on the same folder; the lock of a killed one is gone."""
    queue.release()
    return Queue(queue.folder)


@pytest.fixture
def steps(monkeypatch):
    """What is flushed to the disk, with the bytes that it then had, and what is renamed, in this order."""
    noted, flush, rename = [], os.fsync, os.replace

    def fsync(handle):
        flush(handle)
        state = os.fstat(handle)
        noted.append(("flush", state.st_ino, state.st_size))

    def replace(source, target):
        rename(source, target)
        noted.append(("rename", Path(target)))

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    return noted


def flushed(path):
    state = path.stat()
    return "flush", state.st_ino, state.st_size


def test_image_is_on_the_disk_when_it_is_acknowledged(queue, steps):
    """A power cut after it finds the content, its name and its job: each is flushed, the content before it is named."""
    job = queue.open()
    queue.receive(job, "1.2.3", b"image")
    (image,) = (queue.incoming / job).iterdir()
    expected = [flushed(image), ("rename", image)]
    if os.name == "posix":  # elsewhere a folder cannot be flushed
        expected += [flushed(image.parent), flushed(queue.incoming)]
    assert image.stat().st_size == 5
    assert steps == expected


def test_result_is_on_the_disk_when_its_image_may_go(queue, steps, tmp_path):
    file = tmp_path / "object.dcm"
    file.write_bytes(b"object")
    queue.offer("1.2.3", file)
    (result,) = queue.results()
    folders = [flushed(queue.outgoing)] if os.name == "posix" else []
    assert steps == [flushed(result), ("rename", result), *folders]


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a folder cannot be flushed")
def test_sending_is_on_the_disk_before_and_after_it(queue, steps, tmp_path):
    file = tmp_path / "object.dcm"
    file.write_bytes(b"object")
    queue.offer("1.2.3", file)
    steps.clear()
    queue.attempt(queue.results()[0])
    assert steps == [flushed(queue.sent)]
    queue.confirm(queue.results()[0])
    assert steps[1:] == [("rename", queue.sent / "1.2.3"), flushed(queue.sent)]


def test_image_received_before_a_kill_is_segmented_after_it(queue):
    job = queue.open()
    queue.receive(job, "1.2.3", b"image")
    assert list(queue.images()) == []  # its connection is open
    again = killed(queue)
    assert [image.read_bytes() for image in again.images()] == [b"image"]
    again.release()


def test_half_received_image_is_dropped(queue):
    job = queue.open()
    queue.receive(job, "1.2.3", b"image")
    (queue.incoming / job / ".partial-x.dcm").write_bytes(b"im")
    again = killed(queue)
    assert len(list(again.images())) == 1
    assert not list(again.folder.rglob(".partial-*"))
    again.release()


def test_what_a_killed_process_was_making_of_an_image_is_dropped_and_the_image_waits(queue):
    job = queue.open()
    queue.receive(job, "1.2.3", b"image")
    queue.close(job)
    (queue.folder / ".partial-results").mkdir()
    (queue.folder / ".partial-results" / "seg.dcm").write_bytes(b"half")
    again = killed(queue)
    assert not (again.folder / ".partial-results").exists()
    assert [image.read_bytes() for image in again.images()] == [b"image"]
    again.release()


def test_same_image_again_replaces_the_first(queue):
    job = queue.open()
    for content in (b"first", b"second"):
        queue.receive(job, "1.2.3", content)
    queue.close(job)
    assert [image.read_bytes() for image in queue.images()] == [b"second"]


def test_connection_that_delivered_nothing_leaves_no_job(queue):
    queue.close(queue.open())
    assert not list(queue.incoming.iterdir())
    assert not list(queue.waiting.iterdir())


def test_aborted_image_is_dropped_when_its_connection_closes(queue):
    job = queue.open()
    queue.receive(job, "1.2.3", b"image")
    (queue.incoming / job / ".partial-x.dcm").write_bytes(b"im")
    queue.close(job)
    assert [file.suffix for file in (queue.waiting / job).iterdir()] == [".dcm"]
    assert len(list((queue.waiting / job).iterdir())) == 1


def test_file_given_up_is_set_aside_and_neither_segmented_nor_sent(queue, tmp_path):
    job = queue.open()
    queue.receive(job, "1.2.3", b"image")
    queue.close(job)
    (image,) = queue.images()
    queue.give_up(image)
    (tmp_path / "object.dcm").write_bytes(b"object")
    queue.offer("1.2.4", tmp_path / "object.dcm")
    queue.give_up(queue.results()[0])
    assert {file.name: file.read_bytes() for file in queue.failed.iterdir()} == {
        image.name: b"image",
        "1.2.4.dcm": b"object",
    }
    assert list(queue.images()) == queue.results() == []


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_only_the_owner_sees_what_lies_in_the_folders(tmp_path):
    queue = Queue(tmp_path / "new" / "queue")
    job = queue.open()
    queue.receive(job, "1.2.3", b"image")
    folders = [queue.folder, *(each for each in queue.folder.rglob("*") if each.is_dir())]
    assert {each.name for each in folders} == {"queue", "incoming", "waiting", "outgoing", "sent", "failed", job}
    assert {each.stat().st_mode & 0o777 for each in folders} == {0o700}
    queue.release()


def test_earlier_jobs_come_first_and_empty_ones_go(queue):
    for uid in ("1.9", "1.1", "1.5"):
        job = queue.open()
        queue.receive(job, uid, uid.encode())
        queue.close(job)
    order = []
    for image in queue.images():
        order.append(image.read_bytes())
        queue.finish(image)
    assert order == [b"1.9", b"1.1", b"1.5"]
    assert not list(queue.waiting.iterdir())


def test_what_was_sent_is_not_offered_again(queue, tmp_path):
    for offered in (True, False):
        file = tmp_path / "object.dcm"
        file.write_bytes(b"object")
        assert queue.offer("1.2.3", file) is offered
        assert not file.exists()
        for result in queue.results():
            queue.attempt(result)
            queue.confirm(result)
    assert queue.results() == []


def test_kill_while_sending_is_remembered(queue, tmp_path):
    file = tmp_path / "object.dcm"
    file.write_bytes(b"object")
    queue.offer("1.2.3", file)
    assert queue.attempt(queue.results()[0]) is False
    again = killed(queue)
    assert again.attempt(again.results()[0]) is True
    again.release()


def test_kill_between_confirming_and_removing_does_not_send_again(queue, tmp_path):
    file = tmp_path / "object.dcm"
    file.write_bytes(b"object")
    queue.offer("1.2.3", file)
    result = queue.results()[0]
    queue.attempt(result)
    content = result.read_bytes()
    queue.confirm(result)
    result.write_bytes(content)  # as if the kill came before it was removed
    again = killed(queue)
    assert again.results() == []
    again.release()


def test_names_of_files_come_from_identifiers_that_cannot_leave_the_folder(queue):
    job = queue.open()
    queue.receive(job, "../../etc/passwd", b"image")
    queue.close(job)
    assert [image.parent.parent for image in queue.images()] == [queue.waiting]


def test_folder_in_use_is_refused_until_it_is_released(queue):
    with pytest.raises(InputError, match="one listener at a time, got another"):
        Queue(queue.folder)
    queue.release()
    Queue(queue.folder).release()
