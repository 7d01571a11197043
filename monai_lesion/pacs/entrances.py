"""The door of a listener: whoever has not asked for an association yet costs a socket, never a thread."""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from monai_lesion.errors import InputError
from monai_lesion.pacs.limits import Limits

logger = logging.getLogger(__name__)

TICK = 0.1  # seconds
HEADER, SHORTEST = 6, 68  # bytes of a PDU before its length counts, and of the fixed part of a request (PS3.8, 9.3.2)
ASSOCIATE_REQUEST = 0x01
ABORT = bytes([0x07, 0, 0, 0, 0, 4, 0, 0, 2, 0])  # by the provider, no reason (PS3.8, 9.3.8)
LINGER = 2.0  # seconds that a peer has to read why it was turned away


@dataclass(frozen=True)
class Rejection:
    """Why an association is refused: the three numbers of PS3.8, table 9-21, and a text for the log."""

    result: int
    source: int
    reason: int
    text: str

    @property
    def passes(self) -> bool:
        """Whether the reason is one that passes (rejected-transient)."""
        return self.result == 2

    @property
    def pdu(self) -> bytes:
        """The A-ASSOCIATE-RJ."""
        return bytes([0x03, 0, 0, 0, 0, 4, 0, self.result, self.source, self.reason])


@dataclass
class Visitor:
    """A connection without an association.

    Attributes:
        connection: its socket.
        address: host and port, as the system gives them.
        until: when it has to go.
        content: what it sent.
        whole: whether that holds a whole association request.
        understood: whether that request was decoded once.
        waits: whether it waits for room among the associations.
        leaving: whether it was turned away and may still read why.
    """

    connection: socket.socket
    address: tuple[str, int]
    until: float
    content: bytearray = field(default_factory=bytearray)
    whole: bool = False
    understood: bool = False
    waits: bool = False
    leaving: bool = False

    @property
    def host(self) -> str:
        """The address without the port."""
        return self.address[0]

    @property
    def called(self) -> str:
        """AE title that it calls (PS3.8, 9.3.2)."""
        return _title(self.content[10:26])

    @property
    def calling(self) -> str:
        """AE title that it gives for its own."""
        return _title(self.content[26:42])


class Entrance:
    """Listen on a port, read association requests within bounds, and hand over who sent one.

    ::

        connection -- request: whole, in time, not too long -- room -- admit -- association
                                     |                           |        |
                                  closed                     waits    rejected

    It listens from the start; requests that are whole wait until :meth:`open` names who admits them, and for as long as
    a request has to come where there is no room among the associations: many scanners take a rejection for the end of
    their job. A class of our own, because pynetdicom's server starts two threads for each connection and reads whatever
    length a PDU claims.

    Args:
        host: address to listen on; empty for all addresses.
        port: port to listen on.
        limits: bounds of a request, and of the connections that have not sent one.

    Raises:
        InputError: when the port or address cannot be had.

    Source:
        DICOM PS3.8, 9.3.2 (A-ASSOCIATE-RQ) and 9.1.5 (ARTIM timer).
    """

    def __init__(self, host: str, port: int, limits: Limits) -> None:
        self._limits = limits
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._socket.bind((host, port))
            self._socket.listen(128)
        except OSError as error:
            self._socket.close()
            raise InputError("port", "must be free to listen on", got=f"{port}: {error.strerror}") from error
        self._socket.setblocking(False)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self._visitors: dict[socket.socket, Visitor] = {}  # the earliest first
        self._admit: Callable[[Visitor], Rejection | None] | None = None
        self._tick: Callable[[], None] | None = None
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._socket, selectors.EVENT_READ)
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="monai-lesion-entrance", daemon=True)
        self._thread.start()

    def open(self, admit: Callable[[Visitor], Rejection | None], tick: Callable[[], None]) -> None:
        """Hand over requests to ``admit``, which takes them or says why not; call ``tick`` ten times a second."""
        self._admit, self._tick = admit, tick

    def close(self) -> None:
        """Stop listening and close every connection that has no association."""
        self._closed = True
        self._thread.join(10 * TICK)

    def _run(self) -> None:
        try:
            while not self._closed:
                for key, _ in self._selector.select(TICK):
                    if key.fileobj is self._socket:
                        self._accept()
                    elif visitor := self._visitors.get(key.fileobj):  # type: ignore[call-overload]
                        self._read(visitor)  # unless it had to go meanwhile
                self._look_after()
        finally:
            for visitor in list(self._visitors.values()):
                self._dismiss(visitor)
            self._selector.close()
            self._socket.close()

    def _accept(self) -> None:
        for _ in range(self._limits.visitors):
            try:
                connection, address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:  # no file handles left, or the peer is gone already
                logger.debug("a connection could not be taken: %s", error.strerror)
                return
            connection.setblocking(False)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._make_room(address[0])
            self._visitors[connection] = Visitor(connection, address[:2], time.monotonic() + self._limits.greeting)
            self._selector.register(connection, selectors.EVENT_READ)

    def _make_room(self, host: str) -> None:
        """Where too many wait, let the earliest go: a good peer sends its request at once."""
        idle = [each for each in self._visitors.values() if not each.whole]
        same = [each for each in idle if each.host == host]
        crowd = same if len(same) >= self._limits.visitors_per_peer else idle
        if crowd is idle and len(idle) < self._limits.visitors:
            return
        earliest = crowd[0]
        self._read(earliest)  # in a rush its request, or its end, may be there and unread
        if self._visitors.get(earliest.connection) is earliest and not earliest.whole:
            self._dismiss(earliest, "made room for another connection")

    def _read(self, visitor: Visitor) -> None:
        if visitor.whole:
            return
        try:
            piece = visitor.connection.recv(1 << 16)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            piece = b""
        if not piece:
            self._dismiss(visitor)
        elif not visitor.leaving:
            visitor.content += piece
            self._examine(visitor)

    def _examine(self, visitor: Visitor) -> None:
        content, limits = visitor.content, self._limits
        if content[0] != ASSOCIATE_REQUEST:
            self._turn_away(visitor, ABORT, "sent something other than a DICOM association request")
            return
        if len(content) < HEADER:
            return
        length = int.from_bytes(content[2:HEADER], "big")
        if not SHORTEST <= length <= limits.request_bytes:
            text = (
                f"sent an association request that claims {length} bytes; {SHORTEST} to {limits.request_bytes} are read"
            )
            self._turn_away(visitor, ABORT, text)
        elif len(content) >= HEADER + length:
            visitor.whole, visitor.until = True, time.monotonic() + max(limits.greeting, limits.silence)
            self._selector.unregister(visitor.connection)

    def _hand_over(self, visitor: Visitor) -> None:
        if self._admit is None:
            return
        if visitor.waits and _gone(visitor.connection):
            self._dismiss(visitor)
            return
        visitor.connection.setblocking(True)
        try:
            rejection = self._admit(visitor)
        except Exception as error:  # the entrance stays open whatever one visitor brings
            logger.error("%s: its association could not be begun (%s)", visitor.host, type(error).__name__)
            self._dismiss(visitor)
            return
        if rejection is None:
            del self._visitors[visitor.connection]
            return
        visitor.connection.setblocking(False)
        if rejection.passes and self._may_wait(visitor):
            return
        visitor.whole = False
        self._selector.register(visitor.connection, selectors.EVENT_READ)
        self._turn_away(visitor, rejection.pdu, f"association refused: {rejection.text}")

    def _may_wait(self, visitor: Visitor) -> bool:
        """Whether a request may wait for room: for a while, and not where too many do."""
        now = time.monotonic()
        if visitor.waits:
            return now < visitor.until
        waiting = [each for each in self._visitors.values() if each.waits]
        same = [each for each in waiting if each.host == visitor.host]
        if len(waiting) >= self._limits.visitors or len(same) >= self._limits.visitors_per_peer:
            return False
        visitor.waits, visitor.until = True, now + self._limits.greeting
        return True

    def _turn_away(self, visitor: Visitor, pdu: bytes, text: str) -> None:
        """Say why, and leave the peer time to read it: a connection closed at once may take the answer with it."""
        logger.warning("%s: %s", visitor.host, text)
        visitor.leaving, visitor.until = True, time.monotonic() + LINGER
        visitor.content.clear()
        try:
            visitor.connection.send(pdu)
            visitor.connection.shutdown(socket.SHUT_WR)
        except OSError:
            self._dismiss(visitor)

    def _look_after(self) -> None:
        now = time.monotonic()
        for visitor in list(self._visitors.values()):
            if visitor.whole and self._admit is not None:
                self._hand_over(visitor)
            elif now > visitor.until:
                self._dismiss(
                    visitor,
                    "" if visitor.leaving else f"sent no whole association request in {self._limits.greeting:g} s",
                )
        if self._tick is not None:
            try:
                self._tick()
            except Exception as error:  # a full disk, a lost mount
                logger.error("received images could not be passed on (%s); trying again", type(error).__name__)

    def _dismiss(self, visitor: Visitor, text: str = "") -> None:
        if text:
            logger.info("%s: %s", visitor.host, text)
        else:
            logger.debug("%s: closed", visitor.host)
        if not visitor.whole:
            self._selector.unregister(visitor.connection)
        visitor.connection.close()
        self._visitors.pop(visitor.connection, None)


def _gone(connection: socket.socket) -> bool:
    """Whether the peer has closed its end."""
    connection.setblocking(False)
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except (BlockingIOError, InterruptedError):
        return False
    except OSError:
        return True


def _title(content: bytes | bytearray) -> str:
    return bytes(content).decode("ascii", "backslashreplace").strip()
