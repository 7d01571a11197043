"""What a listener does with its queue, in threads of their own: segment what waits, and send what is ready."""

from __future__ import annotations

import logging
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from monai_lesion.pacs.queues import Inbox, Queue

logger = logging.getLogger(__name__)

LONGEST_PAUSE = 300.0


class StoppedError(Exception):
    """The work was stopped; what is left waits for the next start."""


class Worker:
    """A thread that works, waits until it is woken, and tries again what is left, after longer and longer pauses.

    Args:
        name: what the thread does, for messages.
        work: does what there is to do and returns how much is left to be tried again.
        pause: seconds before it is tried again; doubles up to five minutes.
        every: seconds after which it works although nobody woke it; None for never.
    """

    def __init__(self, name: str, work: Callable[[], int], pause: float, *, every: float | None = None) -> None:
        self._name, self._work, self._first_pause, self._every = name, work, pause, every
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"monai-lesion-{name}", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def wake(self) -> None:
        """There is something to do."""
        self._wake.set()

    def go_on(self) -> None:
        """Return if the work may go on.

        Raises:
            StoppedError: when it may not.
        """
        if self._stop.is_set():
            raise StoppedError

    @property
    def woken(self) -> bool:
        """Whether there is something new to do, or it should stop."""
        return self._wake.is_set()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def ask_to_stop(self) -> None:
        """Let it stop at the next step."""
        self._stop.set()
        self._wake.set()

    def join(self, seconds: float) -> bool:
        """Wait so long for its end; return whether it came."""
        self._thread.join(max(0.0, seconds))
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause = self._first_pause
        while not self._stop.is_set():
            self._wake.clear()
            try:
                left = self._work()
            except StoppedError:
                return
            except Exception as error:  # a full disk, a lost mount: nothing is lost, and it may pass
                kind = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
                logger.error("%s: the queue could not be processed (%s); trying again in %g s", self._name, kind, pause)
                left = 1
            woken = self._wake.wait(pause if left else self._every)
            pause = self._first_pause if woken or not left else min(pause * 2, LONGEST_PAUSE)


class ImageWork(ABC):
    """Take the images that wait in a queue, one by one; one that cannot be worked on does not stop the others.

    Args:
        queue: the images.
        opening: what the work needs, such as a segmenter, once it is open.
    """

    def __init__(self, queue: Inbox, opening: Future[Any]) -> None:
        self._queue, self._segmenter = queue, opening
        self.go_on: Callable[[], None] = lambda: None

    def all(self) -> int:
        """Segment every image that waits; one that cannot be segmented is set aside.

        Raises:
            StoppedError: when it was stopped in between.
            OSError: when the queue cannot be written.
        """
        from monai_lesion.pacs.objects import failure

        while not self._segmenter.done():  # images wait in the queue until the network is open
            self.go_on()
            time.sleep(0.05)
        if self._segmenter.exception() is not None:
            raise StoppedError
        for image in self._queue.images():
            self.go_on()
            try:
                self._one(image)
            except (StoppedError, OSError):
                raise
            except Exception as error:  # whatever is wrong with one image, the others go on
                self._give_up(image, failure(error, image, f"instance {image.stem}"))
        return 0

    def _give_up(self, image: Path, reason: str) -> None:
        self._queue.give_up(image)
        logger.error("%s; it is in %s", reason, self._queue.failed / image.name)

    @abstractmethod
    def _one(self, image: Path) -> None:
        """Work on one image, and take it out of the queue."""


class Segmenting(ImageWork):
    """Segment what waits in a queue, and put the results beside it.

    Args:
        queue: the queue.
        segmenter: the segmenter, once it is open.
        make: makes the objects of an image; see :func:`monai_lesion.pacs.objects.make_objects`.
        offered: called when there are results to send.
    """

    def __init__(
        self, queue: Queue, segmenter: Future[Any], options: dict[str, Any], offered: Callable[[], None]
    ) -> None:
        super().__init__(queue, segmenter)
        self._results, self._options, self._offered = queue, options, offered

    def _one(self, image: Path) -> None:
        import pydicom

        from monai_lesion.dicom.sources import header_of
        from monai_lesion.images.dicom_headers import instance_named
        from monai_lesion.images.reading import ImageFile
        from monai_lesion.pacs.objects import make_objects, why_not

        with ImageFile(image) as source:
            header = header_of(source)
            reason = why_not(header)
            if reason is not None:
                logger.info("%s: %s, left out", image.stem, reason)
            else:
                with tempfile.TemporaryDirectory(prefix=".partial-", dir=self._queue.folder) as folder:
                    for files in make_objects(self._segmenter.result(), source, Path(folder), **self._options):
                        for file in files:
                            uid = str(pydicom.dcmread(file, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
                            self._results.offer(uid, file)
                        self.go_on()
                logger.info("%s: segmented", instance_named(header.SOPInstanceUID))
        self._queue.finish(image)
        self._offered()
