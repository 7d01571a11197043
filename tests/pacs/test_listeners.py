"""The listener between real peers: pynetdicom's, a killed process, and Orthanc as sender and receiver."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest

pytest.importorskip("pynetdicom", reason="DIMSE needs pynetdicom")
from pynetdicom import AE, evt
from pynetdicom.sop_class import SecondaryCaptureImageStorage, StudyRootQueryRetrieveInformationModelFind, Verification

from monai_lesion.errors import InputError
from monai_lesion.images import dicom_headers
from monai_lesion.pacs.dimse import Peer
from monai_lesion.pacs.listeners import Listener
from tests.dicom import RETIRED, needs_dciodvfy, verdict
from tests.images.dicom_pictures import deflated
from tests.pacs import bright_segmenter, names_nobody, planted
from tests.pacs.orthanc import free_port, needs_orthanc, running_orthanc

ULTRASOUND = "1.2.840.10008.5.1.4.1.1.6.1"


class Copy:
    """A result whose only object is the source as a Secondary Capture with an identifier of its own."""

    measurements = verdict = None

    def __init__(self, file):
        self.dataset = pydicom.dcmread(file)

    def save(self, folder, formats, *, name, seg_type, seg_geometry):
        self.dataset.SOPClassUID = self.dataset.file_meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
        self.dataset.SOPInstanceUID += ".9"
        self.dataset.file_meta.MediaStorageSOPInstanceUID = self.dataset.SOPInstanceUID
        self.dataset.save_as(Path(folder) / f"{name}.dcm")
        return [Path(folder) / f"{name}.dcm"]


def copying(file, *, frame=None):
    return Copy(file)


class Receiver:
    """An archive that notes what it is sent, and answers whether it has it."""

    def __init__(self, *, breaks=0, status=0):
        self.stored, self.breaks, self.status = [], breaks, status

    def store(self, event):
        self.stored.append(str(event.request.AffectedSOPInstanceUID))
        if self.breaks:
            self.breaks -= 1
            event.assoc.abort()
        return self.status

    def find(self, event):
        uid = str(event.identifier.SOPInstanceUID)
        if uid in self.stored:
            yield 0xFF00, event.identifier
        yield 0x0000, None

    @contextmanager
    def running(self, port=0):
        entity = AE("ARCHIVE")
        for kind in (SecondaryCaptureImageStorage, StudyRootQueryRetrieveInformationModelFind):
            entity.add_supported_context(kind)
        handlers = [(evt.EVT_C_STORE, self.store), (evt.EVT_C_FIND, self.find)]
        server = entity.start_server(("127.0.0.1", port), block=False, evt_handlers=handlers)
        try:
            yield Peer("ARCHIVE", "127.0.0.1", server.server_address[1])
        finally:
            server.shutdown()


@contextmanager
def listening(folder, to, port, segmenter=copying, **options):
    settings = {"title": "LESION", "peers": ["SCANNER"], "host": "127.0.0.1", "pause": 0.05, **options}
    with Listener(folder, segmenter, to=to, port=port, **settings) as listener:
        yield listener


def associate(port, *, title="SCANNER", called="LESION", kind=ULTRASOUND):
    entity = AE(title)
    for context in (Verification, kind):
        entity.add_requested_context(context, "1.2.840.10008.1.2.1")
    return entity.associate("127.0.0.1", port, ae_title=called)


def send(port, *files, kind=ULTRASOUND):
    association = associate(port, kind=kind)
    assert association.is_established
    codes = [association.send_c_store(pydicom.dcmread(file)).get("Status") for file in files]
    association.release()
    return codes


def until(condition, seconds=120):
    for _ in range(int(seconds / 0.05)):
        if condition():
            return True
        time.sleep(0.05)
    return False


def drained(listener):
    queue = listener.queue
    return not any(any(folder.iterdir()) for folder in (queue.incoming, queue.waiting, queue.outgoing))


def test_images_go_in_and_results_go_out_once(tmp_path):
    files, receiver, port = [planted(tmp_path, number) for number in (1, 2)], Receiver(), free_port()
    with receiver.running() as to, listening(tmp_path / "queue", to, port) as listener:
        for _ in range(2):
            assert send(port, *files) == [0, 0]
            assert until(lambda: drained(listener))
    assert sorted(receiver.stored) == [f"1.2.826.0.1.3680043.8.498.{number}.9" for number in (1, 2)]


def test_echo_is_answered_and_strangers_are_rejected(tmp_path):
    port = free_port()
    with listening(tmp_path, Peer("ARCHIVE", "127.0.0.1", 9), port):
        association = associate(port)
        assert association.send_c_echo().get("Status") == 0
        association.release()
        # Not `is_rejected`: on a busy machine the closed connection may be seen before the rejection.
        assert not associate(port, title="STRANGER").is_established
        assert not associate(port, called="OTHER").is_established


def test_bad_image_is_set_aside_and_the_next_goes_on(tmp_path, caplog):
    caplog.set_level(logging.INFO, "monai_lesion")
    receiver, port = Receiver(), free_port()

    def failing(file, *, frame=None):
        if pydicom.dcmread(file).InstanceNumber == 1:
            raise RuntimeError("Planted^Petra is in this message")
        return Copy(file)

    files = [planted(tmp_path, number, SOPClassUID=RETIRED) for number in (1, 2)]
    with receiver.running() as to, listening(tmp_path / "queue", to, port, failing) as listener:
        assert send(port, *files, kind=RETIRED) == [0, 0]
        assert until(lambda: drained(listener))
        assert len(list(listener.queue.failed.iterdir())) == 1
    assert receiver.stored == ["1.2.826.0.1.3680043.8.498.2.9"]
    assert "RuntimeError" in caplog.text
    assert names_nobody(caplog.text + " ".join(path.name for path in (tmp_path / "queue").rglob("*")))


def test_an_image_that_inflates_beyond_bounds_is_set_aside(tmp_path, monkeypatch, caplog):
    waiting, port, receiver = tmp_path / "queue" / "waiting" / "1", free_port(), Receiver()
    waiting.mkdir(parents=True)
    deflated(waiting / "bomb.dcm", planted(tmp_path).read_bytes())
    monkeypatch.setattr(dicom_headers, "MAX_INFLATED", 100)
    with receiver.running() as to, listening(tmp_path / "queue", to, port) as listener:
        assert until(lambda: drained(listener) and any(listener.queue.failed.iterdir()))
    assert "must have at most 100 bytes inflated" in caplog.text
    assert receiver.stored == []


def test_results_wait_for_a_receiver_that_is_away(tmp_path):
    file, port, away = planted(tmp_path), free_port(), free_port()
    with listening(tmp_path / "queue", Peer("ARCHIVE", "127.0.0.1", away), port) as listener:
        assert send(port, file) == [0]
        assert until(listener.queue.results)
        receiver = Receiver()
        with receiver.running(away):
            assert until(lambda: drained(listener))
    assert len(receiver.stored) == 1


def test_answer_that_was_lost_does_not_send_twice(tmp_path):
    file, port, receiver = planted(tmp_path), free_port(), Receiver(breaks=1)
    with receiver.running() as to, listening(tmp_path / "queue", to, port) as listener:
        assert send(port, file) == [0]
        assert until(lambda: receiver.stored and drained(listener))
    assert len(receiver.stored) == 1


def test_object_that_is_refused_for_good_is_set_aside(tmp_path):
    file, port, receiver = planted(tmp_path), free_port(), Receiver(status=0xC000)
    with receiver.running() as to, listening(tmp_path / "queue", to, port) as listener:
        send(port, file)
        assert until(lambda: receiver.stored and drained(listener))
        assert [path.name for path in listener.queue.failed.iterdir()] == ["1.2.826.0.1.3680043.8.498.1.9.dcm"]


CHILD = """
import sys, time
from monai_lesion.images import dicom_headers
from monai_lesion.pacs.dimse import Peer
from monai_lesion.pacs.listeners import Listener

def stuck(file, *, frame=None):
    time.sleep(600)

folder, port = sys.argv[1], int(sys.argv[2])
to = Peer("ARCHIVE", "127.0.0.1", 9)
Listener(folder, stuck, title="LESION", peers=["SCANNER"], to=to, port=port, host="127.0.0.1")
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="kills a process the POSIX way")
def test_nothing_received_is_lost_in_a_kill(tmp_path):
    files, port = [planted(tmp_path, number) for number in (1, 2)], free_port()
    child = subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path / "queue"), str(port)], stdout=subprocess.PIPE)
    try:
        assert child.stdout.readline() == b"ready\n"
        assert send(port, files[0]) == [0]  # closed, in work
        association = associate(port)
        assert association.send_c_store(pydicom.dcmread(files[1])).get("Status") == 0  # its connection stays open
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    receiver, port = Receiver(), free_port()
    with receiver.running() as to, listening(tmp_path / "queue", to, port) as listener:
        assert until(lambda: drained(listener))
    assert sorted(receiver.stored) == [f"1.2.826.0.1.3680043.8.498.{number}.9" for number in (1, 2)]


def test_listener_without_peers_or_port_is_refused_and_lets_go_of_the_folder(tmp_path):
    to, port = Peer("ARCHIVE", "127.0.0.1", 9), free_port()
    with pytest.raises(InputError, match="--from"):
        Listener(tmp_path, copying, title="LESION", peers=[], to=to, port=port)
    with (
        listening(tmp_path / "a", to, port),
        pytest.raises(InputError, match="port: must be free"),
        listening(tmp_path / "b", to, port),
    ):
        pass
    with listening(tmp_path / "b", to, port):
        pass


@needs_orthanc
@needs_dciodvfy
@pytest.mark.slow
def test_orthanc_sends_and_receives(tmp_path, caplog):
    caplog.set_level(logging.INFO, "monai_lesion")
    pytest.importorskip("highdicom", reason="the writers need highdicom")
    port, study = free_port(), "1.2.3.7"
    with running_orthanc(tmp_path / "orthanc", modalities={"LESION": port}) as orthanc:
        to = Peer("ORTHANC", "127.0.0.1", orthanc.dicom)
        names = orthanc.put(
            planted(tmp_path / "in", 71, StudyInstanceUID=study),
            planted(tmp_path / "in", 72, StudyInstanceUID=study, SOPClassUID=RETIRED),
        )
        before = set(orthanc.held())
        with listening(tmp_path / "queue", to, port, bright_segmenter(), peers=["ORTHANC"]) as listener:
            orthanc.ask("/modalities/LESION/echo", {})
            for _ in range(2):
                orthanc.ask("/modalities/LESION/store", names)
                assert until(lambda: drained(listener), 300)
        held = orthanc.held()
        new = set(held) - before
        assert sorted(held[uid]["Modality"] for uid in new) == ["OT", "OT", "SEG", "SEG", "SR", "SR"]
        assert {held[uid]["StudyInstanceUID"] for uid in new} == {study}
        for uid in new:
            faults = verdict(orthanc.download(uid, tmp_path / "o.dcm"))[1]
            assert not [line for line in faults if line.startswith("Error")]
        assert caplog.text.count(": sent\n") == 6  # the second time nothing
    assert names_nobody(caplog.text)
