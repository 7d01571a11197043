"""Associations that bring images: pynetdicom's, within bounds, each with its line in the log."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from pynetdicom import evt, sop_class
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.transport import AssociationSocket, RequestHandler, ThreadedAssociationServer

from monai_lesion.images.dicom_files import SOP_CLASSES
from monai_lesion.pacs.dimse import IMAGE_SYNTAXES, application
from monai_lesion.pacs.entrances import HEADER, Entrance, Rejection, Visitor
from monai_lesion.pacs.limits import Limits
from monai_lesion.pacs.queues import Inbox

logger = logging.getLogger(__name__)

SUCCESS, OUT_OF_RESOURCES, NOT_ALLOWED, NOT_UNDERSTOOD = 0x0000, 0xA700, 0x0124, 0x0115
AHEAD = 2  # whole messages of an association that may wait; then its socket is not read on


class Delivery:
    """What one association brings: jobs of the queue, a new one after each pause.

    Args:
        queue: where images go.
        association: pynetdicom's.
        peer: host and AE title.
        connection: its socket.
    """

    def __init__(self, queue: Inbox, association: Any, peer: tuple[str, str], connection: GuardedSocket) -> None:
        self.association, self.peer, self.connection = association, peer, connection
        self.ending = ""
        self._queue, self._begun = queue, time.monotonic()
        self._images = self._echoes = 0
        self._job: str | None = None
        self._last = 0.0
        self._lock = threading.Lock()
        self._over = False

    def take(self, uid: str, content: bytes) -> None:
        """Put an image on the disk.

        Raises:
            OSError: when there is no room for it.
        """
        with self._lock:
            if self._over:
                raise ConnectionAbortedError("the association was ended")
            if self._job is None:
                self._job = self._queue.open(self.peer[1])
            self._queue.receive(self._job, uid, content)
            self._images, self._last = self._images + 1, time.monotonic()

    def echo(self) -> None:
        """Count a C-ECHO."""
        self._echoes += 1

    def settle(self, seconds: float) -> bool:
        """Pass on what is complete when nothing came for so long; return whether there was anything."""
        if self._job is None or time.monotonic() - self._last < seconds or not self._lock.acquire(blocking=False):
            return False
        try:
            return self._pass_on()
        finally:
            self._lock.release()

    def end(self) -> bool:
        """Pass on what is left and write the line about the association, once; return whether there was anything."""
        with self._lock:
            left = self._pass_on()
            first, self._over = not self._over, True
        if first:
            level = logging.WARNING if self.connection.fault else logging.INFO
            logger.log(level, "%s", self)
        return left

    def _pass_on(self) -> bool:
        job, self._job = self._job, None
        if job is not None:
            self._queue.close(job)
        return job is not None

    def __str__(self) -> str:
        host, title = self.peer
        brought = [f"{self._images} images received"] if self._images or not self._echoes else []
        brought += [f"{self._echoes} C-ECHO answered"] if self._echoes else []
        if not self.association.accepted_contexts and self.association.rejected_contexts:
            kinds = sorted({each.abstract_syntax.name for each in self.association.rejected_contexts})
            brought.append(f"it offered only what is not taken: {', '.join(kinds[:3])}")
        ending = self.connection.fault or self.ending or "connection lost"
        seconds = time.monotonic() - self._begun
        return f"{title}@{host}: {', '.join(brought)} in {seconds:.1f} s, {ending}"


class GuardedSocket(AssociationSocket):
    """pynetdicom's socket, which reads no longer PDU and waits no longer for one than the limits allow.

    Args:
        plain: the socket that pynetdicom made.
        begun: what was read of the connection already.
        limits: the bounds.
        held: bytes that all unfinished objects hold together.
    """

    def __init__(self, plain: AssociationSocket, begun: bytearray, limits: Limits, held: Callable[[], int]) -> None:
        self.__dict__.update(plain.__dict__)  # a second one would announce the connection a second time
        self.fault = ""
        self.unfinished = self.finished = 0  # bytes of the message that comes, and of those that wait
        self.moved = time.monotonic()  # when the last message was whole
        self._prefix, self._limits, self._held = begun, limits, held
        self._connection.settimeout(limits.pdu)

    @property
    def _connection(self) -> socket.socket:
        if self.socket is None:
            raise OSError("the connection is closed")
        return self.socket

    @property
    def ready(self) -> bool:
        """Whether there is something to read, and room for it: a peer that runs ahead waits."""
        if self.assoc.dimse.msg_queue.qsize() >= AHEAD:
            return False
        return bool(self._prefix) or super().ready

    def recv(self, nr_bytes: int) -> bytearray:
        """Read so many bytes, or fewer where the connection ends.

        Raises:
            OSError: beyond the limits.
        """
        if nr_bytes > max(self._limits.pdu_bytes, self._limits.request_bytes):
            self._refuse(f"claimed a PDU of {nr_bytes} bytes; at most {self._limits.pdu_bytes} are read")
        self.unfinished += nr_bytes
        if self.unfinished > self._limits.object_bytes:
            self._refuse(f"sent an object of more than {self._limits.object_bytes} bytes")
        if self._held() > self._limits.held_bytes:
            self._refuse(f"sent an object while unfinished ones held {self._limits.held_bytes} bytes")
        content = self._prefix[:nr_bytes]
        del self._prefix[:nr_bytes]
        deadline = time.monotonic() + self._limits.pdu
        while len(content) < nr_bytes:
            left = deadline - time.monotonic()
            if left <= 0:
                self._refuse(f"did not finish a PDU in {self._limits.pdu:g} s")
            self._connection.settimeout(left)
            try:
                piece = self._connection.recv(min(nr_bytes - len(content), 1 << 16))
            except TimeoutError:
                continue
            if not piece:
                break
            content += piece
        self._connection.settimeout(self._limits.pdu)  # for what is sent
        return content

    def whole(self) -> None:
        """Note that a message is whole."""
        self.finished, self.unfinished, self.moved = self.finished + self.unfinished, 0, time.monotonic()

    def taken(self) -> None:
        """Note that the messages that waited were taken."""
        if self.assoc.dimse.msg_queue.empty():
            self.finished = 0

    def drop(self, why: str = "") -> None:
        """End the connection at once; whoever waits for it wakes up."""
        self.fault = self.fault or why
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)

    def _refuse(self, why: str) -> None:
        self.fault = why
        raise ConnectionAbortedError(why)


class _Handler(RequestHandler):
    server: _Server

    def _create_association(self) -> Any:
        visitor: Visitor = self.request
        self.request = visitor.connection
        association: Any = super()._create_association()
        connection = self.server.welcome(association, visitor)
        for thread in (association, association.dul):
            thread.daemon = True  # a process that stops does not wait for its peers
            thread.run = _ending_quietly(thread.run, connection)
        return association


def _ending_quietly(run: Callable[[], None], connection: GuardedSocket) -> Callable[[], None]:
    """Let what pynetdicom cannot make sense of end one association, without a traceback."""

    def quietly() -> None:
        try:
            run()
        except Exception as error:
            connection.drop(f"sent what cannot be understood ({type(error).__name__})")

    return quietly


class _Server(ThreadedAssociationServer):
    """pynetdicom's server without a door of its own: the entrance listens."""

    welcome: Callable[[Any, Visitor], GuardedSocket]

    def server_bind(self) -> None:
        """Bind nothing."""
        if self.socket is not None:
            self.socket.close()

    def server_activate(self) -> None:
        """Listen to nothing."""


class Receiver:
    """Answer C-STORE and C-ECHO of known peers, and put the images into a queue.

    Args:
        queue: where images go; what an association brought is passed on when it ends or pauses.
        entrance: where peers come from.
        title: AE title that peers must call.
        peers: AE titles that may send.
        limits: bounds of an association.
        passed_on: called when there are images to segment.
        reporters: AE titles of archives that may report what they commit themselves to keep.
        reported: called with the AE title and the content of such a report; returns whether it is one of ours.

    Source:
        DICOM PS3.4, annexes A (Verification), B (Storage) and J (Storage Commitment); PS3.7, 9.1; PS3.8, 9.3.
    """

    def __init__(
        self,
        queue: Inbox,
        entrance: Entrance,
        *,
        title: str,
        peers: Sequence[str],
        limits: Limits,
        passed_on: Callable[[], None],
        reporters: Sequence[str] = (),
        reported: Callable[[str, Any], bool] | None = None,
    ) -> None:
        self._reported = reported
        self._queue, self._limits, self._passed_on = queue, limits, passed_on
        self._title = title
        self._deliveries: dict[int, Delivery] = {}
        self._entity = entity = application(title)
        entity.require_called_aet = True
        self.let_in(peers, reporters)
        entity.network_timeout = limits.silence
        entity.maximum_associations = 10 * limits.associations  # ours is the bound that counts, and it counts by peer
        entity.add_supported_context(sop_class.Verification)  # type: ignore[attr-defined]
        for uid, name in SOP_CLASSES.items():
            if "retired" in name:  # pynetdicom does not know these as storage
                keyword = name.translate({ord(mark): None for mark in " -()"})
                sop_class.register_uid(uid, keyword, StorageServiceClass)
            entity.add_supported_context(uid, list(IMAGE_SYNTAXES))
        if reported is not None:  # who reports is the SCP of an association that it opens (PS3.4, J.3.3)
            commitment = sop_class.StorageCommitmentPushModel  # type: ignore[attr-defined]
            entity.add_supported_context(commitment, scu_role=False, scp_role=True)
        self._server: _Server = entity.make_server(
            entrance.address, evt_handlers=self._handlers(), server_class=_Server, request_handler=_Handler
        )
        self._server.welcome = self._welcome
        entrance.open(self._admit, self._tick)

    def let_in(self, peers: Sequence[str], reporters: Sequence[str] = ()) -> None:
        """Change who may send images and who may report; associations that are open go on."""
        self._peers, self._reporters = frozenset(peers), frozenset(reporters)
        self._entity.require_calling_aet = sorted(self._peers | self._reporters)

    def stop(self, seconds: float) -> None:
        """Abort the associations, and pass on what they brought, within so many seconds."""
        deliveries = list(self._deliveries.values())
        for each in deliveries:
            each.association.abort(block=False)
        deadline = time.monotonic() + seconds / 2
        for each in deliveries:
            each.association.join(max(0.0, deadline - time.monotonic()))
        for each in deliveries:
            each.connection.drop()
            each.ending = "aborted, because the listener stops"
            each.end()

    def _admit(self, visitor: Visitor) -> Rejection | None:
        called, calling = visitor.called, visitor.calling
        if calling not in self._peers | self._reporters:
            return Rejection(1, 1, 3, f"the calling AE title {calling!r} is not one that may send (--from)")
        if called != self._title:
            return Rejection(1, 1, 7, f"{calling} called the AE title {called!r} and not {self._title}")
        try:
            if not visitor.understood:
                request = A_ASSOCIATE_RQ()
                request.decode(bytes(visitor.content[: HEADER + int.from_bytes(visitor.content[2:HEADER], "big")]))
                request.to_primitive()
        except Exception as error:  # its decoder has no kind of its own
            return Rejection(1, 2, 1, f"{calling} sent a request that cannot be understood ({type(error).__name__})")
        visitor.understood = True
        if not self._make_room((visitor.host, calling)):
            return Rejection(2, 3, 2, f"{calling} waited for room: {len(self._deliveries)} associations bring images")
        _Handler(visitor, visitor.address, self._server)  # type: ignore[arg-type]
        return None

    def _make_room(self, peer: tuple[str, str]) -> bool:
        """Where there are too many associations, drop the one that brought nothing for longest."""
        alive = [each for each in self._deliveries.values() if each.association.is_alive()]
        same = [each for each in alive if each.peer == peer]
        if len(same) < self._limits.associations_per_peer and len(alive) < self._limits.associations:
            return True
        crowd = same if len(same) >= self._limits.associations_per_peer else alive
        stalled = min(crowd, key=lambda each: each.connection.moved)
        if time.monotonic() - stalled.connection.moved < self._limits.stalled:
            return False
        stalled.connection.drop("stalled, and made room for another")
        self._forget(stalled)
        return True

    def _welcome(self, association: Any, visitor: Visitor) -> GuardedSocket:
        guarded = GuardedSocket(association.dul.socket, visitor.content, self._limits, self._held)
        association.dul.socket = guarded
        peer = visitor.host, visitor.calling
        delivery = self._deliveries[id(association)] = Delivery(self._queue, association, peer, guarded)
        association.dul.idle_timer_expired = self._noting_silence(association.dul.idle_timer_expired, delivery)
        return guarded

    def _noting_silence(self, expired: Callable[[], bool], delivery: Delivery) -> Callable[[], bool]:
        """The timer by which pynetdicom aborts; once it has said so, nothing else can be why."""

        def noting() -> bool:
            if over := expired():
                delivery.ending = delivery.ending or f"aborted, silent for {self._limits.silence:g} s"
            return over

        return noting

    def _held(self) -> int:
        connections = [each.connection for each in list(self._deliveries.values())]
        return sum(each.unfinished + each.finished for each in connections)

    def _tick(self) -> None:
        for each in list(self._deliveries.values()):
            if not each.association.is_alive():
                self._forget(each)
            elif each.settle(self._limits.settle):
                self._passed_on()

    def _forget(self, delivery: Delivery) -> None:
        self._deliveries.pop(id(delivery.association), None)
        if delivery.end():
            self._passed_on()

    def _handlers(self) -> Any:
        return [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_ECHO, self._echo),
            (evt.EVT_N_EVENT_REPORT, self._report),
            (evt.EVT_DIMSE_RECV, lambda event: event.assoc.dul.socket.whole()),
            (evt.EVT_RELEASED, self._note("released")),
            (evt.EVT_ABORTED, self._note("aborted")),
        ]

    def _of(self, event: Any) -> Delivery | None:
        return self._deliveries.get(id(event.assoc))

    def _note(self, ending: str) -> Callable[[Any], None]:
        def note(event: Any) -> None:
            if delivery := self._of(event):
                delivery.ending = delivery.ending or ending

        return note

    def _echo(self, event: Any) -> int:
        if delivery := self._of(event):
            delivery.echo()
        return SUCCESS

    def _store(self, event: Any) -> int:
        delivery = self._of(event)
        if delivery is not None and delivery.peer[1] not in self._peers:
            logger.warning("%s@%s: sent an image, which it may not", delivery.peer[1], delivery.peer[0])
            delivery.connection.taken()
            return NOT_ALLOWED
        if delivery is None:  # dropped while its last image was read; its sender got no answer and sends it again
            return OUT_OF_RESOURCES
        try:
            delivery.take(str(event.request.AffectedSOPInstanceUID), event.encoded_dataset())
        except OSError as error:
            logger.error("an image could not be stored: %s", error.strerror)
            return OUT_OF_RESOURCES
        finally:
            delivery.connection.taken()
        return SUCCESS

    def _report(self, event: Any) -> tuple[int, None]:
        delivery = self._of(event)
        if delivery is None or self._reported is None or delivery.peer[1] not in self._reporters:
            return NOT_ALLOWED, None
        try:
            known = self._reported(delivery.peer[1], event.event_information)
        finally:
            delivery.connection.taken()
        return (SUCCESS if known else NOT_UNDERSTOOD), None
