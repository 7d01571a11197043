"""Pollers: each image of new studies comes into the queue once."""

from __future__ import annotations

import json
from datetime import date

import pydicom
import pytest

pytest.importorskip("pydantic", reason="the service needs pydantic")

from monai_lesion.pacs.archives import Archive
from monai_lesion.pacs.queues import sender_of
from monai_lesion.service.configurations import PollerPart
from monai_lesion.service.pollers import Poller
from monai_lesion.service.stores import Store
from tests.pacs import FakeArchive, planted


class Web:
    """A DICOMweb archive of files, by study."""

    def __init__(self, *files, cut=()):
        self.files = {str(pydicom.dcmread(file).SOPInstanceUID): file for file in files}
        self.cut = set(cut)

    def __call__(self, method, path, query, body):
        if path == "studies":
            return self.said([{"0020000D": "1.2.3"}] if self.files and "offset" not in query else [])
        if path.endswith("/instances"):
            rows = [
                {"00080018": uid, "0020000E": "1.5", "00080016": "1.2.840.10008.5.1.4.1.1.6.1"} for uid in self.files
            ]
            return self.said([] if "offset" in query else rows)
        if path.endswith("/series"):
            return self.said(
                [] if "offset" in query else [{"0020000E": "1.5", "00080060": "US", "00080070": "Scanner"}]
            )
        uid = path.rpartition("/")[2]
        content = self.files[uid].read_bytes()
        return 200, "application/dicom", content[:200] if uid in self.cut else content

    @staticmethod
    def said(rows):
        items = [{tag: {"Value": [value]} for tag, value in row.items()} for row in rows]
        return 200, "application/dicom+json", json.dumps(items).encode()


@pytest.fixture
def store(tmp_path):
    found = Store(tmp_path / "queue")
    yield found
    found.release()


def poller(store, archive, **changes):
    part = PollerPart(url=archive.url, **changes)
    woken = []
    client = Archive(archive.url, retries=0)
    found = Poller("nightly", part, client, store, lambda: woken.append(1), today=lambda: date(2026, 3, 2))
    found.woken = woken
    return found


def waiting(store):
    return store.waiting_images()


def test_new_images_come_in_once_with_the_pollers_name(tmp_path, store):
    web = Web(planted(tmp_path, 1), planted(tmp_path, 2))
    archive = FakeArchive(web)
    with archive.running():
        found = poller(store, archive, days=3, modality=["US"])
        assert found.work() == 0
        images = waiting(store)
        assert len(images) == 2
        assert {sender_of(image.parent.name) for image in images} == {"nightly"}
        assert images[0].read_bytes() in [file.read_bytes() for file in web.files.values()]
        assert found.woken == [1]
        found.work()
        assert len(waiting(store)) == 2
        fetched = [line for line in archive.asked if "instances/" in line]
        assert len(fetched) == 2
        assert "GET studies?StudyDate=20260228-&ModalitiesInStudy=US" in archive.asked
        web.files["1.2.826.0.1.3680043.8.498.3"] = planted(tmp_path, 3)  # the study grows
        found.work()
    assert len(waiting(store)) == 3


def test_half_an_image_is_not_taken_and_asked_for_again(tmp_path, store):
    web = Web(planted(tmp_path, 1), planted(tmp_path, 2), cut=["1.2.826.0.1.3680043.8.498.1"])
    archive = FakeArchive(web)
    with archive.running():
        found = poller(store, archive)
        found.work()
        assert len(waiting(store)) == 1
        web.cut.clear()
        found.work()
    uids = {str(pydicom.dcmread(image, stop_before_pixels=True).SOPInstanceUID) for image in waiting(store)}
    assert uids == set(web.files)


def test_a_full_queue_and_an_archive_that_is_away_wait(tmp_path, store):
    archive = FakeArchive(Web(planted(tmp_path, 1)))
    with archive.running():
        job = store.open("A")
        store.receive(job, "1.2", b"x")
        assert poller(store, archive, most_waiting=1).work() == 1
        assert len(waiting(store)) == 1
    archive.url = "http://127.0.0.1:9/x"
    found = poller(store, archive)
    assert found.work() == 1
    assert "must be reachable" in found.ask()
