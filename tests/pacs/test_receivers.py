"""Associations that stall, lie, flood or mean well: the bad ones end, the good ones are served, each with one line."""

from __future__ import annotations

import errno
import logging
import random
import time
from contextlib import contextmanager

import pydicom
import pytest

from monai_lesion.pacs.entrances import Entrance
from monai_lesion.pacs.limits import Limits
from monai_lesion.pacs.queues import Queue
from tests.pacs import planted
from tests.pacs.raw_peers import ACCEPTED, CLOSED, REJECTED, answer, connect, echo_command, pdu, request

pytest.importorskip("pynetdicom", reason="DIMSE needs pynetdicom")
from pynetdicom import AE

from monai_lesion.pacs.receivers import Receiver

ULTRASOUND, VERIFICATION, CT = "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2"


class Served:
    """A receiver on loopback with its queue."""

    def __init__(self, folder, limits):
        self.queue, self.passed_on = Queue(folder), 0
        self.entrance = Entrance("127.0.0.1", 0, limits)
        self.port = self.entrance.address[1]
        self.receiver = Receiver(
            self.queue, self.entrance, title="LESION", peers=["SCANNER"], limits=limits, passed_on=self.note
        )

    def note(self):
        self.passed_on += 1

    def stop(self, seconds=2):
        self.entrance.close()
        self.receiver.stop(seconds)
        self.queue.release()

    def waiting(self):
        return [image for job in self.queue.waiting.iterdir() for image in job.iterdir()]


@contextmanager
def serving(folder, **limits):
    served = Served(folder / "queue", Limits(**{"settle": 60, **limits}))
    try:
        yield served
    finally:
        served.stop()


def associated(port, *kinds, title="SCANNER"):
    entity = AE(title)
    for kind in kinds or (VERIFICATION, ULTRASOUND):
        entity.add_requested_context(kind, "1.2.840.10008.1.2.1")
    return entity.associate("127.0.0.1", port, ae_title="LESION")


def stored(association, file):
    return association.send_c_store(pydicom.dcmread(file)).get("Status")


def echoes(port):
    association = associated(port)
    status = association.send_c_echo().get("Status") if association.is_established else None
    association.release()
    return status == 0


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return condition()


def raw(port):
    """An association of which no library knows."""
    connection = connect(port, request())
    assert answer(connection) == ACCEPTED
    return connection


def test_each_association_has_one_line(tmp_path, caplog):
    caplog.set_level(logging.INFO, "monai_lesion")
    with serving(tmp_path) as served:
        association = associated(served.port)
        assert [stored(association, planted(tmp_path, number)) for number in (1, 2)] == [0, 0]
        association.release()
        assert until(lambda: served.passed_on)
        assert echoes(served.port)
        assert until(lambda: len(caplog.records) == 2)  # each on a thread of its own
        assert not associated(served.port, title="STRANGER").is_established
        assert until(lambda: len(caplog.records) == 3)
        assert not associated(served.port, CT).is_established
        assert until(lambda: len(caplog.records) == 4)
        lines = [record.getMessage() for record in caplog.records]
    assert "SCANNER@127.0.0.1: 2 images received in " in lines[0]
    assert lines[0].endswith(", released")
    assert "1 C-ECHO answered" in lines[1]
    assert "the calling AE title 'STRANGER' is not one that may send" in lines[2]
    assert "it offered only what is not taken: CT Image Storage" in lines[3]
    assert "lanted" not in caplog.text


def test_title_of_a_stranger_cannot_write_to_the_terminal(tmp_path, caplog):
    with serving(tmp_path) as served, connect(served.port, request("\x1b[31mA\nB")) as connection:
        assert answer(connection) == REJECTED
    assert r"'\x1b[31mA\nB'" in caplog.text
    assert "\x1b" not in caplog.text


def test_images_of_an_association_that_pauses_are_passed_on_and_later_ones_too(tmp_path):
    with serving(tmp_path, settle=0.2) as served:
        association = associated(served.port)
        for number in (1, 2):
            assert stored(association, planted(tmp_path, number)) == 0
            assert until(lambda count=number: len(served.waiting()) == count)
        assert association.is_established
        association.release()


def test_silent_association_is_aborted_and_its_line_says_so(tmp_path, caplog):
    caplog.set_level(logging.INFO, "monai_lesion")
    file = planted(tmp_path)
    with serving(tmp_path, silence=1) as served:
        association = associated(served.port)
        assert stored(association, file) == 0
        assert until(lambda: not association.is_established)
        assert until(served.waiting)
        assert until(lambda: "1 images received" in caplog.text)
    assert "aborted, silent for 1 s" in caplog.text


def test_association_that_its_peer_aborts_is_not_called_silent(tmp_path, caplog):
    caplog.set_level(logging.INFO, "monai_lesion")
    with serving(tmp_path) as served:
        association = associated(served.port)
        association.abort()
        assert until(lambda: "0 images received" in caplog.text)
    assert caplog.records[-1].getMessage().endswith(" s, aborted")


@pytest.mark.parametrize("claims", [2 << 20, 0xFFFFFFFF])
def test_pdu_that_claims_too_much_is_not_read(tmp_path, caplog, claims):
    with serving(tmp_path) as served, raw(served.port) as connection:
        connection.sendall(pdu(0x04, b"", claims))
        assert until(lambda: answer(connection) is CLOSED)
        assert echoes(served.port)
    assert f"claimed a PDU of {claims} bytes" in caplog.text


def test_half_a_pdu_is_waited_for_so_long_and_no_longer(tmp_path, caplog):
    with serving(tmp_path, pdu=0.2) as served, raw(served.port) as connection:
        connection.sendall(pdu(0x04, b"half", 5000))
        assert until(lambda: answer(connection) is CLOSED)
        assert until(lambda: "did not finish a PDU in 0.2 s" in caplog.text)


def test_stalled_associations_make_room(tmp_path, caplog):
    with serving(tmp_path, associations=4, stalled=0.05) as served:
        stalled = []
        for _ in range(9):
            stalled.append(raw(served.port))
            stalled[-1].sendall(pdu(0x04, b"half", 5000))
            time.sleep(0.06)
        association = associated(served.port)
        assert stored(association, planted(tmp_path)) == 0
        association.release()
        for each in stalled:
            each.close()
    assert "stalled, and made room for another" in caplog.text


def test_newcomer_waits_until_there_is_room(tmp_path):
    with serving(tmp_path, associations_per_peer=2, stalled=60, greeting=60) as served:
        busy = [associated(served.port) for _ in range(2)]
        with connect(served.port, request()) as connection:
            connection.settimeout(0.3)
            with pytest.raises(TimeoutError):
                connection.recv(1)
            busy[0].release()
            connection.settimeout(30)
            assert answer(connection) == ACCEPTED
        busy[1].release()


def test_good_sender_is_served_amid_more_stalled_associations_than_there_is_room_for(tmp_path):
    with serving(tmp_path, associations_per_peer=4, stalled=0.5, greeting=60) as served:
        stalled = [connect(served.port, request() + pdu(0x04, b"half", 5000)) for _ in range(10)]
        association = associated(served.port)  # at once: none has stalled for long enough yet
        assert stored(association, planted(tmp_path)) == 0
        association.release()
        for each in stalled:
            each.close()


def test_busy_associations_are_not_dropped_and_a_newcomer_is_told_to_wait(tmp_path):
    with serving(tmp_path, associations_per_peer=2, stalled=60, greeting=0.3) as served:
        busy = [associated(served.port) for _ in range(2)]
        with connect(served.port, request()) as connection:
            assert connection.recv(10)[-3:] == bytes([2, 3, 2])  # transient, presentation, local limit exceeded
        assert [each.send_c_echo().get("Status") for each in busy] == [0, 0]
        for each in busy:
            each.release()


@pytest.mark.parametrize(
    ("limit", "word"), [("object_bytes", "an object of more than"), ("held_bytes", "while unfinished ones held")]
)
def test_object_beyond_the_limit_is_not_kept(tmp_path, caplog, limit, word):
    with serving(tmp_path, **{limit: 3000}) as served:
        association = associated(served.port)
        assert stored(association, planted(tmp_path)) is None
        assert until(lambda: word in caplog.text)
        assert list(served.queue.incoming.iterdir()) == served.waiting() == []


def test_full_disk_is_answered_with_out_of_resources(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with serving(tmp_path) as served:
        monkeypatch.setattr(served.queue, "receive", full)
        association = associated(served.port)
        assert stored(association, planted(tmp_path)) == 0xA700
        assert association.send_c_echo().get("Status") == 0
        association.release()


def test_peer_that_runs_ahead_is_answered_each_time(tmp_path):
    with serving(tmp_path) as served, raw(served.port) as connection:
        connection.recv(1 << 16)  # the rest of the acceptance
        connection.sendall(echo_command() * 30)
        got = b""
        while got.count(b"\x30\x80") < 30 and (piece := connection.recv(1 << 16)):  # C-ECHO-RSP
            got += piece
    assert got.count(b"\x30\x80") == 30


def test_mutated_requests_and_messages_leave_the_listener_open(tmp_path, capfd):
    generator = random.Random(19)
    whole = request() + echo_command()
    with serving(tmp_path, pdu=0.3, greeting=0.3) as served:
        for _ in range(40):
            content = bytearray(whole)
            for _ in range(generator.randint(1, 8)):
                content[generator.randrange(len(content))] = generator.randrange(256)
            connect(served.port, bytes(content[: generator.randint(1, len(content))])).close()
        assert echoes(served.port)
    assert "Traceback" not in capfd.readouterr().err


def test_stop_ends_stalled_associations_and_passes_on_what_they_brought(tmp_path):
    served = Served(tmp_path / "queue", Limits())
    association = associated(served.port)
    assert stored(association, planted(tmp_path)) == 0
    halves = [raw(served.port) for _ in range(4)]
    for each in halves:
        each.sendall(pdu(0x04, b"half", 5000))
    start = time.monotonic()
    served.stop(1)
    assert time.monotonic() - start < 5
    assert len(served.waiting()) == 1
    for each in halves:
        each.close()
