"""Receive images, segment them as they become complete, and send the results on."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_lesion.errors import InputError
from monai_lesion.pacs.dimse import MISSING, Peer, checked_title, send_results
from monai_lesion.pacs.entrances import Entrance
from monai_lesion.pacs.limits import Limits
from monai_lesion.pacs.logs import quieten
from monai_lesion.pacs.queues import Queue
from monai_lesion.pacs.workers import Segmenting, Worker

if TYPE_CHECKING:
    from monai_lesion.pacs.objects import Segmenter

logger = logging.getLogger(__name__)

FIRST_PAUSE = 5.0
GRACE = 5.0  # seconds that the work in hand has to end; a listener is gone within ten


class Listener:
    """Receive images by C-STORE, segment them, send the results by C-STORE; answer C-ECHO.

    ::

        scanner -- entrance -- receiver -- queue on disk -- segmenter -- queue on disk -- sender -- archive

    The port is open before anything slow is imported; who calls meanwhile waits a moment.

    Args:
        folder: folder of the queue.
        segmenter: a segmenter such as :class:`monai_lesion.LesionSegmenter`, or the promise of one: images are received
            while it is opened.
        title: AE title of the listener, which peers must call.
        peers: AE titles that may send images.
        to: where to send the results.
        port: port to listen on.
        host: address to listen on; empty for all addresses.
        frame: frame of a cine to segment, counted from 0; None for every frame.
        radiomics: folder for images, masks and a table for PyRadiomics; None writes none.
        seg_type: type of the SEG, ``"binary"`` or ``"labelmap"``.
        seg_geometry: ``"picture"`` gives the SEG a geometry of the picture's own.
        pause: seconds before results that the receiver did not take are sent again; doubles up to five minutes.
        limits: how much peers may ask; None for the defaults.

    Raises:
        InputError: when no peers are given, a title is not valid, the port or folder is in use, or pynetdicom is
            missing.

    Source:
        DICOM PS3.4, annexes A (Verification) and B (Storage); PS3.7, 9.1.
    """

    def __init__(
        self,
        folder: str | Path,
        segmenter: Segmenter | Future[Segmenter],
        *,
        title: str,
        peers: Sequence[str],
        to: Peer,
        port: int,
        host: str = "",
        frame: int | None = None,
        radiomics: str | Path | None = None,
        seg_type: str = "binary",
        seg_geometry: str = "none",
        pause: float = FIRST_PAUSE,
        limits: Limits | None = None,
    ) -> None:
        if not peers:
            raise InputError("peers", "must name the AE titles that may send", got="none", fix="Use --from TITLE")
        limits = limits or Limits()
        self.title, self.to = checked_title(title), to
        known = [checked_title(peer) for peer in peers]
        options: dict[str, Any] = {"frame": frame, "seg_type": seg_type, "seg_geometry": seg_geometry}
        options["radiomics"] = None if radiomics is None else Path(radiomics)
        self.queue = Queue(folder)
        try:
            self._entrance = Entrance(host, port, limits)
        except BaseException:
            self.queue.release()
            raise
        where = f"{host or 'all addresses'}, port {self._entrance.address[1]}"
        logger.info("%s is listening on %s; results go to %s", self.title, where, to)
        try:
            quieten()
            from monai_lesion.pacs.receivers import Receiver

            segmenting = Segmenting(self.queue, _promised(segmenter), options, lambda: self._sender.wake())
            self._sender = Worker("sending", self._send, pause)
            self._segmenter = Worker("segmenting", segmenting.all, pause)
            segmenting.go_on = self._segmenter.go_on
            self._receiver = Receiver(
                self.queue,
                self._entrance,
                title=self.title,
                peers=known,
                limits=limits,
                passed_on=self._segmenter.wake,
            )
        except BaseException as error:
            self._entrance.close()
            self.queue.release()
            if isinstance(error, ImportError):
                raise InputError("DIMSE", "needs pynetdicom", got=f"no {error.name}", fix=MISSING) from error
            raise
        self._segmenter.start()
        self._sender.start()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self, seconds: float = GRACE) -> bool:
        """Close connections and finish the current frame, within so many seconds; the queue waits for the next start.

        Returns:
            Whether all work ended in time. If not, it may be ended at any moment: each step on the disk is one rename.
        """
        deadline = time.monotonic() + seconds
        self._segmenter.ask_to_stop()
        self._sender.ask_to_stop()
        self._entrance.close()
        self._receiver.stop(seconds / 3)
        ended = [worker.join(deadline - time.monotonic()) for worker in (self._segmenter, self._sender)]
        if all(ended):
            self.queue.release()
        return all(ended)

    def _send(self) -> int:
        return send_results(self.queue, self.title, self.to, go_on=self._sender.go_on)


def _promised(segmenter: Segmenter | Future[Segmenter]) -> Future[Segmenter]:
    if isinstance(segmenter, Future):
        return segmenter
    promise: Future[Segmenter] = Future()
    promise.set_result(segmenter)
    return promise
