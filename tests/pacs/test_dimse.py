"""Results on their way to an archive: taken, refused for now, refused for good, each said with its reason."""

from __future__ import annotations

import logging
from contextlib import contextmanager

import pydicom
import pytest

from monai_lesion.errors import InputError
from monai_lesion.pacs.dimse import Peer, parse_peer, send_results
from monai_lesion.pacs.queues import Queue
from tests.pacs import names_nobody, planted
from tests.pacs.orthanc import free_port

pytest.importorskip("pynetdicom", reason="DIMSE needs pynetdicom")
from pynetdicom import AE, evt

SEG, SC = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.7"


@contextmanager
def archive(*kinds, answers=lambda dataset: 0, breaks_at=(), title=""):
    """An archive that takes these kinds; breaks the connection at some objects."""
    stored = []

    def store(event):
        uid = str(event.request.AffectedSOPInstanceUID)
        if uid in breaks_at:
            event.assoc.abort()
            return 0xC000
        stored.append(uid)
        return answers(uid)

    entity = AE("ARCHIVE")
    for kind in kinds:
        entity.add_supported_context(kind)
    if title:
        entity.require_calling_aet = [title]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, store)])
    try:
        yield Peer("ARCHIVE", "127.0.0.1", server.server_address[1]), stored
    finally:
        server.shutdown()


@pytest.fixture
def queue(tmp_path, caplog):
    caplog.set_level(logging.INFO, "monai_lesion")
    made = Queue(tmp_path / "queue")
    yield made
    made.release()


def offer(queue, folder, number, kind=SC):
    file = planted(folder, number, SOPClassUID=kind, Modality="SEG" if kind == SEG else "OT")
    uid = str(pydicom.dcmread(file).SOPInstanceUID)
    queue.offer(uid, file)
    return uid


def failed(queue):
    return {file.stem for file in queue.failed.iterdir()}


@pytest.mark.parametrize("kinds", [(SC,), ("1.2.840.10008.1.1",)], ids=["another kind", "no kind of ours"])
def test_kind_that_the_archive_does_not_take_is_set_aside_and_the_others_are_sent(queue, tmp_path, caplog, kinds):
    seg, picture = offer(queue, tmp_path, 1, SEG), offer(queue, tmp_path, 2)
    with archive(*kinds) as (peer, stored):
        assert send_results(queue, "LESION", peer) == 0
    assert stored == ([picture] if SC in kinds else [])
    assert failed(queue) == ({seg} if SC in kinds else {seg, picture})
    assert f"SEG {seg}: ARCHIVE@127.0.0.1:{peer.port} takes no Segmentation Storage" in caplog.text
    assert "must be reachable" not in caplog.text
    assert names_nobody(caplog.text)


@pytest.mark.parametrize("status", [0x0122, 0x0124, 0x0117, 0xA900, 0xC000, 0x4711])
def test_refusal_for_good_is_set_aside_and_not_tried_again(queue, tmp_path, caplog, status):
    uid = offer(queue, tmp_path, 1)
    with archive(SC, answers=lambda _: status) as (peer, stored):
        assert send_results(queue, "LESION", peer) == 0
        assert send_results(queue, "LESION", peer) == 0
    assert (stored, failed(queue)) == ([uid], {uid})
    assert f"refused it for good ({status:#06x})" in caplog.text


@pytest.mark.parametrize("status", [0xA700, 0xA7FF, 0x0110, 0x0213])
def test_refusal_for_now_is_tried_again(queue, tmp_path, status):
    uid = offer(queue, tmp_path, 1)
    with archive(SC, answers=lambda _: status) as (peer, stored):
        assert send_results(queue, "LESION", peer) == 1
    assert (stored, failed(queue)) == ([uid], set())


@pytest.mark.parametrize("status", [0x0000, 0x0111, 0x0107, 0xB000, 0xB007])
def test_object_that_the_archive_has_is_done(queue, tmp_path, status):
    offer(queue, tmp_path, 1)
    with archive(SC, answers=lambda _: status) as (peer, _):
        assert send_results(queue, "LESION", peer) == 0
    assert failed(queue) == set()


def test_object_at_which_the_archive_breaks_off_does_not_hold_back_the_others(queue, tmp_path):
    bad, *good = (offer(queue, tmp_path, number) for number in (1, 2, 3))
    with archive(SC, breaks_at=[bad]) as (peer, stored):
        assert send_results(queue, "LESION", peer) == 1
    assert sorted(stored) == sorted(good)
    assert [file.stem for file in queue.results()] == [bad]


def test_archive_that_rejects_our_title_is_told_apart_from_one_that_is_away(queue, tmp_path, caplog):
    offer(queue, tmp_path, 1)
    with archive(SC, title="OTHER") as (peer, _):
        assert send_results(queue, "LESION", peer) == 1
    assert "rejects the AE title LESION (Rejected Permanent, Calling AE title not recognised)" in caplog.text
    assert send_results(queue, "LESION", Peer("ARCHIVE", "127.0.0.1", free_port())) == 1
    assert "must be reachable and answer" in caplog.text


def test_sending_stops_when_it_is_told_to(queue, tmp_path):
    def stop():
        raise KeyError

    offer(queue, tmp_path, 1)
    with archive(SC) as (peer, stored), pytest.raises(KeyError):
        send_results(queue, "LESION", peer, go_on=stop)
    assert stored == []


@pytest.mark.parametrize("text", ["ARCHIVE", "ARCHIVE@host", "A@h:0", "A@h:70000", "@h:1", "far too long a title@h:1"])
def test_peer_of_another_form_is_refused(text):
    with pytest.raises(InputError, match=r"TITLE@HOST:PORT|AE title"):
        parse_peer(text)
