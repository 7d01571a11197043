"""Segment a study in a DICOMweb archive and store the results there."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from monai_lesion.dicom.sources import header_of, value_of
from monai_lesion.errors import InputError
from monai_lesion.images.dicom_files import SOP_CLASSES
from monai_lesion.images.dicom_headers import instance_named, is_uid
from monai_lesion.images.reading import ImageFile
from monai_lesion.machine.progress_bars import bar
from monai_lesion.pacs.archives import Archive, ArchiveClosedError, Instance
from monai_lesion.pacs.objects import Segmenter, failure, is_own, make_objects, why_not

if TYPE_CHECKING:
    from pydicom import Dataset

logger = logging.getLogger(__name__)


@dataclass
class Outcome:
    """What was done with a study.

    Attributes:
        segmented: number of images segmented.
        stored: number of objects added to the archive.
        present: number of objects that the archive already had.
        skipped: objects that are not images to segment.
        failures: what went wrong, by instance.
    """

    segmented: int = 0
    stored: int = 0
    present: int = 0
    skipped: int = 0
    failures: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"{self.segmented} images segmented, {self.stored} objects stored, {self.present} were there already, "
            f"{self.skipped} others skipped, {len(self.failures)} failed"
        )


def segment_study(
    archive: Archive,
    study: str,
    series: str | None = None,
    *,
    segmenter: Segmenter,
    frame: int | None = None,
    radiomics: str | Path | None = None,
    seg_type: str = "binary",
    seg_geometry: str = "none",
    progress: bool = True,
) -> Outcome:
    """Fetch the images of a study one at a time, segment each, and store its SEG, SR and SC in the study.

    ::

        -- query -- fetch -- segment -- those that the archive lacks -- store

    Args:
        archive: the archive that holds the study.
        study: its Study Instance UID.
        series: Series Instance UID, to segment one series only.
        segmenter: a segmenter such as :class:`monai_lesion.LesionSegmenter`.
        frame: frame of a cine to segment, counted from 0; None for every frame.
        radiomics: folder for images, masks and a table for PyRadiomics; None writes none.
        seg_type: type of the SEG, ``"binary"`` or ``"labelmap"``.
        seg_geometry: ``"picture"`` gives the SEG a geometry of the picture's own.
        progress: whether to show a bar with the time left.

    Returns:
        What was done. Instances that failed are in its ``failures``; they do not stop the others.

    Raises:
        ArchiveClosedError: when the archive cannot be reached or refuses the login; says what was done until then.
        ArchiveError: when it cannot list the study.
        InputError: when the study is empty or lacks the series.

    Source:
        DICOM PS3.18, 10.4 (retrieve), 10.5 (store), 10.6 (search).
    """
    for name, uid in (("study", study), ("series", series)):
        if uid is not None and not is_uid(uid):
            raise InputError(name, "must be a UID: digits and dots, 64 at most", got=uid)
    outcome = Outcome()
    kept = archive.instances(study)
    chosen = [each for each in kept if series in (None, each.series)]
    if not chosen:
        what = f"study {study}" if series is None else f"series {series} of study {study}"
        raise InputError(archive.url, f"must have {what}", got="nothing", fix="Check the identifiers")
    ours = {each["uid"] for each in archive.series(study) if is_own(each["manufacturer"], each["modality"])}
    # Where the archive does not say what an object is, its header does.
    sources = [each for each in chosen if each.sop_class in ("", *SOP_CLASSES) and each.series not in ours]
    outcome.skipped = len(chosen) - len(sources)
    known = {each.uid for each in kept}
    exports = None if radiomics is None else Path(radiomics)
    make = partial(
        make_objects, segmenter, frame=frame, radiomics=exports, seg_type=seg_type, seg_geometry=seg_geometry
    )
    for instance in bar(sources, title="segmenting", shown=progress):
        with tempfile.TemporaryDirectory(prefix="monai_lesion-") as folder:
            try:
                _one(archive, study, instance, make, Path(folder), known, outcome)
            except ArchiveClosedError as error:
                raise ArchiveClosedError(f"{error}\nUntil then: {outcome}") from error
            except Exception as error:  # whatever is wrong with one image, the others go on
                reason = failure(error, _fetched(Path(folder), instance), instance_named(instance.uid))
                outcome.failures[instance.uid] = reason
                logger.error("%s", reason)
    return outcome


def _one(
    archive: Archive,
    study: str,
    instance: Instance,
    make: Callable[..., Iterator[list[Path]]],
    folder: Path,
    known: set[str],
    outcome: Outcome,
) -> None:
    file = _fetched(folder, instance)
    archive.fetch(study, instance, file)
    with ImageFile(file) as source:
        header = header_of(source)
        check_same(header, instance)
        if why_not(header) is not None:
            outcome.skipped += 1
            return
        _segment(archive, study, make(source, folder), known, outcome)
    outcome.segmented += 1


def check_same(header: Dataset, instance: Instance) -> None:
    """Refuse what is not the object that the archive lists: half a file, or another one.

    Raises:
        InputError: when identifier or kind differ.
    """
    rule = "must be the object that the archive lists"
    uid, kind = (str(value_of(header, name) or "") for name in ("SOPInstanceUID", "SOPClassUID"))
    if uid != instance.uid:
        got = instance_named(uid) if uid else "half a file or another kind"
        raise InputError(instance_named(instance.uid), rule, got=got)
    if instance.sop_class and kind != instance.sop_class:
        got = SOP_CLASSES.get(kind, "another kind" if kind else "no kind")
        raise InputError(instance_named(instance.uid), f"{rule}: {SOP_CLASSES[instance.sop_class]}", got=got)


def _segment(archive: Archive, study: str, results: Iterator[list[Path]], known: set[str], outcome: Outcome) -> None:
    """Store what the archive lacks of each frame's objects."""
    import pydicom

    for files in results:
        uids = [str(pydicom.dcmread(each, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) for each in files]
        new = [each for each, uid in zip(files, uids, strict=True) if uid not in known]
        if new:
            archive.store(study, new)
        known.update(uids)
        outcome.stored += len(new)
        outcome.present += len(files) - len(new)
        for each in files:
            each.unlink()


def _fetched(folder: Path, instance: Instance) -> Path:
    """Fetch an image to a temporary file named by its identifier, so that warnings quote that."""
    return folder / f"{instance.uid if is_uid(instance.uid) else 'source'}.dcm"
