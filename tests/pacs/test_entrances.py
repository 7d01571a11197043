"""Connections without an association: bounded in length, time and number, before anything is started for them."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager, suppress

import pytest

from monai_lesion.errors import InputError
from monai_lesion.pacs.entrances import Entrance, Rejection
from monai_lesion.pacs.limits import Limits
from tests.pacs.raw_peers import ABORTED, CLOSED, REJECTED, answer, connect, request


class Admitting:
    """Takes every request and keeps its connection, or gives a rejection."""

    def __init__(self, rejection=None):
        self.visitors, self.rejection, self.ticks = [], rejection, 0

    def __call__(self, visitor):
        self.visitors.append(visitor)
        return self.rejection

    def tick(self):
        self.ticks += 1


@contextmanager
def open_entrance(admit=None, **limits):
    entrance = Entrance("127.0.0.1", 0, Limits(**limits))
    try:
        if admit is not None:
            entrance.open(admit, admit.tick)
        yield entrance.address[1]
    finally:
        entrance.close()


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return condition()


def test_whole_request_is_handed_over_with_its_titles_and_all_its_bytes():
    admit = Admitting()
    with open_entrance(admit) as port, connect(port, request() + b"more"):
        assert until(lambda: admit.visitors)
    (visitor,) = admit.visitors
    assert (visitor.calling, visitor.called, visitor.host) == ("SCANNER", "LESION", "127.0.0.1")
    assert bytes(visitor.content) == request() + b"more"
    visitor.connection.close()


def test_request_in_pieces_is_put_together():
    admit, content = Admitting(), request()
    with open_entrance(admit) as port, connect(port) as connection:
        for start in range(0, len(content), 50):
            connection.sendall(content[start : start + 50])
            time.sleep(0.002)
        assert until(lambda: admit.visitors)
    admit.visitors[0].connection.close()


def test_request_waits_for_who_admits_it():
    admit = Admitting()
    entrance = Entrance("127.0.0.1", 0, Limits(greeting=0.05))
    try:
        with connect(entrance.address[1], request()):
            time.sleep(0.3)
            entrance.open(admit, admit.tick)
            assert until(lambda: admit.visitors)
            admit.visitors[0].connection.close()
    finally:
        entrance.close()


@pytest.mark.parametrize("claims", [0, 67, 300_000, 0xFFFFFFFF])
def test_request_that_claims_another_length_is_not_read(caplog, claims):
    admit = Admitting()
    with open_entrance(admit) as port, connect(port, request(claims=claims)) as connection:
        assert answer(connection) == ABORTED
    assert admit.visitors == []
    assert f"claims {claims} bytes" in caplog.text


@pytest.mark.parametrize("content", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01", b"\0"], ids=["http", "tls", "zero"])
def test_other_protocols_are_turned_away(caplog, content):
    with open_entrance(Admitting()) as port, connect(port, content) as connection:
        assert answer(connection) in (ABORTED, CLOSED)
    assert "something other than a DICOM" in caplog.text


@pytest.mark.parametrize(
    "content", [b"", b"\x01", request()[:40], request()[:-1]], ids=["silent", "byte", "half", "short"]
)
def test_half_a_request_is_waited_for_so_long_and_no_longer(content):
    admit = Admitting()
    with open_entrance(admit, greeting=0.1) as port, connect(port, content) as connection:
        assert answer(connection) is CLOSED
    assert admit.visitors == []


def test_drip_does_not_lengthen_the_wait():
    admit, start = Admitting(), time.monotonic()
    with open_entrance(admit, greeting=0.2) as port, connect(port) as connection, suppress(ConnectionError):
        for byte in request():
            connection.sendall(bytes([byte]))
            time.sleep(0.02)
    assert time.monotonic() - start < 10
    assert admit.visitors == []


def test_rejection_is_read_by_the_peer_and_logged_with_its_reason(caplog):
    with open_entrance(Admitting(Rejection(1, 1, 3, "not known"))) as port, connect(port, request()) as connection:
        assert connection.recv(10) == bytes([REJECTED, 0, 0, 0, 0, 4, 0, 1, 1, 3])
        assert answer(connection) is CLOSED
    assert "association refused: not known" in caplog.text


class Full:
    """Has no room until it is made."""

    def __init__(self):
        self.full, self.asked, self.admitted = True, [], []

    def __call__(self, visitor):
        self.asked.append(visitor.calling)
        if self.full:
            return Rejection(2, 3, 2, "no room")
        self.admitted.append(visitor)
        return None

    def tick(self):
        pass


def test_requests_wait_for_room_and_but_not_those_of_peers_that_left():
    admit, waiting = Full(), []
    with open_entrance(admit, greeting=60) as port:
        for title in "ABC":
            waiting.append(connect(port, request(title)))
            assert until(lambda title=title: title in admit.asked)
        waiting[1].close()
        assert until(lambda: admit.asked[-4:] == ["A", "C", "A", "C"])
        admit.full = False
        assert until(lambda: len(admit.admitted) == 2)
        assert sorted(each.calling for each in admit.admitted) == ["A", "C"]
        for each in (*waiting, *(visitor.connection for visitor in admit.admitted)):
            each.close()


@pytest.mark.parametrize("limits", [{"visitors_per_peer": 2}, {"visitors": 2}], ids=["of one address", "of all"])
def test_no_more_wait_for_room_than_connections_may_be_open(limits):
    admit = Full()
    with open_entrance(admit, greeting=60, **limits) as port:
        first = [connect(port, request(title)) for title in "AB"]
        assert until(lambda: {"A", "B"} <= set(admit.asked))
        with connect(port, request("C")) as connection:
            assert answer(connection) == REJECTED
        for each in first:
            each.settimeout(0.05)
            with pytest.raises(TimeoutError):
                each.recv(1)
            each.close()


@pytest.mark.parametrize("limits", [{"visitors_per_peer": 3}, {"visitors": 3}], ids=["of one address", "of all"])
def test_silent_connections_do_not_keep_a_good_peer_out(limits):
    admit, threads = Admitting(), threading.active_count()
    with open_entrance(admit, **limits) as port:
        silent = [connect(port) for _ in range(12)]
        with connect(port, request()):
            assert until(lambda: admit.visitors)
        admit.visitors[0].connection.close()
        assert threading.active_count() == threads + 1
        assert answer(silent[0]) is CLOSED
        for each in silent:
            each.close()


def test_probes_that_close_at_once_leave_nothing(caplog):
    caplog.set_level(logging.INFO)
    admit = Admitting()
    with open_entrance(admit) as port:
        for _ in range(50):
            connect(port).close()
        with connect(port, request()):
            assert until(lambda: admit.visitors)
        admit.visitors[0].connection.close()
    assert caplog.text == ""


def test_error_with_one_visitor_leaves_the_entrance_open(caplog):
    def admit(visitor):
        if visitor.calling == "BAD":
            raise RuntimeError("Planted^Petra")
        seen.append(visitor)

    seen = []
    admit.tick = lambda: 1 / 0
    with open_entrance(admit) as port:
        with connect(port, request("BAD")) as connection:
            assert answer(connection) is CLOSED
        with connect(port, request()):
            assert until(lambda: seen)
        seen[0].connection.close()
    assert "RuntimeError" in caplog.text
    assert "Planted" not in caplog.text


def test_port_in_use_is_refused():
    with open_entrance() as port, pytest.raises(InputError, match="port: must be free"):
        Entrance("127.0.0.1", port, Limits())
