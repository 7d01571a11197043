"""The queue of `listen`, as its code of today lays it out, brought over: nothing lost, nothing sent twice."""

from __future__ import annotations

import pydicom
import pytest

pytest.importorskip("prometheus_client", reason="the service needs prometheus-client")
pytest.importorskip("highdicom", reason="the writers need highdicom")

from monai_lesion.errors import InputError
from monai_lesion.pacs.objects import make_objects
from monai_lesion.pacs.queues import Queue
from monai_lesion.service.migrations import _recorded, migrate
from monai_lesion.service.registers import DONE, TRYING, WAITING
from monai_lesion.service.stores import Store
from tests.pacs import bright_segmenter, planted
from tests.service import configured
from tests.service.test_segmenting import work


def old_queue(tmp_path, folder):
    """One image waits, one is half received; of a third a result was sent, one was tried and one waits."""
    queue = Queue(folder)
    for number, closed in ((1, True), (2, False)):
        job = queue.open()
        file = planted(tmp_path, number)
        queue.receive(job, str(pydicom.dcmread(file).SOPInstanceUID), file.read_bytes())
        if closed:
            queue.close(job)
    uids = []
    for files in make_objects(bright_segmenter(), planted(tmp_path, 3), folder):
        for file in files:
            uids.append(str(pydicom.dcmread(file).SOPInstanceUID))
            queue.offer(uids[-1], file)
    for uid in uids[:2]:
        queue.attempt(queue.outgoing / f"{uid}.dcm")
    queue.confirm(queue.outgoing / f"{uids[0]}.dcm")
    (queue.failed / "bad.dcm").write_bytes(b"bad")
    queue.release()
    return uids


@pytest.mark.parametrize("in_place", [True, False], ids=["in its folder", "into another"])
def test_everything_is_brought_over(tmp_path, in_place):
    configuration = configured(tmp_path / "c", 1, 9)
    target = configuration.queue.folder
    old = target if in_place else tmp_path / "old"
    uids = old_queue(tmp_path, old)
    found = migrate(old, configuration)
    assert (found.images, found.results, found.sent, found.failed) == (2, 2, 1, 1)
    assert "2 images and 2 results wait, 1 results are known to be sent" in str(found)
    store = Store(target)
    try:
        box = store.box("archive")
        assert [store.register.state(uid, "archive") for uid in uids] == [DONE, TRYING, WAITING]
        assert {file.stem for file in box.results()} == set(uids[1:])
        assert not (target / "outgoing").exists()
        assert not (target / "sent").exists()
        assert len(store.waiting_images()) == 2
        assert (store.failed / "bad.dcm").read_bytes() == b"bad"
        assert store.register.finished() == []
    finally:
        store.release()
    with pytest.raises(InputError, match="brought over already"):
        migrate(old, configuration)


@pytest.mark.parametrize(
    "changed", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["same network", "new network"]
)
def test_what_was_made_before_is_the_same_or_named(tmp_path, changed):
    configuration = configured(tmp_path / "c", 1, 9)
    uids = old_queue(tmp_path, configuration.queue.folder)
    migrate(configuration.queue.folder, configuration)
    store = Store(configuration.queue.folder)
    try:
        found = work(store, configuration, bright_segmenter("0.6" if changed else "0.5"))
        job = store.open("SCANNER")
        store.receive(job, "1.2.826.0.1.3680043.8.498.3", planted(tmp_path, 3).read_bytes())
        store.close(job)
        found.all()
        made = [pydicom.dcmread(file) for file in store.box("archive").results()]
        ours = [each for each in made if each.file_meta.MediaStorageSOPInstanceUID not in uids]
        reports = [each for each in made if each.Modality == "SR"]
        old = next(each for each in reports if each.SOPInstanceUID in uids)
        if not changed:
            assert len(made) == 2 + 6  # those that waited, and those of the two images that waited
            return
        assert len(ours) == 9
        (new,) = [
            each for each in reports if "PredecessorDocumentsSequence" in each and each.SOPInstanceUID not in uids
        ]
        item = new.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
        assert item.ReferencedSOPInstanceUID == old.SOPInstanceUID
        assert new.SeriesInstanceUID != old.SeriesInstanceUID
    finally:
        store.release()


def test_reports_and_segmentations_that_waited_are_known_by_their_image_and_frame(tmp_path):
    cine = planted(tmp_path, 4, NumberOfFrames=3, SOPClassUID="1.2.840.10008.5.1.4.1.1.3.1")
    image, records = str(pydicom.dcmread(cine).SOPInstanceUID), []
    for files in make_objects(bright_segmenter(), cine, tmp_path):
        records += [_recorded(file, "archive") for file in files]
    known = {(each.format, each.source, each.frame) for each in records}
    made = {(kind, image, frame) for kind in ("dicom-seg", "dicom-sr") for frame in range(3)}
    assert known == made | {("sc", "", -1)}


def test_a_migration_that_was_killed_goes_on(tmp_path, monkeypatch):
    import shutil

    configuration = configured(tmp_path / "c", 1, 9)
    uids = old_queue(tmp_path, tmp_path / "old")
    move, left = shutil.move, [2]

    def dying(*arguments):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return move(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "move", dying)
        with pytest.raises(KeyboardInterrupt):
            migrate(tmp_path / "old", configuration)
    found = migrate(tmp_path / "old", configuration)
    assert (found.images, found.results, found.sent) == (2, 2, 1)
    store = Store(configuration.queue.folder)
    try:
        assert [store.register.state(uid, "archive") for uid in uids] == [DONE, TRYING, WAITING]
    finally:
        store.release()


def test_what_cannot_be_brought_over_is_refused(tmp_path):
    more = '[destinations.web]\nkind = "stow"\nurl = "http://127.0.0.1:9/x"\n'
    configuration = configured(tmp_path / "c", 1, 9, more=more)
    with pytest.raises(InputError, match="--destination: must be one of archive, web, got none"):
        migrate(tmp_path, configuration)
    with pytest.raises(InputError, match="--destination: must be one of archive, web, got other"):
        migrate(tmp_path, configuration, "other")
    with pytest.raises(InputError, match="must be a queue of `monai-lesion listen`, got no such folder"):
        migrate(tmp_path / "none", configuration, "archive")
    queue = Queue(tmp_path / "old")
    with pytest.raises(InputError, match="must be used by one listener at a time"):
        migrate(tmp_path / "old", configuration, "archive")
    queue.release()
