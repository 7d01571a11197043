"""The queue on disk: what a kill between any two steps leaves is set right at the next start."""

from __future__ import annotations

import errno
import json
import os
import shutil

import pytest

pytest.importorskip("pydantic", reason="the service needs pydantic")

from monai_lesion.errors import InputError
from monai_lesion.pacs.queues import Queue, sender_of
from monai_lesion.service import stores
from monai_lesion.service.registers import DONE, FAILED, STORED, TRYING, WAITING
from monai_lesion.service.stores import Store, record_of
from tests.pacs import planted


@pytest.fixture
def store(tmp_path):
    found = Store(tmp_path / "queue")
    yield found
    found.release()


def result(store, uid=1):
    """A file like a result, in the store's folder."""
    return planted(store.folder / "made", uid, Modality="OT")


def entered(store, box, uid=1):
    file = result(store, uid)
    record = record_of(file, box.name)
    assert box.enter(record, file)
    return box.outgoing / f"{record.uid}.dcm"


def again(store):
    """The same folder after a kill."""
    store.release()
    return Store(store.folder)


def test_a_result_goes_through_its_states(store):
    box = store.box("archive")
    box.commits = True
    file = entered(store, box)
    assert not box.tried(file)
    assert box.attempt(file) is False
    assert box.attempt(file) is True
    box.confirm(file)
    assert (box.results(), [each.name for each in box.stored.iterdir()]) == ([], [file.name])
    assert box.committed(file.stem)
    assert not box.committed(file.stem)
    assert not any(box.stored.iterdir())
    assert not box.enter(record_of(result(store), "archive"), result(store))  # it was sent


def test_one_copy_for_each_destination(store):
    for name in ("a", "b"):
        entered(store, store.box(name))
    assert [len(box.results()) for box in store.boxes.values()] == [1, 1]
    store.boxes["a"].attempt(file := store.boxes["a"].results()[0])
    store.boxes["a"].confirm(file)
    assert [len(box.results()) for box in store.boxes.values()] == [0, 1]


@pytest.mark.parametrize(
    ("state", "place", "after", "folder"),
    [
        (WAITING, "outgoing", WAITING, "outgoing"),
        (TRYING, "outgoing", TRYING, "outgoing"),
        (TRYING, "stored", STORED, "stored"),  # killed in confirm, between the two steps
        (STORED, "outgoing", STORED, "stored"),
        (DONE, "outgoing", DONE, None),
        (DONE, "stored", DONE, None),
        (WAITING, "stored", WAITING, "outgoing"),  # killed in refused
        (FAILED, "outgoing", WAITING, "outgoing"),  # moved back by hand
        ("", "outgoing", WAITING, "outgoing"),  # the register was lost
        ("", "stored", STORED, "stored"),
    ],
)
def test_what_a_kill_leaves_is_set_right(store, state, place, after, folder):
    box = store.box("archive")
    file = entered(store, box)
    if state:
        store.register.set(file.stem, "archive", state)
    else:
        store.register._connection.execute("DELETE FROM results")
    target = getattr(box, place) / file.name
    os.replace(file, target)
    store = again(store)
    box = store.box("archive")
    assert store.register.state(file.stem, "archive") == after
    found = [path.parent.name for path in (store.folder / "to").rglob("*.dcm")]
    assert found == ([folder] if folder else [])
    store.release()


def test_a_result_that_the_archive_does_not_keep_is_sent_three_times_more(store):
    box = store.box("archive")
    box.commits = True
    file = entered(store, box)
    for _ in range(3):
        box.attempt(file)
        box.confirm(file)
        assert box.refused(file.stem) == WAITING
        assert box.results() == [file]
    box.attempt(file)
    box.confirm(file)
    assert box.refused(file.stem) == FAILED
    assert box.failed_results() == 1
    assert box.refused(file.stem) == ""


def test_after_a_lost_register_results_count_as_tried(store):
    file = entered(store, store.box("archive"))
    store.release()
    for each in store.folder.glob("register.sqlite*"):
        each.unlink()
    store = Store(store.folder)
    assert store.box("archive").attempt(file) is True
    store.release()


def test_a_full_disk_takes_no_image_and_leaves_nothing(store, monkeypatch):
    store.release()
    store = Store(store.folder, least_free=1000)
    usage = shutil.disk_usage(store.folder)
    job = store.open("SCANNER 1")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1500))
    with pytest.raises(OSError, match="would be left") as caught:
        store.receive(job, "1.2", b"x" * 600)
    assert caught.value.errno == errno.ENOSPC
    store.receive(job, "1.2", b"x" * 400)
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
    with pytest.raises(OSError, match="full"):
        store.receive(job, "1.3", b"x")
    assert len(list((store.incoming / job).iterdir())) == 1
    assert sender_of(job) == "SCANNER 1"
    store.release()


def test_a_queue_of_listen_and_one_of_another_layout_are_refused(tmp_path):
    Queue(tmp_path / "old").release()
    with pytest.raises(InputError, match=r"got one of `monai-lesion listen`.*--migrate"):
        Store(tmp_path / "old")
    Store(tmp_path / "new").release()
    (tmp_path / "new" / stores.LAYOUT_FILE).write_text(json.dumps({"layout": 99}))
    with pytest.raises(InputError, match=r"must be a queue of layout 1, got 99\. Run the version that made it"):
        Store(tmp_path / "new")


def test_two_services_do_not_share_a_queue(store):
    with pytest.raises(InputError, match="must be used by one listener at a time"):
        Store(store.folder)


def test_results_for_a_destination_that_is_gone_are_named(store):
    entered(store, store.box("old"))
    assert list(store.abandoned(["new"])) == ["old"]
    assert list(store.abandoned(["old"])) == []
