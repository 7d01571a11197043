"""Send a message to a syslog server: RFC 5424, over UDP (RFC 5426) or TCP with its length in front (RFC 6587)."""

from __future__ import annotations

import os
import socket
from datetime import datetime, timezone
from urllib.parse import urlsplit

PRIORITY = 10 * 8 + 5  # security and authorisation messages; notice (PS3.15, A.6)
MESSAGE = "DICOM+RFC3881"
BOM = b"\xef\xbb\xbf"  # before a text in UTF-8 (RFC 5424, 6.4)
SECONDS = 10.0


def send_syslog(address: str, text: str) -> None:
    """Send one message.

    Args:
        address: ``udp://HOST:PORT`` or ``tcp://HOST:PORT``.
        text: the message; over UDP it must fit into a datagram.

    Raises:
        OSError: when the server cannot be reached, or over TCP does not take it.
    """
    parts = urlsplit(address)
    host, port = str(parts.hostname), int(parts.port or 514)
    content = formatted(text)
    if parts.scheme == "tcp":
        with socket.create_connection((host, port), timeout=SECONDS) as connection:
            connection.sendall(str(len(content)).encode() + b" " + content)
        return
    family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as connection:
        connection.settimeout(SECONDS)
        connection.sendto(content, target)


def formatted(text: str) -> bytes:
    """A message with its header.

    Example:
        >>> formatted("<AuditMessage/>").startswith(b"<85>1 ")
        True
    """
    moment = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    head = f"<{PRIORITY}>1 {moment} {socket.gethostname() or '-'} monai-lesion {os.getpid()} {MESSAGE} - "
    return head.encode() + BOM + text.encode()
