"""Ask a DICOMweb archive for new studies, and put their images into the queue."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

from monai_lesion.dicom.sources import header_of
from monai_lesion.errors import InputError
from monai_lesion.images.dicom_files import SOP_CLASSES
from monai_lesion.images.reading import ImageFile
from monai_lesion.pacs.archives import Archive, ArchiveClosedError, ArchiveError, Instance, why_silent
from monai_lesion.pacs.objects import is_own
from monai_lesion.pacs.web import check_same
from monai_lesion.service.configurations import PollerPart
from monai_lesion.service.stores import Store

logger = logging.getLogger(__name__)


class Poller:
    """Fetch each image of new studies once.

    ::

        -- QIDO-RS: studies of some days -- images not fetched before -- WADO-RS -- queue

    Args:
        name: of the poller; routes take it for the sender.
        part: its configuration.
        archive: the client.
        store: the queue.
        passed_on: called when there are images to segment.
        today: gives the day.
    """

    def __init__(
        self,
        name: str,
        part: PollerPart,
        archive: Archive,
        store: Store,
        passed_on: Callable[[], None],
        today: Callable[[], date] = date.today,
    ) -> None:
        self.name, self.part, self._archive, self._store = name, part, archive, store
        self._passed_on, self._today = passed_on, today
        self.go_on: Callable[[], None] = lambda: None

    def work(self) -> int:
        """Look once; return 1 when the archive could not be asked, or more is to be fetched soon.

        Raises:
            StoppedError: when it was stopped in between.
        """
        since = f"{self._today() - timedelta(days=self.part.days - 1):%Y%m%d}-"
        try:
            studies: list[str] = []
            for modality in self.part.modality:
                found = self._archive.studies(StudyDate=since, ModalitiesInStudy=modality)
                studies += [each for each in found if each not in studies]
            for study in studies:
                self.go_on()
                if len(self._store.waiting_images()) >= self.part.most_waiting:
                    return 1
                self._study(study)
        except ArchiveClosedError as error:
            logger.warning("%s: %s", self.name, error, extra={"event": "not polled", "sender": self.name})
            return 1
        except ArchiveError as error:
            logger.error("%s: %s", self.name, error, extra={"event": "not polled", "sender": self.name})
            return 1
        return 0

    def ask(self) -> str:
        """Ask whether the archive answers; empty when it does, otherwise why not."""
        return why_silent(self._archive)

    def _study(self, study: str) -> None:
        register = self._store.register
        listed = self._archive.instances(study)
        images = [each for each in listed if each.sop_class in ("", *SOP_CLASSES)]
        new = [each for each in images if not register.was_fetched(self.name, each.uid)]
        if new:
            ours = {
                each["uid"] for each in self._archive.series(study) if is_own(each["manufacturer"], each["modality"])
            }
            new = [each for each in new if each.series not in ours]
        job, got = self._store.open(self.name), []
        try:
            for instance in new:
                self.go_on()
                if self._fetched(study, instance, job):
                    got.append(instance.uid)
        finally:
            self._store.close(job)
            missing = {each.uid for each in new} - set(got)
            register.fetch(self.name, study, [each.uid for each in images if each.uid not in missing])
            if got:
                self._passed_on()

    def _fetched(self, study: str, instance: Instance, job: str) -> bool:
        """Put one image into the queue; one that cannot be had is asked for again the next time."""
        with tempfile.TemporaryDirectory(prefix=".partial-", dir=self._store.folder) as folder:
            file = Path(folder) / "source.dcm"
            try:
                self._archive.fetch(study, instance, file)
                with ImageFile(file) as source:
                    check_same(header_of(source), instance)
            except ArchiveClosedError:
                raise
            except InputError as error:
                reason = str(error).replace(str(file), f"instance {instance.uid}")
                logger.warning("%s: %s", self.name, reason, extra={"event": "not fetched", "sender": self.name})
                return False
            self._store.receive(job, instance.uid, file.read_bytes())
        return True
