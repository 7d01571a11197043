"""Bring the queue of ``monai-lesion listen`` over to the service, so that nothing is lost and nothing is sent twice."""

from __future__ import annotations

import logging
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from monai_lesion.errors import InputError
from monai_lesion.images.dicom_files import SOP_CLASSES
from monai_lesion.images.silence import quiet
from monai_lesion.pacs.queues import Inbox, locked
from monai_lesion.service.configurations import Configuration
from monai_lesion.service.registers import DONE, TRYING, Record
from monai_lesion.service.stores import Store, record_of

logger = logging.getLogger(__name__)

MIGRATED = "migrated"  # engine of a result that an older queue held


@dataclass(frozen=True)
class Migration:
    """What was brought over.

    Attributes:
        images: images that wait to be segmented.
        results: results that wait to be sent.
        sent: results that were sent, and will not be again.
        failed: files that were set aside.
    """

    images: int
    results: int
    sent: int
    failed: int

    def __str__(self) -> str:
        return (
            f"{self.images} images and {self.results} results wait, {self.sent} results are known to be sent, "
            f"{self.failed} files were set aside"
        )


def migrate(old: Path, configuration: Configuration, destination: str | None = None) -> Migration:
    """Bring a queue of ``listen`` over, into another folder or in its own; a killed migration goes on when repeated.

    ::

        incoming/ waiting/ failed/   stay images
        outgoing/                 -- to/DESTINATION/outgoing/
        sent/                     -- register.sqlite

    Args:
        old: its folder.
        configuration: of the service; its queue's folder is where everything goes.
        destination: where the listener sent to, as the configuration names it; None for its only one.

    Returns:
        What was brought over.

    Raises:
        InputError: when the folder is no such queue or in use, or the destination is not named.
    """
    names = list(configuration.destinations)
    if destination is None and len(names) > 1:
        fix = "Name the one that `listen` sent to: --destination NAME"
        raise InputError("--destination", f"must be one of {', '.join(names)}", got="none", fix=fix)
    name = destination or names[0]
    if name not in names:
        raise InputError("--destination", f"must be one of {', '.join(names)}", got=name)
    target = configuration.queue.folder
    if not (old / "outgoing").is_dir() or not (old / "sent").is_dir():
        got = "no such folder" if not old.is_dir() else "another folder, or one that was brought over already"
        raise InputError(old, "must be a queue of `monai-lesion listen`", got=got)
    same = target.exists() and old.samefile(target)
    lock = None if same else locked(old)
    try:
        store = Store(target, older=same)
        try:
            if not same:
                Inbox(old)  # closes what a killed listener left open
                _move_jobs(old, store)
            found = _bring_over(old, store, name)
            store.settle_layout()
        finally:
            store.release()
    finally:
        if lock is not None:
            lock.release()
    return found


def _move_jobs(old: Path, store: Store) -> None:
    for job in sorted((old / "waiting").iterdir()):
        moved = store.waiting / job.name
        partial = store.folder / f".partial-{job.name}"
        if not moved.exists():
            if partial.exists():
                shutil.rmtree(partial)
            shutil.copytree(job, partial)  # the two may be on two disks
            os.replace(partial, moved)
        shutil.rmtree(job)
    for file in sorted((old / "failed").iterdir()):
        shutil.move(file, store.failed / file.name)


def _bring_over(old: Path, store: Store, name: str) -> Migration:
    box, sent = store.box(name), 0
    for mark in sorted((old / "sent").iterdir()):
        if mark.suffix != ".trying":
            store.register.add(Record(mark.name, name, "", "", "", "", engine=MIGRATED))
            store.register.set(mark.name, name, DONE)
            sent += 1
    store.register.audit("", name)  # what was sent before is not this service's to tell
    for result in sorted((old / "outgoing").glob("*.dcm"), key=lambda each: (each.stat().st_mtime_ns, each.name)):
        tried = (old / "sent" / f"{result.stem}.trying").exists()
        store.register.add(_recorded(result, name))
        if tried and store.register.state(result.stem, name) != DONE:
            store.register.set(result.stem, name, TRYING)
        shutil.move(result, box.outgoing / result.name)
    results = len(box.results())
    shutil.rmtree(old / "sent")
    shutil.rmtree(old / "outgoing")
    images, failed = len(store.waiting_images()), sum(1 for _ in store.failed.iterdir())
    return Migration(images, results, sent, failed)


def _recorded(result: Path, name: str) -> Record:
    """What is known of a result; of SR and SEG also the image, so that a new network's can name what they replace."""
    import pydicom

    record = record_of(result, name)
    if record.format not in ("dicom-sr", "dicom-seg"):
        return record_of(result, name, engine=MIGRATED)
    with quiet():
        made = pydicom.dcmread(result, stop_before_pixels=True)
    references = [each for each in made.iterall() if each.keyword in ("ReferencedSOPSequence", "SourceImageSequence")]
    items = [item for each in references for item in each.value if item.get("ReferencedSOPClassUID") in SOP_CLASSES]
    sources = {str(item.ReferencedSOPInstanceUID) for item in items}
    frames = {int(item.ReferencedFrameNumber) - 1 for item in items if "ReferencedFrameNumber" in item}
    source = sources.pop() if len(sources) == 1 else ""
    return record_of(result, name, engine=MIGRATED, source=source, frame=frames.pop() if len(frames) == 1 else -1)
