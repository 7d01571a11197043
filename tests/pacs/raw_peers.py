"""DICOM's upper layer spoken byte by byte (PS3.8, 9.3), for what no library would send."""

from __future__ import annotations

import socket
import struct

VERIFICATION, IMPLICIT = "1.2.840.10008.1.1", "1.2.840.10008.1.2"
ACCEPTED, REJECTED, ABORTED, CLOSED = 0x02, 0x03, 0x07, None


def item(kind: int, content: bytes) -> bytes:
    return struct.pack(">BBH", kind, 0, len(content)) + content


def request(calling: str = "SCANNER", called: str = "LESION", *, claims: int | None = None, more: bytes = b"") -> bytes:
    """An A-ASSOCIATE-RQ for Verification; `claims` is the length that it states."""
    syntaxes = item(0x30, VERIFICATION.encode()) + item(0x40, IMPLICIT.encode())
    context = item(0x20, bytes([1, 0, 0, 0]) + syntaxes)
    user = item(0x50, item(0x51, struct.pack(">L", 16384)) + item(0x52, b"1.2.826.0.1.3680043.8.498.9"))
    fixed = struct.pack(">H2x16s16s32x", 1, called.ljust(16).encode(), calling.ljust(16).encode())
    content = fixed + item(0x10, b"1.2.840.10008.3.1.1.1") + context + user + more
    return pdu(0x01, content, claims)


def pdu(kind: int, content: bytes, claims: int | None = None) -> bytes:
    return struct.pack(">BxL", kind, len(content) if claims is None else claims) + content


def connect(port: int, content: bytes = b"", *, seconds: float = 20) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=seconds)
    connection.sendall(content)
    return connection


def answer(connection: socket.socket) -> int | None:
    """The kind of PDU that comes back; None when the connection is closed."""
    try:
        head = connection.recv(6)
    except ConnectionError:
        return CLOSED
    return head[0] if head else CLOSED


def echo_command() -> bytes:
    """A P-DATA-TF with a C-ECHO-RQ (PS3.7, 9.3.5)."""

    def element(number: int, value: bytes) -> bytes:
        return struct.pack("<HHL", 0, number, len(value)) + value

    uid = VERIFICATION.encode() + b"\0"
    fields = element(0x0002, uid) + element(0x0100, b"\x30\0") + element(0x0110, b"\1\0") + element(0x0800, b"\1\1")
    command = element(0x0000, struct.pack("<L", len(fields))) + fields
    return pdu(0x04, struct.pack(">LBB", len(command) + 2, 1, 0x03) + command)
