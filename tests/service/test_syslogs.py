"""Syslog: RFC 5424 over UDP, and with its length in front over TCP."""

from __future__ import annotations

import re
import socket

import pytest

pytest.importorskip("pydantic", reason="the service needs pydantic")

from monai_lesion.service.syslogs import formatted, send_syslog

# RFC 5424, 6: PRI VERSION SP TIMESTAMP SP HOSTNAME SP APP-NAME SP PROCID SP MSGID SP STRUCTURED-DATA SP BOM UTF-8
TIME = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
LINE = rb"<85>1 " + TIME + rb" [!-~]{1,255} monai-lesion \d+ DICOM\+RFC3881 - \xef\xbb\xbf<Audit.*>"


def test_the_header_is_that_of_the_standard():
    assert re.fullmatch(LINE, formatted("<AuditMessage>ü</AuditMessage>"))


def test_udp_sends_one_datagram():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(60)
        send_syslog(f"udp://127.0.0.1:{server.getsockname()[1]}", "<AuditMessage/>")
        assert re.fullmatch(LINE, server.recv(65536))


def test_tcp_sends_the_length_first():
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        send_syslog(f"tcp://127.0.0.1:{server.getsockname()[1]}", "<AuditMessage/>")
        connection, _ = server.accept()
        with connection:
            content = b"".join(iter(lambda: connection.recv(4096), b""))
    length, _, message = content.partition(b" ")
    assert len(message) == int(length)
    assert re.fullmatch(LINE, message)


def test_a_server_that_is_away_is_an_error():
    with pytest.raises(OSError, match="refused"):
        send_syslog("tcp://127.0.0.1:9", "x")
