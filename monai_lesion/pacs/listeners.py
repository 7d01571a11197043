"""Receive images, segment them when the connection closes, and send the results on."""

from __future__ import annotations

import logging
import tempfile
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from monai_lesion.dicom.sources import header_of
from monai_lesion.errors import InputError
from monai_lesion.images.dicom_files import SOP_CLASSES
from monai_lesion.images.reading import ImageFile
from monai_lesion.pacs.dimse import IMAGE_SYNTAXES, Peer, application, checked_title, send_results
from monai_lesion.pacs.objects import Segmenter, failure, make_objects, why_not
from monai_lesion.pacs.queues import Queue

logger = logging.getLogger(__name__)

SUCCESS, OUT_OF_RESOURCES = 0x0000, 0xA700
FIRST_PAUSE, LONGEST_PAUSE = 5.0, 300.0


class _Stopped(Exception):  # noqa: N818  it is not an error
    pass


class Listener:
    """Receive images by C-STORE, segment them, send the results by C-STORE; answer C-ECHO.

    ::

        scanner -- C-STORE -- queue on disk -- segmenter -- queue on disk -- C-STORE -- archive

    Args:
        folder: folder of the queue.
        segmenter: a segmenter such as :class:`monai_lesion.LesionSegmenter`.
        title: AE title of the listener, which peers must call.
        peers: AE titles that may send images.
        to: where to send the results.
        port: port to listen on.
        host: address to listen on; empty for all addresses.
        frame: frame of a cine to segment, counted from 0; None for every frame.
        radiomics: folder for images, masks and a table for PyRadiomics; None writes none.
        seg_type: type of the SEG, ``"binary"`` or ``"labelmap"``.
        pause: seconds before results that the receiver did not take are sent again; doubles up to five minutes.

    Raises:
        InputError: when no peers are given, a title is not valid, or the port or folder is in use.

    Source:
        DICOM PS3.4, annexes A (Verification) and B (Storage); PS3.7, 9.1.
    """

    def __init__(
        self,
        folder: str | Path,
        segmenter: Segmenter,
        *,
        title: str,
        peers: Sequence[str],
        to: Peer,
        port: int,
        host: str = "",
        frame: int | None = None,
        radiomics: str | Path | None = None,
        seg_type: str = "binary",
        pause: float = FIRST_PAUSE,
    ) -> None:
        if not peers:
            raise InputError("peers", "must name the AE titles that may send", got="none", fix="Use --from TITLE")
        self.title, self.to, self.queue = checked_title(title), to, Queue(folder)
        exports = None if radiomics is None else Path(radiomics)
        self._make = partial(make_objects, segmenter, frame=frame, radiomics=exports, seg_type=seg_type)
        self._first_pause = pause
        self._jobs: dict[int, str] = {}
        self._wake, self._stop = threading.Event(), threading.Event()
        try:
            self._entity = self._serving([checked_title(peer) for peer in peers])
            self._server = self._entity.start_server((host, port), block=False, evt_handlers=self._handlers())
        except OSError as error:
            self.queue.release()
            raise InputError("port", "must be free to listen on", got=f"{port}: {error.strerror}") from error
        except BaseException:
            self.queue.release()
            raise
        self._worker = threading.Thread(target=self._work, name="monai-lesion-listener")
        self._worker.start()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close connections and finish the current frame; the queue waits for the next start."""
        self._stop.set()
        self._wake.set()
        self._server.shutdown()
        self._worker.join()
        self.queue.release()

    def _serving(self, peers: list[str]) -> Any:
        from pynetdicom import sop_class
        from pynetdicom.service_class import StorageServiceClass

        entity = application(self.title)
        entity.require_called_aet, entity.require_calling_aet = True, peers
        entity.add_supported_context("1.2.840.10008.1.1")  # Verification
        for uid, name in SOP_CLASSES.items():
            if "retired" in name:  # pynetdicom does not know these as storage
                keyword = name.translate({ord(mark): None for mark in " -()"})
                sop_class.register_uid(uid, keyword, StorageServiceClass)
            entity.add_supported_context(uid, list(IMAGE_SYNTAXES))
        return entity

    def _handlers(self) -> Any:
        from pynetdicom import evt

        return [(evt.EVT_C_STORE, self._receive), (evt.EVT_CONN_CLOSE, self._close), (evt.EVT_C_ECHO, lambda _: 0)]

    def _receive(self, event: Any) -> int:
        job = self._jobs.setdefault(id(event.assoc), self.queue.open())
        try:
            self.queue.receive(job, str(event.request.AffectedSOPInstanceUID), event.encoded_dataset())
        except OSError as error:
            logger.error("an image could not be stored: %s", error.strerror)
            return OUT_OF_RESOURCES
        return SUCCESS

    def _close(self, event: Any) -> None:
        if job := self._jobs.pop(id(event.assoc), None):
            self.queue.close(job)
            self._wake.set()

    def _work(self) -> None:
        pause = self._first_pause
        while not self._stop.is_set():
            self._wake.clear()
            try:
                self._segment_all()
                left = send_results(self.queue, self.title, self.to)
            except _Stopped:
                return
            except Exception as error:  # a full disk, a lost mount: nothing is lost, and it may pass
                logger.error("the queue could not be processed (%s); trying again in %g s", _kind(error), pause)
                left = 1
            woken = self._wake.wait(pause if left else None)
            pause = self._first_pause if woken or not left else min(pause * 2, LONGEST_PAUSE)

    def _segment_all(self) -> None:
        for image in self.queue.images():
            self._go_on()
            try:
                self._segment(image)
            except (_Stopped, OSError):
                raise
            except Exception as error:  # whatever is wrong with one image, the others go on
                self.queue.give_up(image)
                reason = failure(error, image, image.stem)
                logger.error("%s; it is in %s", reason, self.queue.failed / image.name)

    def _segment(self, image: Path) -> None:
        import pydicom

        with ImageFile(image) as source:
            header = header_of(source)
            reason = why_not(header)
            if reason is not None:
                logger.info("%s: %s, left out", image.stem, reason)
            else:
                with tempfile.TemporaryDirectory(prefix=".partial-", dir=self.queue.folder) as folder:
                    for files in self._make(source, Path(folder)):
                        for file in files:
                            uid = str(pydicom.dcmread(file, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
                            self.queue.offer(uid, file)
                        self._go_on()
                logger.info("instance %s: segmented", header.SOPInstanceUID)
        self.queue.finish(image)

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise _Stopped


def _kind(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
